package sign_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/senderauth/sign"
)

// Two keys are made for a domain; from then on its mail leaves with two signatures.
func Example() {
	data, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(data)

	keys := &sign.Dir{Root: filepath.Join(data, "dkim"), State: filepath.Join(data, "state", "dkim")}
	for selector, keyType := range map[string]string{"mail": "rsa", "ed": "ed25519"} {
		if _, _, err := keys.Ensure("example.com", selector, keyType, 2048); err != nil {
			log.Fatal(err)
		}
	}
	list, err := keys.List("example.com")
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range list {
		fmt.Println("publish", key.Record.Name)
	}

	prepare := sign.With(keys) // for relay.Options.Prepare
	letter := mailbricks.NewMessage([]byte("From: Ann <ann@example.com>\r\nTo: bob@example.net\r\n\r\nAt one?\r\n"))
	if err := prepare(context.Background(), &mailbricks.Envelope{From: "ann@example.com"}, letter); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(letter.Values("DKIM-Signature")), "signatures")
	// Output:
	// publish ed._domainkey.example.com
	// publish mail._domainkey.example.com
	// 2 signatures
}

// A domain's key is replaced. In life that takes days, and Run makes the steps.
func ExampleRotation() {
	data, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(data)
	keys := &sign.Dir{Root: filepath.Join(data, "dkim"), State: filepath.Join(data, "state", "dkim")}
	old, _, err := keys.Ensure("example.com", "mail", "ed25519", 0)
	if err != nil {
		log.Fatal(err)
	}
	dns := &zone{} // in which somebody publishes what is asked for
	dns.set(old.Name, old.Value)
	rotation := &sign.Rotation{Keys: keys, Domain: "example.com", Resolver: dns, Settle: -1, Grace: -1}
	status, err := rotation.Start(context.Background())
	for err == nil && status.Phase != sign.Idle {
		fmt.Println(status.Phase, len(status.Publish), "to publish,", len(status.Withdraw), "to withdraw")
		dns.publish(status)
		status, err = rotation.Step(context.Background())
	}
	fmt.Println(status.Text, err)
	// Output:
	// publish 1 to publish, 0 to withdraw
	// withdraw 0 to publish, 1 to withdraw
	// no rotation is under way <nil>
}

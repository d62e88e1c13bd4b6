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
	records, err := keys.Records("example.com")
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range records {
		fmt.Println("publish", r.Name)
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

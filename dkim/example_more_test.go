package dkim_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/mailbricks/mailbricks/dkim"
)

// A key is made and published, a message signed on its way out and verified on its way in.
func ExampleSigner() {
	key, err := dkim.GenerateKey("ed25519", 0)
	if err != nil {
		log.Fatal(err)
	}
	record, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: "example.com", Selector: "mail"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("publish at", record.Name)

	message := "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Lunch\r\n\r\nAt one?\r\n"
	signer := &dkim.Signer{Domain: "example.com", Selector: "mail", Key: key}
	field, err := signer.Sign(strings.NewReader(message))
	if err != nil {
		log.Fatal(err)
	}

	var dns dkim.Resolver = zone{record.Name: {record.Value}} // a *net.Resolver, or nil, in earnest
	results, err := dkim.Verify(context.Background(), strings.NewReader(field+message), dns, dkim.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Status, r.Domain, r.Algorithm)
	}
	// Output:
	// publish at mail._domainkey.example.com
	// pass example.com ed25519-sha256
}

// A server passes the message through a Verifier while it stores it.
func ExampleVerifier() {
	received := strings.NewReader("From: ann@example.com\r\nSubject: unsigned\r\n\r\nHello.\r\n")
	var stored strings.Builder

	v := dkim.NewVerifier(nil, dkim.Options{})
	if _, err := io.Copy(&stored, io.TeeReader(received, v)); err != nil {
		return // the verifier is just forgotten
	}
	for _, r := range v.Results(context.Background()) {
		fmt.Println(r.Status)
	}
	// Output: none
}

// What somebody has published is checked.
func ExampleParseKey() {
	for _, txt := range []string{
		`v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMl" "rwIaaPcHURo=`,
		"v=DKIM1; k=ed25519; t=y; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
	} {
		key, err := dkim.ParseKey(txt)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(key.Type, key.Bits(), key.Warnings())
	}
	// Output:
	// dkim: bad key record: octet 54 in p=: p= holds '"', which is no base64; it holds quotation marks, which belong to the zone file and not into the record
	// ed25519 256 [t=y says that DKIM is being tried out: verifiers treat the mail as if it were not signed]
}

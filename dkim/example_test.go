package dkim_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/mailbricks/mailbricks/dkim"
)

func Example() {
	message := strings.NewReader("DKIM-Signature: v=1; a=rsa-sha1; d=example.com; s=mail; h=from; bh=AAAA; b=AAAA\r\n" +
		"From: ann@example.com\r\n\r\nHello.\r\n") // os.Stdin, in earnest
	results, err := dkim.Verify(context.Background(), message, nil, dkim.Options{}) // nil is the system's resolver
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Status, r.Domain, r.Err)
	}
	// Output: permerror example.com dkim: unacceptable algorithm: rsa-sha1 is no longer valid
}

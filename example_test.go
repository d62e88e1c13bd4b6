package mailbricks_test

import (
	"context"
	"fmt"

	"github.com/mailbricks/mailbricks"
)

// One domain is here, everything else leaves: the heart of a mail server.
func Example() {
	show := func(where string) mailbricks.Handler {
		return mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			fmt.Printf("%s: %s for %s\n", where, msg.Get("Subject"), env.Recipients[0].Address)
			return nil
		})
	}
	local := func(domain string) bool { return domain == "example.com" }
	deliver := mailbricks.Route(local, show("store"), show("queue"))

	letter := mailbricks.NewMessage([]byte("Subject: hello\r\n\r\nHow are you?\r\n"))
	err := deliver.Handle(context.Background(), &mailbricks.Envelope{
		From:       "ann@example.com",
		Recipients: []mailbricks.Recipient{{Address: "bob@example.com"}, {Address: "cleo@example.org"}},
	}, letter)
	fmt.Println(err)
	// Output:
	// store: hello for bob@example.com
	// queue: hello for cleo@example.org
	// <nil>
}

package maildir_test

import (
	"context"
	"fmt"
	"os"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// Mail comes in for an account and is read. Handle is what smtpd calls, Store what imapd and pop3d call.
func Example() {
	root, err := os.MkdirTemp("", "mail")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root)
	ctx := context.Background()

	local := maildir.New(root, maildir.AccountsFunc(func(_ context.Context, address string) (maildir.Account, error) {
		if address != "ann@example.com" {
			return maildir.Account{}, maildir.ErrNoAccount
		}
		return maildir.Account{Limit: mailbox.Limit{Octets: 5 << 30}}, nil
	}))
	defer local.Close()

	env := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: "ann@example.com"}}}
	if err := local.Handle(ctx, env, mailbricks.NewMessage([]byte("Subject: hello\r\n\r\nHello Ann!\r\n"))); err != nil {
		fmt.Println(err)
		return
	}

	store, err := local.Store(ctx, mailbricks.Identity{User: "ann@example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	inbox, err := store.Open(ctx, mailbox.Inbox)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer inbox.Close()
	uids, _, err := inbox.UIDs(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	messages, err := inbox.Messages(ctx, uids)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range messages {
		fmt.Println("UID", m.UID, "with", m.Size, "octets, flags", m.Flags)
	}
	// Output:
	// UID 1 with 93 octets, flags []
}

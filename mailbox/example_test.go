package mailbox_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

// What a server does with any store: here with one in memory.
func Example() {
	ctx := context.Background()
	store := memory.New(mailbox.Limit{}).Store()
	defer store.Close()
	inbox, _ := store.Open(ctx, mailbox.Inbox)
	defer inbox.Close()

	_, before, _ := inbox.UIDs(ctx)
	uid, _ := inbox.Append(ctx, strings.NewReader("Subject: hello\r\n\r\nHow are you?\r\n"), mailbox.AppendOptions{Size: -1})
	_, _ = inbox.SetFlags(ctx, []mailbox.UID{uid}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})

	changes, _ := inbox.Changes(ctx, before)
	for _, m := range changes.Changed {
		fmt.Println(m.UID, m.Flags, m.Size)
	}
	// Output: 1 [\Seen] 32
}

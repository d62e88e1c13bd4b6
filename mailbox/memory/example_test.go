package memory_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

// A message comes in and is read.
func Example() {
	ctx := context.Background()
	var accounts memory.Accounts
	accounts.Add("ann@example.com", mailbox.Limit{})

	env := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: "ann@example.com"}}}
	msg := mailbricks.NewMessage([]byte("Subject: hello\r\n\r\nHello Ann!\r\n"))
	if err := accounts.Handle(ctx, env, msg); err != nil {
		fmt.Println(err)
	}

	store, err := accounts.Store(ctx, mailbricks.Identity{User: "ann@example.com"})
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
	}
	content, err := inbox.Content(ctx, uids[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	defer content.Close()
	text, err := io.ReadAll(io.NewSectionReader(content, 0, content.Size()))
	fmt.Printf("%s%v\n", strings.ReplaceAll(string(text), "\r", ""), err)
	// Output:
	// Return-Path: <bob@example.org>
	// Delivered-To: ann@example.com
	// Subject: hello
	//
	// Hello Ann!
	// <nil>
}

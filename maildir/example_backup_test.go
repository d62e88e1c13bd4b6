package maildir_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

func ExampleMaildir_Backup() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	mail := maildir.New(filepath.Join(dir, "mail"), maildir.AccountsFunc(func(context.Context, string) (maildir.Account, error) {
		return maildir.Account{}, nil
	}))
	defer mail.Close()
	store, err := mail.Store(ctx, mailbricks.Identity{User: "ann@example.com"})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	inbox, err := store.Open(ctx, mailbox.Inbox)
	if err != nil {
		log.Fatal(err)
	}
	defer inbox.Close()
	const text = "Subject: keep me\r\n\r\n"
	uid, err := inbox.Append(ctx, strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text))})
	if err != nil {
		log.Fatal(err)
	}

	saved, err := mail.Backup(ctx, "ann@example.com", filepath.Join(dir, "backup"), maildir.BackupOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("saved:", saved.Messages)
	if _, err := inbox.Expunge(ctx, []mailbox.UID{uid}); err != nil { // by mistake
		log.Fatal(err)
	}
	back, err := mail.Restore(ctx, "ann@example.com", filepath.Join(dir, "backup"), maildir.RestoreOptions{Merge: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("back:", back.Messages)
	checked, err := mail.Check(ctx, "ann@example.com", maildir.CheckOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("checked:", checked.Messages, "findings:", checked.Findings)
	// Output:
	// saved: 1
	// back: 1
	// checked: 1 findings: 0
}

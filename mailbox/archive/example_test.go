package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/archive"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

func Example() {
	ctx := context.Background()
	store := memory.New(mailbox.Limit{}).Store()
	defer store.Close()
	inbox, err := store.Open(ctx, mailbox.Inbox)
	if err != nil {
		log.Fatal(err)
	}
	defer inbox.Close()
	const text = "Return-Path: <bob@example.com>\r\nSubject: Lunch\r\n\r\nFrom noon on?\r\n"
	if _, err := inbox.Append(ctx, strings.NewReader(text), mailbox.AppendOptions{
		Size: int64(len(text)), Flags: []mailbox.Flag{mailbox.Seen}, InternalDate: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}); err != nil {
		log.Fatal(err)
	}

	var out bytes.Buffer
	w := archive.NewMboxWriter(&out)
	defer w.Close()
	stats, err := archive.Copy(ctx, w, archive.FromStore(store, mailbox.Inbox), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.Messages, "message")
	fmt.Print(out.String())
	// Output:
	// 1 message
	// From bob@example.com Fri Jan  2 03:04:05 2026
	// Return-Path: <bob@example.com>
	// Subject: Lunch
	// Status: RO
	//
	// >From noon on?
}

package retention_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
	"github.com/mailbricks/mailbricks/mailbox/retention"
)

func Example() {
	ctx := context.Background()
	store := memory.New(mailbox.Limit{}).Store()
	defer store.Close()
	if err := store.(mailbox.Organizer).Create(ctx, "Trash", mailbox.UseTrash); err != nil {
		log.Fatal(err)
	}
	trash, err := store.Open(ctx, "Trash")
	if err != nil {
		log.Fatal(err)
	}
	defer trash.Close()
	const text = "Subject: old\r\n\r\nnews\r\n"
	if _, err := trash.Append(ctx, strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text))}); err != nil {
		log.Fatal(err)
	}

	month := retention.Policy{Rules: []retention.Rule{{Use: mailbox.UseTrash, Age: 30 * 24 * time.Hour}}}
	for _, now := range []time.Time{time.Now(), time.Now().Add(31 * 24 * time.Hour)} {
		month.Now = now
		deleted, err := month.Apply(ctx, store)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(deleted)
	}
	// Output:
	// []
	// [{Trash [1] 22}]
}

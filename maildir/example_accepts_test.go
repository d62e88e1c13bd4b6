package maildir_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
	"github.com/mailbricks/mailbricks/smtpd"
)

// A server that refuses recipients whose mailbox is full, before it lets the message in.
func ExampleMaildir_Accepts() {
	root, err := os.MkdirTemp("", "mail")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	mail := maildir.New(root, maildir.AccountsFunc(func(context.Context, string) (maildir.Account, error) {
		return maildir.Account{Limit: mailbox.Limit{Octets: 10_000}}, nil
	}))
	defer mail.Close()

	srv := &smtpd.Server{Handler: mail, Checks: []smtpd.Check{{
		Name: "room",
		Rcpt: func(ctx context.Context, tx *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
			return mail.Accepts(ctx, rcpt.Address, tx.Envelope.Size)
		},
	}}}

	for _, size := range []int64{1000, 20_000} {
		tx := &smtpd.Transaction{Envelope: &mailbricks.Envelope{Size: size}}
		err := srv.Checks[0].Rcpt(context.Background(), tx, &mailbricks.Recipient{Address: "ann@example.com"})
		fmt.Println(size, err)
	}
	// Output:
	// 1000 <nil>
	// 20000 552 5.2.2 Mailbox is full: mailbox: quota exceeded
}

package greylist_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/smtp"
	"os"
	"path/filepath"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/greylist"
)

// A server that lets unknown clients wait, and knows them after a restart, too.
func Example() {
	dir, err := os.MkdirTemp("", "greylist")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	known, err := greylist.Open(filepath.Join(dir, "greylist"), greylist.Options{
		ClientNames: []string{"example.net"}, // hosts of a sender whom we know
		Client: func(*smtpd.Transaction) string {
			return "example.org" // for this example: clients on loopback are not greylisted, so this one goes by a name
		},
		Recipients: []string{"postmaster@", "abuse@", "hurry@example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer known.Close()
	srv := &smtpd.Server{
		Checks: []smtpd.Check{known.Check()},
		Handler: mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
			return nil
		}),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Shutdown(context.Background())

	for _, to := range []string{"bob@example.com", "hurry@example.com"} {
		fmt.Println(smtp.SendMail(l.Addr().String(), nil, "ann@example.org", []string{to}, []byte("Subject: hello\r\n\r\nHello\r\n")))
	}
	fmt.Println(known.Stats().Waiting, "waits")
	// Output:
	// 450 "4.2.0 <bob@example.com>: Recipient address rejected: Greylisted, please try again in 300 seconds"
	// <nil>
	// 1 waits
}

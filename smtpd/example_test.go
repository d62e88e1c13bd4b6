package smtpd_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/smtp"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// A server that takes mail for one user and shows what it got.
func Example() {
	srv := &smtpd.Server{
		Hostname: "mail.example.com",
		Checks: []smtpd.Check{{
			Name: "users",
			Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
				if rcpt.Address != "bob@example.com" {
					return &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "<" + rcpt.Address + ">: no such user here"}
				}
				return nil
			},
		}},
		Handler: mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			fmt.Printf("from %s to %s: %s\n", env.From, env.Recipients[0].Address, msg.Get("Subject"))
			return nil
		}),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Shutdown(context.Background())

	send := func(to string) error {
		return smtp.SendMail(l.Addr().String(), nil, "ann@example.org", []string{to}, []byte("Subject: hello\r\n\r\nHow are you?\r\n"))
	}
	fmt.Println(send("bob@example.com"))
	fmt.Println(send("eve@example.com"))
	// Output:
	// from ann@example.org to bob@example.com: hello
	// <nil>
	// 550 "5.1.1 <eve@example.com>: no such user here"
}

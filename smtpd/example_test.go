package smtpd_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"

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

// A server whose Handler sends delivery status notifications offers them.
func ExampleKeeps() {
	queue := mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, _ *mailbricks.Message) error {
		rcpt := env.Recipients[0]
		fmt.Println(env.EnvelopeID, env.Return, rcpt.OriginalRecipient, rcpt.Notify == mailbricks.NotifySuccess|mailbricks.NotifyDelay)
		return nil
	})
	srv := &smtpd.Server{Hostname: "mail.example.com", Handler: smtpd.Keeps(queue, smtpd.Extensions{DSN: true})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Shutdown(context.Background())

	client, err := textproto.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	const session = "EHLO client.example.org\r\nMAIL FROM:<ann@example.org> RET=HDRS ENVID=push+2B4711\r\n" +
		"RCPT TO:<bob@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;robert@example.com\r\nBDAT 16 LAST\r\nSubject: hello\r\nQUIT\r\n"
	client.PrintfLine("%s", strings.TrimSuffix(session, "\r\n"))
	for range 6 {
		if _, _, err := client.ReadResponse(0); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// push+4711 HDRS rfc822;robert@example.com true
}

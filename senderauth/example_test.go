package senderauth_test

import (
	"context"
	"fmt"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/smtpd"
)

func Example() {
	dns, err := mailtest.ParseZone(`
		sender.example.        TXT "v=spf1 ip4:192.0.2.25 -all"
		_dmarc.sender.example. TXT "v=DMARC1; p=reject"
	`)
	if err != nil {
		fmt.Println(err)
		return
	}
	inbox := mailbricks.HandlerFunc(func(ctx context.Context, _ *mailbricks.Envelope, _ *mailbricks.Message) error {
		if r, ok := senderauth.From(ctx); ok {
			fmt.Println("from", r.DMARC.AuthorDomain, r.DMARC.Result)
		}
		return nil
	})
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:25")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &smtpd.Server{
		Hostname: "mx.example.com",
		Handler:  inbox,
		Checks: []smtpd.Check{senderauth.Check(senderauth.Options{
			Resolver: dns.Resolver(), // in production a resolver with a cache
			Policy:   senderauth.Policy{DMARCReject: senderauth.Reject, DMARCQuarantine: senderauth.Junk, SPFFail: senderauth.Junk},
		})},
	}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()

	letter := "From: ann@sender.example\r\n\r\nHello\r\n"
	for _, ip := range []string{"192.0.2.25", "198.51.100.7"} {
		conn, err := network.Dialer(ip).Dial("tcp", "192.0.2.1:25")
		if err != nil {
			fmt.Println(err)
			return
		}
		reply := replyOf(deliver(conn, mail{helo: "mail.sender.example", from: "ann@sender.example", raw: letter}))
		if reply == "" {
			reply = "accepted"
		}
		fmt.Println(ip, reply)
	}
	_ = srv.Close()
	<-done
	// Output:
	// from sender.example pass
	// 192.0.2.25 accepted
	// 198.51.100.7 550 5.7.1 Email rejected per DMARC policy for sender.example
}

package ratelimit_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/smtp"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/ratelimit"
)

// A server that takes two messages an hour from each sender.
func Example() {
	limits, err := ratelimit.New(ratelimit.Options{Rules: []ratelimit.Rule{
		{Name: "sender", What: ratelimit.Messages, Key: ratelimit.Sender(), Count: 2, Per: time.Hour},
	}})
	if err != nil {
		log.Fatal(err)
	}
	srv := &smtpd.Server{
		Checks: []smtpd.Check{limits.Check()},
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

	send := func() error {
		return smtp.SendMail(l.Addr().String(), nil, "ann@example.org", []string{"bob@example.com"}, []byte("Subject: hello\r\n\r\nHello\r\n"))
	}
	fmt.Println(send())
	fmt.Println(send())
	fmt.Println(send())
	for _, b := range limits.Status() {
		fmt.Println(b.Rule, b.Key, "has", b.Left, "left")
	}
	limits.Reset("sender", "ann@example.org")
	fmt.Println(send())
	// Output:
	// <nil>
	// <nil>
	// 451 "4.7.1 Ratelimit \"sender\" exceeded, please try again in 1800 seconds"
	// sender ann@example.org has 0 left
	// <nil>
}

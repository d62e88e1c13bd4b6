package relay_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/relay"
)

// A program sends a letter and waits for what becomes of it. Here another Handler stands for the mail servers of the
// world; without a Transport, the queue would ask DNS for them.
func Example() {
	dir, err := os.MkdirTemp("", "queue")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	world := mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, _ *mailbricks.Message) error {
		results := make(mailbricks.Results, len(env.Recipients))
		for i, rcpt := range env.Recipients {
			if rcpt.Address == "nobody@example.net" {
				results[i] = &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user"}
			}
		}
		return results.Err()
	})

	report := make(chan string, 1)
	queue, err := relay.Open(dir, relay.Options{
		Hostname:  "mail.example.com",
		Transport: relay.ToHandler(world),
		Generated: mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			report <- env.Recipients[0].Address + ": " + msg.Get("Subject")
			return nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- queue.Run(ctx) }()

	letter := mailbricks.NewMessage([]byte("From: bot@example.com\r\nSubject: News\r\n\r\nHello!\r\n"))
	id, err := queue.Send(ctx, &mailbricks.Envelope{
		From:       "bot@example.com",
		Recipients: []mailbricks.Recipient{{Address: "ann@example.org"}, {Address: "nobody@example.net"}},
	}, letter, relay.Key("push-4711"))
	if err != nil {
		log.Fatal(err)
	}
	last := map[string]relay.Event{}
	for ev := range queue.Events(ctx, id) {
		last[ev.Recipient] = ev
	}
	for _, rcpt := range []string{"ann@example.org", "nobody@example.net"} {
		fmt.Println(rcpt, last[rcpt].Kind, last[rcpt].Code, last[rcpt].Status)
	}
	fmt.Println("report to", <-report)

	stop()
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	if err := queue.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// ann@example.org delivered 250 2.0.0
	// nobody@example.net bounced 550 5.1.1
	// report to bot@example.com: Your message could not be delivered: News
}

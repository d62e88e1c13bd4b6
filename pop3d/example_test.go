package pop3d_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/textproto"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/pop3d"
)

// A server over a store in memory, and a client that fetches its mail. Without TLS logging in must be allowed by hand.
func Example() {
	var accounts memory.Accounts
	accounts.Add("ann@example.com", mailbox.Limit{})
	env := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: "ann@example.com"}}}
	if err := accounts.Handle(context.Background(), env, mailbricks.NewMessage([]byte("Subject: hi\r\n\r\nHello\r\n"))); err != nil {
		log.Fatal(err)
	}

	srv := &pop3d.Server{
		Hostname:          "mail.example.com",
		Auth:              users{}, // of package auth, say
		AllowInsecureAuth: true,
		Store: func(ctx context.Context, id mailbricks.Identity) (mailbox.Store, error) {
			return accounts.Store(ctx, id)
		},
	}
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:110")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- srv.Serve(l) }()

	conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:110")
	if err != nil {
		log.Fatal(err)
	}
	client := textproto.NewConn(conn)
	fmt.Println(client.ReadLine())
	for _, command := range []string{"USER ann@example.com", "PASS secret", "STAT", "TOP 1 9", "DELE 1", "QUIT"} {
		if err := client.PrintfLine("%s", command); err != nil {
			log.Fatal(err)
		}
		fmt.Println(client.ReadLine())
		if strings.HasPrefix(command, "TOP") {
			lines, err := client.ReadDotLines()
			fmt.Println(lines[len(lines)-1], err)
		}
	}
	client.Close()
	if err := srv.Shutdown(context.Background()); err != nil || !errors.Is(<-served, pop3d.ErrServerClosed) {
		log.Fatal(err)
	}
	// Output:
	// +OK mail.example.com POP3 server ready <nil>
	// +OK Send your password <nil>
	// +OK Maildrop has 1 messages (85 octets) <nil>
	// +OK 1 85 <nil>
	// +OK Top of message follows <nil>
	// Hello <nil>
	// +OK Message 1 deleted <nil>
	// +OK Bye <nil>
}

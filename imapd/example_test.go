package imapd_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

// password lets in everybody who knows it. Programs use package auth.
type password string

func (password) Mechanisms(mailbricks.Peer) []string { return []string{"PLAIN"} }

func (p password) Start(context.Context, string, mailbricks.Peer) (mailbricks.Exchange, error) {
	return p, nil
}

func (p password) Next(_ context.Context, response []byte) ([]byte, *mailbricks.Identity, error) {
	fields := strings.Split(string(response), "\x00") // RFC 4616 §2
	if len(fields) != 3 || fields[2] != string(p) {
		return nil, nil, mailbricks.ErrAuth
	}
	return nil, &mailbricks.Identity{Login: fields[1], User: fields[1]}, nil
}

// A server over mail in memory, and a client that types its commands.
func Example() {
	var accounts memory.Accounts
	accounts.Add("joe@example.com", mailbox.Limit{})

	srv := &imapd.Server{
		Hostname:          "mail.example.com",
		Auth:              password("secret"),
		AllowInsecureAuth: true, // an example has no certificate
		Store:             accounts.Store,
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- srv.Serve(l) }()

	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(conn, "a LOGIN joe@example.com secret\r\nb STATUS INBOX (MESSAGES)\r\nc LOGOUT\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if !strings.Contains(lines.Text(), "CAPABILITY") {
			fmt.Println(lines.Text())
		}
	}
	_ = srv.Shutdown(context.Background())
	fmt.Println(<-ended)
	// Output:
	// * STATUS INBOX (MESSAGES 0)
	// b OK STATUS completed
	// * BYE Logging out
	// c OK LOGOUT completed
	// imapd: server closed
}

package submission_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/submission"
)

// own lets users send as themselves only.
type own struct{}

func (own) MaySendAs(_ context.Context, id mailbricks.Identity, address string) (bool, error) {
	return address == id.User, nil
}

func ExampleCheck() {
	srv := &smtpd.Server{RequireAuth: true, UnqualifiedSenders: true, Checks: []smtpd.Check{submission.Check(own{})}}

	// What the server does when ann has logged in and says MAIL FROM:<bob@example.com>.
	ann := mailbricks.Peer{Identity: &mailbricks.Identity{Login: "ann@example.com", User: "ann@example.com"}}
	tx := &smtpd.Transaction{Session: &smtpd.Session{Peer: ann}, Envelope: &mailbricks.Envelope{From: "bob@example.com"}}
	fmt.Println(srv.Checks[0].Mail(context.Background(), tx))

	// And when a message of hers arrives.
	msg := mailbricks.NewMessage([]byte("From: Ann\r\nDate: Wed, 06 May 2026 07:08:09 +0200\r\nMessage-ID: <1@example.com>\r\nBcc: bob@example.com\r\n\r\n"))
	fmt.Println(srv.Checks[0].Message(context.Background(), tx, msg))
	fmt.Print(strings.ReplaceAll(string(msg.Header()), "\r\n", "\n"))
	// Output:
	// 553 5.7.1 <bob@example.com>: Sender address rejected: not owned by user ann@example.com
	// <nil>
	// From: Ann <ann@example.com>
	// Date: Wed, 06 May 2026 07:08:09 +0200
	// Message-ID: <1@example.com>
}

package smtpd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/textproto"
	"os"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// A check says more than yes and no, and every decision is one record.
func ExampleOutcome() {
	traps := smtpd.Check{Name: "traps", Rcpt: func(_ context.Context, tx *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
		switch rcpt.Address {
		case "bait@example.com":
			return smtpd.Quarantine("wrote to a trap")
		case "gone@example.com":
			return smtpd.Permanent("No such user here")
		}
		return nil
	}}
	inbox := new(mailtest.Inbox)
	srv := &smtpd.Server{Hostname: "mail.example.com", Handler: inbox, Checks: []smtpd.Check{traps}}
	srv.Trace.Outcome = func(o smtpd.Outcome) { fmt.Printf("%v: %v by %s\n", o.Phase, o.Action, o.Check) }

	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:25")
	if err != nil {
		panic(err)
	}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:25")
	if err != nil {
		panic(err)
	}
	client := textproto.NewConn(conn)
	defer client.Close()
	for _, command := range []string{
		"", "HELO client.example.net", "MAIL FROM:<ann@example.net>", "RCPT TO:<gone@example.com>", "RCPT TO:<bait@example.com>",
		"RCPT TO:<bob@example.com>", "DATA", "Subject: offers\r\n\r\nBuy now\r\n.", "QUIT",
	} {
		if command != "" {
			if err := client.PrintfLine("%s", command); err != nil {
				panic(err)
			}
		}
		if _, _, err := client.ReadResponse(0); err != nil {
			panic(err)
		}
	}
	fmt.Println("put aside:", inbox.Messages()[0].Envelope.Quarantine)
	// Output:
	// rcpt: refuse by traps
	// rcpt: quarantine by traps
	// message: accept by handler
	// put aside: wrote to a trap
}

// An outcome in a log of one's own, or in JSON, is what the server's log has of it.
func ExampleOutcome_LogValue() {
	o := smtpd.Outcome{
		ID: "K7Q2A", Session: &smtpd.Session{Peer: mailbricks.Peer{Hello: "client.example.net"}}, Phase: smtpd.PhaseRcpt, Check: "users",
		Action: smtpd.Refuse, Recipient: "bob@example.com", Command: "RCPT TO:<bob@example.com>",
		Reply: &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user"}, Err: errors.New("not in the table"),
	}
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: noTime}))
	logger.Info("refused", "mail", o)
	encoded, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var record struct{ Phase, Reply string }
	if err := json.Unmarshal(encoded, &record); err != nil {
		panic(err)
	}
	fmt.Printf("%s: %s\n", record.Phase, record.Reply)
	// Output:
	// level=INFO msg=refused mail.id=K7Q2A mail.peer="" mail.hello=client.example.net mail.phase=rcpt mail.check=users mail.action=refuse mail.to=bob@example.com mail.command="RCPT TO:<bob@example.com>" mail.reply="550 5.1.1 No such user" mail.err="not in the table"
	// rcpt: 550 5.1.1 No such user
}

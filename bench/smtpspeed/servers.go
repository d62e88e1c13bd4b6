package main

import (
	"context"
	"io"
	"net"
	"os"
	"runtime/pprof"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/bench/internal/child"
	"github.com/mailbricks/mailbricks/smtpd"
)

// endProfile asks the smtpd server to write its profile.
const endProfile = "profile"

// ours is the smtpd server. Its arguments are the folder for spool files, and a file for a profile or "".
func ours(args []string) (*child.Server, error) {
	srv := &smtpd.Server{
		Hostname: "mail.example.com",
		Handler:  mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return nil }),
		Spool:    &mailbricks.Spool{Dir: args[0]},
		// The load comes from one address over few connections, with many messages each.
		MaxTransactions: -1, MaxConnectionsPerIP: -1,
	}
	server, err := listen(srv.Serve)
	if err != nil || args[1] == "" {
		return server, err
	}
	f, err := os.Create(args[1])
	if err != nil {
		return nil, err
	}
	server.Ask = func(string) (any, error) {
		pprof.StopCPUProfile()
		return nil, f.Close()
	}
	return server, pprof.StartCPUProfile(f)
}

// listen runs a server on a port of the loopback interface.
func listen(serve func(net.Listener) error) (*child.Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go serve(l) // ends with the process
	return &child.Server{Addr: l.Addr().String()}, nil
}

// theirs is the least that a server of go-smtp can be.
func theirs([]string) (*child.Server, error) {
	srv := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return discard{}, nil }))
	srv.Domain = "mail.example.com"
	return listen(srv.Serve)
}

// discard is a session of go-smtp that throws messages away.
type discard struct{}

func (discard) Mail(string, *gosmtp.MailOptions) error { return nil }
func (discard) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (discard) Reset()                                 {}
func (discard) Logout() error                          { return nil }

func (discard) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

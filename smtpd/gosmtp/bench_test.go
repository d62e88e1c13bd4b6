package gosmtp_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd/gosmtp"
)

// sink is a backend, and its sessions, that throws away what it gets.
type sink struct{}

func (sink) NewSession(*smtp.Conn) (smtp.Session, error) { return sink{}, nil }
func (sink) Mail(string, *smtp.MailOptions) error        { return nil }
func (sink) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (sink) Reset()                                      {}
func (sink) Logout() error                               { return nil }

func (sink) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// BenchmarkMessage is a message of 1 KiB on a connection that stays, by this server and by go-smtp's.
func BenchmarkMessage(b *testing.B) {
	s := smtp.NewServer(sink{})
	s.Domain = "mail.example.com"
	srv := gosmtp.Server(s)
	srv.MaxTransactions = -1
	for name, serve := range map[string]func(net.Listener) error{"gosmtp": srv.Serve, "go-smtp": s.Serve} {
		b.Run(name, func(b *testing.B) {
			exchange, end := openSession(b, serve)
			defer end()
			body := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", 16) + ".\r\n"
			b.ReportAllocs()
			for b.Loop() {
				exchange("MAIL FROM:<ann@example.net>\r\n", 1)
				exchange("RCPT TO:<bob@example.com>\r\n", 1)
				exchange("DATA\r\n", 1)
				exchange(body, 1)
			}
		})
	}
}

// BenchmarkSession is what it costs to get to EHLO and to leave.
func BenchmarkSession(b *testing.B) {
	s := smtp.NewServer(sink{})
	s.Domain = "mail.example.com"
	srv := gosmtp.Server(s)
	for name, serve := range map[string]func(net.Listener) error{"gosmtp": srv.Serve, "go-smtp": s.Serve} {
		b.Run(name, func(b *testing.B) {
			network := mailtest.NewNetwork()
			l, err := network.Listen("tcp", "192.0.2.1:25")
			if err != nil {
				b.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- serve(l) }()
			b.ReportAllocs()
			for b.Loop() {
				conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:25")
				if err != nil {
					b.Fatal(err)
				}
				r := bufio.NewReader(conn)
				for _, line := range []string{"", "HELO client.example.net\r\n", "QUIT\r\n"} {
					if _, err := io.WriteString(conn, line); err != nil {
						b.Fatal(err)
					}
					if replyCode(r) == "" {
						b.Fatal("no reply")
					}
				}
				conn.Close()
			}
			l.Close()
			<-done
		})
	}
}

// openSession opens a session; exchange sends something and waits for so many replies.
func openSession(b *testing.B, serve func(net.Listener) error) (exchange func(string, int), end func()) {
	b.Helper()
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:25")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serve(l) }()
	conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:25")
	if err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReader(conn)
	exchange = func(send string, replies int) {
		if _, err := io.WriteString(conn, send); err != nil {
			b.Fatal(err)
		}
		for range replies {
			if code := replyCode(r); code == "" || code[0] > '3' {
				b.Fatal(code)
			}
		}
	}
	exchange("", 1)
	exchange("EHLO client.example.net\r\n", 1)
	return exchange, func() {
		conn.Close()
		l.Close()
		<-done
	}
}

package gosmtp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	netsmtp "net/smtp"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks/smtpd/gosmtp"
)

// printer is a go-smtp backend, and its sessions, too.
type printer struct{}

func (printer) NewSession(*smtp.Conn) (smtp.Session, error) { return printer{}, nil }

func (printer) Mail(from string, _ *smtp.MailOptions) error {
	fmt.Println("from", from)
	return nil
}

func (printer) Rcpt(to string, _ *smtp.RcptOptions) error {
	if to != "bob@example.com" {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user here"}
	}
	fmt.Println("to", to)
	return nil
}

func (printer) Data(r io.Reader) error {
	message, err := io.ReadAll(r)
	fmt.Print(strings.ReplaceAll(string(message), "\r\n", "\n"))
	return err
}

func (printer) Reset()        {}
func (printer) Logout() error { return nil }

// A backend that was written for go-smtp's server, on this one.
func Example() {
	s := smtp.NewServer(printer{})
	s.Domain = "mail.example.com"
	s.MaxMessageBytes = 10 << 20

	srv := gosmtp.Server(s)
	srv.MaxBadRecipients = 3 // and whatever else go-smtp's server does not have

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)

	send := func(to string) error {
		return netsmtp.SendMail(l.Addr().String(), nil, "ann@example.org", []string{to}, []byte("Subject: hello\r\n\r\nHow are you?\r\n"))
	}
	fmt.Println(send("bob@example.com"))
	fmt.Println(send("eve@example.com"))
	if err := srv.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// from ann@example.org
	// to bob@example.com
	// Subject: hello
	//
	// How are you?
	// <nil>
	// from ann@example.org
	// 550 "5.1.1 No such user here"
}

package proxyproto_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/proxyproto"
	"github.com/mailbricks/mailbricks/smtpd"
)

// An SMTP server behind a balancer on the same machine.
func Example() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	seen := make(chan string, 1)
	srv := &smtpd.Server{
		Hostname: "mail.example.com",
		Handler: mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
			return nil
		}),
		Checks: []smtpd.Check{{Connect: func(_ context.Context, s *smtpd.Session) error {
			seen <- s.Peer.Addr.String()
			return nil
		}}},
	}
	go srv.Serve(&proxyproto.Listener{Listener: inner, From: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	defer srv.Close()

	// What the balancer does.
	conn, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "PROXY TCP4 203.0.113.9 192.0.2.1 49152 25\r\n")
	fmt.Println(<-seen)
	// Output: 203.0.113.9:49152
}

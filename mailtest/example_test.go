package mailtest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
)

// A program is given the world it would find outside: a resolver over zones that the test writes, a network to dial
// on, certificates, and a handler that keeps the mail.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// DNS. A program that wants a real server gets one by dns.Serve on network.ListenPacket.
	dns, err := mailtest.ParseZone(`
		$ORIGIN example.com.
		@    MX 10 mail
		@    TXT "v=spf1 mx -all"
		mail A 192.0.2.1
	`)
	if err != nil {
		fmt.Println(err)
		return
	}
	mx, err := dns.Resolver().LookupMX(ctx, "example.com")
	fmt.Println(mx[0].Host, err)
	dns.SetFailure("example.com", mailtest.ServFail)
	_, err = dns.Resolver().LookupMX(ctx, "example.com")
	fmt.Println(err)

	// A network, on which any server's Serve can listen and any client's Dialer can dial.
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:25")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	conn, err := network.Dialer("198.51.100.7").DialContext(ctx, "tcp", "192.0.2.1:25")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	network.Refuse("192.0.2.1:25")
	_, err = network.Dialer("198.51.100.7").DialContext(ctx, "tcp", "192.0.2.1:25")
	fmt.Println(err)

	// A handler for the messages.
	var inbox mailtest.Inbox
	var handler mailbricks.Handler = &inbox
	go handler.Handle(ctx, &mailbricks.Envelope{
		From:       "alice@example.org",
		Recipients: []mailbricks.Recipient{{Address: "bob@example.com"}},
	}, mailbricks.NewMessage([]byte("Subject: Hello\r\n\r\nHello Bob\r\n")))
	got, err := inbox.Wait(ctx, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(got[0].Envelope.From, got[0].Message.Get("Subject"))

	// Output:
	// mail.example.com. <nil>
	// lookup example.com: server misbehaving
	// dial tcp 198.51.100.7:0->192.0.2.1:25: connect: connection refused
	// alice@example.org Hello
}

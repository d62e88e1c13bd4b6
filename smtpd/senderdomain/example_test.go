package senderdomain_test

import (
	"fmt"
	"net/textproto"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/senderdomain"
)

func Example() {
	dns, err := mailtest.ParseZone(`
		sender.example.  MX 10 mail.sender.example.
		silent.example.  MX 0 .
	`)
	if err != nil {
		fmt.Println(err)
		return
	}
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:25")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &smtpd.Server{
		Hostname: "mx.example.com",
		Handler:  new(mailtest.Inbox),
		Checks:   []smtpd.Check{senderdomain.Check(senderdomain.Options{Resolver: dns.Resolver()})}, // in production one with a cache
	}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	for _, from := range []string{"ann@sender.example", "ann@silent.example", "ann@nowhere.example", ""} {
		conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:25")
		if err != nil {
			fmt.Println(err)
			return
		}
		client := textproto.NewConn(conn)
		_, _, _ = client.ReadResponse(220)
		for _, command := range []string{"EHLO mail.example.net", "MAIL FROM:<" + from + ">"} {
			_ = client.PrintfLine("%s", command)
			code, text, _ := client.ReadResponse(0)
			if command[0] == 'M' {
				fmt.Println(code, text)
			}
		}
		_ = client.Close()
	}
	_ = srv.Close()
	<-done
	// Output:
	// 250 2.1.0 Sender ok
	// 550 5.7.27 Sender address rejected: domain silent.example takes no mail (null MX)
	// 450 4.1.8 Sender address rejected: domain nowhere.example not found
	// 250 2.1.0 Sender ok
}

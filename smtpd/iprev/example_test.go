package iprev_test

import (
	"fmt"
	"net/textproto"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/iprev"
)

func Example() {
	dns, err := mailtest.ParseZone(`
		25.2.0.192.in-addr.arpa. PTR mail.sender.example.
		mail.sender.example.     A   192.0.2.25
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
		Checks: []smtpd.Check{iprev.Check(iprev.Options{
			Resolver:    dns.Resolver(), // in production a resolver with a cache
			NoName:      iprev.Defer,
			Unconfirmed: iprev.Quarantine,
		})},
	}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	for _, ip := range []string{"192.0.2.25", "198.51.100.7"} {
		conn, err := network.Dialer(ip).Dial("tcp", "192.0.2.1:25")
		if err != nil {
			fmt.Println(err)
			return
		}
		client := textproto.NewConn(conn)
		_, _, _ = client.ReadResponse(220)
		for _, command := range []string{"EHLO client.example.net", "MAIL FROM:<ann@sender.example>"} {
			_ = client.PrintfLine("%s", command)
			code, text, _ := client.ReadResponse(0)
			if command[0] == 'M' {
				fmt.Println(ip, code, text)
			}
		}
		_ = client.Close()
	}
	_ = srv.Close()
	<-done
	// Output:
	// 192.0.2.25 250 2.1.0 Sender ok
	// 198.51.100.7 450 4.7.25 Client host rejected: no name found for your address [198.51.100.7]
}

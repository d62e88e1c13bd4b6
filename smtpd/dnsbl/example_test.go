package dnsbl_test

import (
	"context"
	"fmt"
	"net/textproto"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
)

func Example() {
	zone, err := mailtest.ParseZone(`
		$ORIGIN bl.example.
		2.0.0.127     A   127.0.0.2 ; what each list must have
		9.113.0.203   A   127.0.0.3
		9.113.0.203   TXT "Sent spam, see https://bl.example/203.0.113.9"
	`)
	if err != nil {
		fmt.Println(err)
		return
	}
	lists, err := dnsbl.ParseLists("bl.example=127.0.0.[2..11]*3, gone.example")
	if err != nil {
		fmt.Println(err)
		return
	}
	checker, err := dnsbl.New(dnsbl.Options{
		Lists:    lists,
		Resolver: zone.Resolver(), // in production a resolver with a cache
		RefuseAt: 3,
	})
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
	var inbox mailtest.Inbox
	srv := &smtpd.Server{Hostname: "mx.example.com", Handler: &inbox, Checks: []smtpd.Check{checker.Check()}}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()

	for _, ip := range []string{"203.0.113.9", "198.51.100.7"} {
		conn, err := network.Dialer(ip).Dial("tcp", "192.0.2.1:25")
		if err != nil {
			fmt.Println(err)
			return
		}
		client := textproto.NewConn(conn)
		reply, err := client.ReadLine()
		for _, command := range []string{"HELO client.example.net", "MAIL FROM:<ann@example.net>", "RCPT TO:<bob@example.com>"} {
			if err == nil {
				err = client.PrintfLine("%s", command)
			}
			if err == nil {
				reply, err = client.ReadLine()
			}
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = client.Close()
		fmt.Println(reply)
	}
	_ = srv.Close()
	<-done
	for _, s := range checker.Test(context.Background()) {
		if s.Class == dnsbl.IPv4 {
			fmt.Printf("%s is %s: %q\n", s.Name, s.State, s.Reason)
		}
	}
	// Output:
	// 554 5.7.1 Service unavailable; client [203.0.113.9] blocked using bl.example; Sent spam, see https://bl.example/203.0.113.9
	// 250 2.1.5 Recipient ok
	// bl.example is up: ""
	// gone.example is down: "lacks the test entry"
}

func ExampleParseList() {
	list, err := dnsbl.ParseList("helo+sender:dbl.spamhaus.org=127.0.1.[2..99]*2")
	fmt.Println(list.Zone, list.For, list.Codes, list.Weight, err)
	_, err = dnsbl.ParseList("zen.spamhaus.org=127.0.0.[2..511]")
	fmt.Println(err)
	// Output:
	// dbl.spamhaus.org helo+sender 127.0.1.[2..99] 2 <nil>
	// dnsbl: in "zen.spamhaus.org=127.0.0.[2..511]" at offset 29: octet above 255
}

func ExampleFrom() {
	// A check behind the lists' that leaves clients with a good name alone.
	good := func(tx *smtpd.Transaction) bool {
		r, ok := dnsbl.From(tx.Session)
		return ok && r.Good
	}
	fmt.Println(good(&smtpd.Transaction{Session: new(smtpd.Session), Envelope: new(mailbricks.Envelope)}))
	// Output: false
}

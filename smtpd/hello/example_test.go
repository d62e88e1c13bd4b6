package hello_test

import (
	"fmt"
	"net/textproto"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/hello"
)

func Example() {
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:25")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &smtpd.Server{
		Hostname: "mx.example.com",
		Handler:  new(mailtest.Inbox),
		Checks: []smtpd.Check{hello.Check(hello.Options{
			Names:        []string{"example.com"},
			NotQualified: hello.Refuse,
		})},
	}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	for _, name := range []string{"mail.example.net", "[203.0.113.9]", "example.com", "[192.0.2.1]", "localhost", "PC"} {
		conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:25")
		if err != nil {
			fmt.Println(err)
			return
		}
		client := textproto.NewConn(conn)
		_, _, _ = client.ReadResponse(220)
		for _, command := range []string{"EHLO " + name, "MAIL FROM:<ann@example.net>", "RCPT TO:<bob@example.com>"} {
			_ = client.PrintfLine("%s", command)
			code, text, _ := client.ReadResponse(0)
			if command[0] == 'R' {
				fmt.Println(code, text)
			}
		}
		_ = client.Close()
	}
	_ = srv.Close()
	<-done
	// Output:
	// 250 2.1.5 Recipient ok
	// 250 2.1.5 Recipient ok
	// 550 5.7.1 Hello from <example.com> rejected: that is this server's name
	// 550 5.7.1 Hello from <[192.0.2.1]> rejected: that is this server's address
	// 250 2.1.5 Recipient ok
	// 504 5.5.2 Hello from <PC> rejected: a fully qualified host name is needed
}

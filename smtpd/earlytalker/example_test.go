package earlytalker_test

import (
	"bufio"
	"fmt"
	"time"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/earlytalker"
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
		Checks:   []smtpd.Check{earlytalker.Check(earlytalker.Options{Delay: 100 * time.Millisecond})},
	}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	for ip, says := range map[string]string{"192.0.2.25": "", "198.51.100.7": "EHLO spam.example\r\n"} {
		conn, err := network.Dialer(ip).Dial("tcp", "192.0.2.1:25")
		if err != nil {
			fmt.Println(err)
			return
		}
		_, _ = conn.Write([]byte(says))
		greeting, _ := bufio.NewReader(conn).ReadString('\n')
		fmt.Printf("%s %q\n", ip, greeting)
		_ = conn.Close()
	}
	_ = srv.Close()
	<-done
	// Unordered output:
	// 192.0.2.25 "220 mx.example.com ESMTP\r\n"
	// 198.51.100.7 "554 5.5.1 Protocol error: you talk before the greeting\r\n"
}

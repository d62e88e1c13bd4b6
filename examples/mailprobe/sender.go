package main

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/mailbricks/mailbricks/spf"
)

// sender are the options about an SMTP client.
type sender struct {
	IP   netip.Addr `required:"" name:"ip" placeholder:"IP" help:"The client's address."`
	Helo string     `required:"" placeholder:"NAME" help:"The name that it gave with EHLO or HELO."`
	From string     `required:"" placeholder:"ADDR" help:"The reverse-path; \"\" or \"<>\" for the null one."`
}

// Validate is called by the parser.
func (s sender) Validate() error {
	if !s.IP.IsValid() {
		return errors.New("-ip needs an address")
	}
	return nil
}

func (s sender) client() spf.Client {
	from := s.From
	if inner, ok := strings.CutPrefix(from, "<"); ok {
		from = strings.TrimSuffix(inner, ">")
	}
	return spf.Client{IP: s.IP, Helo: s.Helo, From: from}
}

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/mailbricks/mailbricks/auth/directory"
	"github.com/mailbricks/mailbricks/dkim"
)

type dnsCommand struct {
	Domain string `arg:""`
	JSON   bool   `name:"json" help:"As JSON."`
}

// dnsRecord is a record to publish.
type dnsRecord struct {
	Name  string `json:"name"` // without a final dot
	Type  string `json:"type"`
	Value string `json:"value"` // in one piece
	// Zone is the record as a line of a zone file.
	Zone string `json:"zone"`
	// Note says what it is for.
	Note string `json:"note"`
}

func (c *dnsCommand) runOn(_ context.Context, a *app, out io.Writer) error {
	domain, err := directory.CanonicalDomain(c.Domain)
	if err != nil {
		return fmt.Errorf("%q is not a domain: %w", c.Domain, err)
	}
	records, err := a.dnsRecords(domain)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, records)
	}
	signed := false
	for _, r := range records {
		fmt.Fprintf(out, "; %s\n%s\n", r.Note, r.Zone)
		signed = signed || strings.Contains(r.Name, "._domainkey.")
	}
	if !signed {
		fmt.Fprintf(out, "; DKIM: %[1]s has no key yet; fullserver dkim %[1]s makes one\n", domain)
	}
	return nil
}

// dnsRecords are what to publish for a domain so that mail comes in and is believed when it goes out.
func (a *app) dnsRecords(domain string) ([]dnsRecord, error) {
	host := a.config().hostname
	records := []dnsRecord{
		plainRecord(domain, "MX", "10 "+host+".", "mail for "+domain+" comes here"),
		txtRecord(domain, "v=spf1 mx -all", "SPF: only the hosts of the MX record send for "+domain),
		txtRecord("_dmarc."+domain, "v=DMARC1; p=quarantine; rua=mailto:postmaster@"+domain, "DMARC: what forged mail is to be treated like"),
	}
	if host != domain {
		records = append(records, txtRecord(host, "v=spf1 a -all", "SPF for "+host+" itself, from which bounces come"))
	}
	keys, err := a.keys.List(domain)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		records = append(records, txtRecord(k.Record.Name, k.Record.Value, keyNotes[k.Use]))
	}
	for _, service := range []string{"submissions", "submission", "imaps", "imap", "pop3s", "pop3"} { // RFC 6186 and RFC 8314
		addresses := a.config().listen[service]
		if len(addresses) == 0 {
			continue
		}
		_, port, err := net.SplitHostPort(addresses[0])
		if err != nil {
			return nil, err
		}
		records = append(records, plainRecord("_"+service+"._tcp."+domain, "SRV", "0 1 "+port+" "+host+".", "where mail programs find the service"))
	}
	return records, nil
}

func plainRecord(name, kind, value, note string) dnsRecord {
	return dnsRecord{Name: name, Type: kind, Value: value, Note: note, Zone: name + ". IN " + kind + " " + value}
}

func txtRecord(name, value, note string) dnsRecord {
	record := dkim.Record{Name: name, Value: value}
	return dnsRecord{Name: name, Type: "TXT", Value: value, Note: note, Zone: record.Zone()}
}

package main

import (
	"context"
	"fmt"
	"io"
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

func (c *dnsCommand) runOn(ctx context.Context, a *app, out io.Writer) error {
	domain, err := directory.CanonicalDomain(c.Domain)
	if err != nil {
		return fmt.Errorf("%.80q is not a domain name", c.Domain)
	}
	records, err := a.dnsRecords(domain)
	if err != nil {
		return a.wayOut(domain, err)
	}
	_, broken := a.keys.Signers(ctx, domain)
	if broken != nil {
		note(out, "no mail leaves from %s: %v", domain, a.wayOut(domain, broken))
	}
	if c.JSON {
		return printJSON(out, records)
	}
	signed := false
	for _, r := range records {
		fmt.Fprintf(out, "; %s\n%s\n", r.Note, r.Zone)
		signed = signed || strings.Contains(r.Name, "._domainkey.")
	}
	if !signed && broken == nil {
		fmt.Fprintf(out, "; DKIM: %[1]s has no key yet; fullserver dkim %[1]s makes one\n", domain)
		fmt.Fprintf(out, "; DKIM: without it mail leaves unsigned, and what aliases send on without an ARC set\n")
	}
	_, err = io.WriteString(out, hostHints(a.config().hostname, domain))
	return err
}

// hostHints say, in comments of a zone file, what has to be published for the host and stands in no record here: this server
// need not know the addresses under which others reach it.
func hostHints(host, domain string) string {
	var b strings.Builder
	for _, r := range [][3]string{{"A", "192.0.2.1", "IPv4"}, {"AAAA", "2001:db8::1", "IPv6, if it has one"}} {
		fmt.Fprintf(&b, "; address: %s. IN %s %s, with this server's address in place of that (%s)\n", host, r[0], r[1], r[2])
	}
	fmt.Fprintf(&b, "; reverse: the PTR records of these addresses must be %s., which whoever gave you the addresses sets\n", host)
	if host != domain && !strings.HasSuffix(host, "."+domain) {
		fmt.Fprintf(&b, "; the records of %s belong into its own zone\n", host)
	}
	return b.String()
}

// dnsRecords are what to publish for a domain so that mail comes in and is believed when it goes out.
func (a *app) dnsRecords(domain string) ([]dnsRecord, error) {
	host := a.config().hostname
	records := []dnsRecord{
		plainRecord(domain, "MX", "10 "+host+".", "mail for "+domain+" comes here"),
		txtRecord(domain, "v=spf1 mx -all", "SPF: only the hosts of the MX record send for "+domain),
		txtRecord("_dmarc."+domain, "v=DMARC1; p=quarantine; rua=mailto:"+a.reportsTo(domain), "DMARC: what forged mail is to be treated like"),
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
		at := a.config().listen[service]
		if len(at) == 0 {
			continue
		}
		records = append(records, plainRecord("_"+service+"._tcp."+domain, "SRV", "0 1 "+at[0].port()+" "+host+".", "where mail programs find the service"))
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

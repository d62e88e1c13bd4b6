package dmarc_test

import (
	"fmt"
	"log"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
)

// A report that came by mail is shown to the owner of the domain.
func ExampleParseReport() {
	mail := strings.NewReader(`From: reports@example.net
To: dmarc@example.com
Content-Type: text/xml

<feedback>
  <report_metadata>
    <org_name>Example Net</org_name><email>reports@example.net</email><report_id>4711</report_id>
    <date_range><begin>1700006400</begin><end>1700092799</end></date_range>
  </report_metadata>
  <policy_published><domain>example.com</domain><p>quarantine</p></policy_published>
  <record>
    <row>
      <source_ip>192.0.2.7</source_ip><count>12</count>
      <policy_evaluated><disposition>quarantine</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated>
    </row>
    <identifiers><header_from>example.com</header_from></identifiers>
    <auth_results><spf><domain>newsletter.example.org</domain><result>pass</result></spf></auth_results>
  </record>
</feedback>
`)
	report, err := dmarc.ParseReport(mail)
	if err != nil {
		log.Fatal(err)
	}
	if err := report.WriteText(os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// DMARC report from Example Net about example.com
	// 2023-11-15 (UTC), report 4711
	// Policy published: p=quarantine
	//
	// 12 messages from 1 source: 0 passed (0 %), 12 failed; 12 quarantined, 0 rejected
	//
	// source     messages  passed  DKIM  SPF  quarantined  rejected  From         identified as
	// 192.0.2.7  12        0       0     0    12           0         example.com  newsletter.example.org
	//
	// 192.0.2.7: 12 messages failed
	//   - SPF passes for newsletter.example.org but is not aligned with example.com: have the sender use a bounce address of example.com.
}

func ExampleReport_WriteXML() {
	day := time.Date(2023, 11, 15, 0, 0, 0, 0, time.UTC)
	report := &dmarc.Report{
		Metadata: dmarc.ReportMetadata{
			OrgName: "Example Net", Email: "reports@example.net", ReportID: "2023-11-15_example.com@example.net",
			Begin: day, End: day.Add(24*time.Hour - time.Second),
		},
		Policy: dmarc.ReportPolicy{Domain: "example.com", Policy: "reject", DiscoveryMethod: dmarc.DiscoveryTreeWalk},
		Records: []dmarc.ReportRecord{{
			Source: netip.MustParseAddr("192.0.2.7"), Count: 12, Disposition: dmarc.DispositionPass,
			DKIM: dmarc.AlignedPass, SPF: dmarc.AlignedFail, HeaderFrom: "example.com",
			DKIMResults: []dmarc.ReportDKIM{{Domain: "example.com", Selector: "2023", Result: "pass"}},
		}},
	}
	if err := report.WriteXML(os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// <?xml version="1.0" encoding="UTF-8"?>
	// <feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
	// <version>1.0</version>
	// <report_metadata>
	// <org_name>Example Net</org_name>
	// <email>reports@example.net</email>
	// <report_id>2023-11-15_example.com@example.net</report_id>
	// <date_range>
	// <begin>1700006400</begin>
	// <end>1700092799</end>
	// </date_range>
	// </report_metadata>
	// <policy_published>
	// <domain>example.com</domain>
	// <discovery_method>treewalk</discovery_method>
	// <p>reject</p>
	// </policy_published>
	// <record>
	// <row>
	// <source_ip>192.0.2.7</source_ip>
	// <count>12</count>
	// <policy_evaluated>
	// <disposition>pass</disposition>
	// <dkim>pass</dkim>
	// <spf>fail</spf>
	// </policy_evaluated>
	// </row>
	// <identifiers>
	// <header_from>example.com</header_from>
	// <envelope_from></envelope_from>
	// </identifiers>
	// <auth_results>
	// <dkim>
	// <domain>example.com</domain>
	// <selector>2023</selector>
	// <result>pass</result>
	// </dkim>
	// </auth_results>
	// </record>
	// </feedback>
}

func ExampleParseFailureReport() {
	mail := strings.NewReader(`Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

This is an authentication failure report.
--b
Content-Type: message/feedback-report

Feedback-Type: auth-failure
Version: 1
User-Agent: example/1
Auth-Failure: dmarc
Authentication-Results: mx.example.net; dmarc=fail header.from=example.com
Identity-Alignment: dkim, spf
Source-IP: 192.0.2.7
Reported-Domain: example.com

--b
Content-Type: text/rfc822-headers

From: Ann <ann@example.com>
Subject: Hello

--b--
`)
	r, err := dmarc.ParseFailureReport(mail)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.ReportedDomain, r.SourceIP, r.IdentityAlignment)
	fmt.Printf("%s", r.Header)
	// Output:
	// example.com 192.0.2.7 [dkim spf]
	// From: Ann <ann@example.com>
	// Subject: Hello
}

func ExampleFailureReport_Write() {
	r := &dmarc.FailureReport{
		ReportedDomain: "example.com", ReportingMTA: "mx.example.net", IdentityAlignment: []string{"dkim", "spf"},
		DeliveryResult: dmarc.DeliveryReject, SourceIP: netip.MustParseAddr("192.0.2.7"), OriginalMailFrom: "ann@example.com",
		Text: "A message with your name in it failed.", Header: []byte("From: Ann <ann@example.com>\r\nSubject: Hello\r\n"),
	}
	var mail strings.Builder
	mail.WriteString("From: reports@example.net\r\nTo: dmarc@example.com\r\nSubject: Failure report\r\n")
	if err := r.Write(&mail); err != nil {
		log.Fatal(err)
	}
	_, feedback, _ := strings.Cut(mail.String(), "Content-Type: message/feedback-report")
	feedback, _, _ = strings.Cut(feedback, "\r\n\r\n--")
	fmt.Println(strings.ReplaceAll(feedback, "\r\n", "\n"))
	// Output:
	// Content-Transfer-Encoding: 7bit
	//
	// Feedback-Type: auth-failure
	// Version: 1
	// User-Agent: mailbricks
	// Auth-Failure: dmarc
	// Authentication-Results: mx.example.net; dmarc=fail header.from=example.com
	// Identity-Alignment: dkim, spf
	// Delivery-Result: reject
	// Reported-Domain: example.com
	// Source-IP: 192.0.2.7
	// Reporting-MTA: dns; mx.example.net
	// Original-Mail-From: <ann@example.com>
}

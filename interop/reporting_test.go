//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/dmarc/reporting"
)

// readReport prints what Python finds in the message FILE.
const readReport = `python3 - "$FILE" <<'EOF'
import email, email.header, email.policy, email.utils, gzip, json, sys
import xml.etree.ElementTree as tree

message = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
assert not message.defects, message.defects
out = {name: str(message[name]) for name in ("To", "Subject", "Message-ID", "Auto-Submitted")}
raw = email.message_from_binary_file(open(sys.argv[1], "rb"))
out["Authors"] = [[str(email.header.make_header(email.header.decode_header(name))), address]
    for name, address in email.utils.getaddresses([raw["From"]])]
out["Types"] = [part.get_content_type() for part in message.walk()]
for part in message.walk():
    assert not part.defects, part.defects
attachment = next(message.iter_attachments())
out["File"] = attachment.get_filename()
ns = "{urn:ietf:params:xml:ns:dmarc-2.0}"
root = tree.fromstring(gzip.decompress(attachment.get_content()))
text = lambda path: [e.text for e in root.findall("/".join(ns + p for p in path.split("/")))]
out["ReportID"] = text("report_metadata/report_id")
out["Domain"] = text("policy_published/domain")
out["Counts"] = text("record/row/count")
out["Sources"] = text("record/row/source_ip")
print(json.dumps(out))
EOF`

// Python's libraries read the mails that carry aggregate reports.
func TestPythonReadsAggregateReports(t *testing.T) {
	need(t, "python3")
	const organization = "Müller, Söhne & Co. <Größe> (Berlin)"
	dir := t.TempDir()
	var mails []reporting.Mail
	synctest.Test(t, func(t *testing.T) {
		r := &reporting.Reporter{
			Dir: dir, Organization: organization, Email: "reports@mx.example.org", Hostname: "mx.example.org",
			Send: func(_ context.Context, m reporting.Mail) error { mails = append(mails, m); return nil },
		}
		require.NoError(t, r.Open())
		record, err := dmarc.ParseRecord("v=DMARC1; p=reject; rua=mailto:dmarc@example.com")
		require.NoError(t, err)
		for i := range 300 {
			require.NoError(t, r.Record(t.Context(), reporting.Evaluation{
				Verdict: dmarc.Verdict{Result: dmarc.Fail, AuthorDomain: "example.com", RecordDomain: "example.com", Record: record,
					Policy: dmarc.PolicyReject, Disposition: dmarc.PolicyReject},
				Source: netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 200)}), ReversePath: "ann@example.com", Disposition: dmarc.PolicyReject,
			}))
		}
		done := make(chan error, 1)
		go func() { done <- r.Run(context.Background()) }()
		time.Sleep(36 * time.Hour)
		require.NoError(t, r.Close())
		require.NoError(t, <-done)
	})
	require.Len(t, mails, 1)
	file := filepath.Join(dir, "report.eml")
	require.NoError(t, os.WriteFile(file, mails[0].Content, 0o600))

	var got struct {
		To, Subject, File                        string
		Authors                                  [][]string
		MessageID                                string `json:"Message-ID"`
		AutoSubmitted                            string `json:"Auto-Submitted"`
		Types, ReportID, Domain, Counts, Sources []string
	}
	require.NoError(t, json.Unmarshal([]byte(sh(t, readReport, "FILE="+file)), &got))
	require.Len(t, got.ReportID, 1)
	id := got.ReportID[0]
	require.Equal(t, [][]string{{organization, "reports@mx.example.org"}}, got.Authors)
	require.Equal(t, "dmarc@example.com", got.To)
	require.Equal(t, "Report Domain: example.com Submitter: mx.example.org Report-ID: <"+id+">", got.Subject)
	require.Equal(t, "<"+id+"@mx.example.org>", got.MessageID)
	require.Equal(t, "auto-generated", got.AutoSubmitted)
	require.Equal(t, []string{"multipart/mixed", "text/plain", "application/gzip"}, got.Types)
	require.Equal(t, "mx.example.org!example.com!946684800!946771199!"+id+".xml.gz", got.File)
	require.Equal(t, []string{"example.com"}, got.Domain)
	require.Len(t, got.Counts, 200)
	require.Len(t, got.Sources, 200)
	require.Equal(t, "2", got.Counts[0])
	require.Equal(t, "1", got.Counts[199])
}

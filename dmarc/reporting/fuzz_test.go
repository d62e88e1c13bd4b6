package reporting

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

func testReporter(t testing.TB, dir string) *Reporter {
	return &Reporter{
		Dir: dir, Email: "reports@example.org", Hostname: "mx.example.org",
		Send: func(context.Context, Mail) error { t.Error("nothing is to be sent"); return nil },
	}
}

func testEvaluation(t testing.TB, domain string) Evaluation {
	rec, err := dmarc.ParseRecord("v=DMARC1; p=reject; rua=mailto:d@" + domain)
	require.NoError(t, err)
	return Evaluation{
		Verdict: dmarc.Verdict{
			Result: dmarc.Pass, AuthorDomain: domain, RecordDomain: domain, Record: rec, Policy: rec.Policy,
			Aligned: []dmarc.Identifier{{Method: "dkim", Domain: domain}}, DKIMAligned: true,
		},
		Source: netip.MustParseAddr("192.0.2.1"), ReversePath: "bounces@" + domain, Recipients: []string{"ann@example.org"},
		SPF:  dmarc.ReportSPF{Domain: domain, Result: "softfail"},
		DKIM: []dmarc.ReportDKIM{{Domain: domain, Selector: "s1", Result: "pass"}},
	}
}

// Whatever is in a file, it is read, and what was read is the same when it is written and read again.
func FuzzDay(f *testing.F) {
	dir := f.TempDir()
	r := testReporter(f, dir)
	require.NoError(f, r.Open())
	for _, domain := range []string{"a.example", "b.example", "a.example"} {
		require.NoError(f, r.Record(context.Background(), testEvaluation(f, domain)))
	}
	r.days[dateOf(r.time())].closed = true
	name := r.path(r.sortedDays()[0])
	require.NoError(f, r.Close())
	whole, err := os.ReadFile(name)
	require.NoError(f, err)
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Add([]byte(dayFormat + " 2\n"))
	f.Add([]byte("\x00\x00\n\n\n00000000 {}\n" + filepath.Base(name)))
	f.Add(line(f, entry{Domain: "x", State: &state{Policy: &policy{}}},
		entry{Domain: "x", Number: 1, Row: []byte(`{"ip":""}`), Count: 1},
		entry{Number: 1, Count: 1 << 62}, entry{Number: 1, Count: -1}, entry{Number: 1, Count: 2}, entry{Closed: true}))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, _, err := parseDay(bytes.NewReader(data), 0)
		if err != nil {
			require.ErrorIs(t, err, ErrVersion)
			return
		}
		if d.id == "" {
			d.id = "lost"
		}
		stored := d.closeStored
		d.closeStored, d.changed = false, true
		r := testReporter(t, "/")
		r.fs, r.minRewrite = crashfs.New(), 1
		require.NoError(t, r.save(d))
		again, skipped, err := r.readDay(0)
		require.NoError(t, err)
		require.Zero(t, skipped)
		require.Equal(t, d.id, again.id)
		require.Equal(t, stored, again.closed)
		require.Len(t, again.domains, len(d.domains))
		for name, dom := range d.domains {
			require.Equal(t, dom.messages, again.domains[name].messages)
			require.Equal(t, dom.entry(), again.domains[name].entry())
			again.domains[name].policy.addresses()
			if len(again.domains[name].rows) > 0 {
				_, err := r.build(again, again.domains[name], 10)
				require.NoError(t, err)
			}
		}
	})
}

func line(t testing.TB, entries ...entry) (out []byte) {
	for _, e := range entries {
		var err error
		out, err = appendLine(out, e)
		require.NoError(t, err)
	}
	return out
}

package reporting_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/dmarc/reporting"
)

// zone answers for the DNS.
type zone map[string]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	switch txt, ok := z[strings.TrimSuffix(name, ".")]; {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case txt == "fails":
		return nil, &net.DNSError{Err: "server failure", Name: name, IsTemporary: true}
	default:
		return []string{txt}, nil
	}
}

// outbox is the queue that reports go to: it takes each key once.
type outbox struct {
	mu    sync.Mutex
	mails []reporting.Mail
	calls int
	keys  map[string]int
	err   func(reporting.Mail) error
}

func (o *outbox) send(_ context.Context, m reporting.Mail) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	if o.err != nil {
		if err := o.err(m); err != nil {
			return err
		}
	}
	if o.keys == nil {
		o.keys = map[string]int{}
	}
	if o.keys[m.Key]++; o.keys[m.Key] == 1 {
		o.mails = append(o.mails, m)
	}
	return nil
}

func (o *outbox) take() []reporting.Mail {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.mails
	o.mails = nil
	return out
}

func (o *outbox) fail(err func(reporting.Mail) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

var errQueue = errors.New("the queue is full")

const day = 24 * time.Hour

// pass lets time go on.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func newReporter(dir string, box *outbox, dns zone) *reporting.Reporter {
	return &reporting.Reporter{
		Dir: dir, Organization: "Example Org", Email: "dmarc-reports@mx.example.org", Hostname: "mx.example.org",
		Send: box.send, Resolver: dns,
	}
}

// start opens a Reporter and runs it until the test ends or stop is called.
func start(t *testing.T, r *reporting.Reporter) (stop func()) {
	t.Helper()
	require.NoError(t, r.Open())
	done := make(chan error, 1)
	go func() { done <- r.Run(context.Background()) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			require.NoError(t, r.Close())
			if err := <-done; !errors.Is(err, reporting.ErrClosed) {
				require.NoError(t, err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// evaluation is that of a message that passes by DKIM and fails SPF, under a record of the domain itself.
func evaluation(domain, record string) reporting.Evaluation {
	rec, err := dmarc.ParseRecord(record)
	if err != nil {
		panic(err)
	}
	return reporting.Evaluation{
		Verdict: dmarc.Verdict{
			Result: dmarc.Pass, AuthorDomain: domain, RecordDomain: domain, Record: rec, Policy: rec.Policy,
			Aligned: []dmarc.Identifier{{Method: "dkim", Domain: domain}}, DKIMAligned: true,
		},
		Source: netip.MustParseAddr("192.0.2.1"), ReversePath: "bounces@" + domain, Recipients: []string{"ann@mx.example.org"},
		SPF:  dmarc.ReportSPF{Domain: domain, Result: "softfail"},
		DKIM: []dmarc.ReportDKIM{{Domain: domain, Selector: "s1", Result: "pass"}},
	}
}

// failing makes the message one that fails and was refused.
func failing(e reporting.Evaluation) reporting.Evaluation {
	e.Verdict.Result, e.Verdict.Aligned, e.Verdict.DKIMAligned = dmarc.Fail, nil, false
	e.Verdict.Disposition, e.Disposition = e.Verdict.Policy, e.Verdict.Policy
	e.DKIM = nil
	return e
}

func record(t *testing.T, r *reporting.Reporter, evaluations ...reporting.Evaluation) {
	t.Helper()
	for _, e := range evaluations {
		require.NoError(t, r.Record(context.Background(), e))
	}
}

// letter is a report as a mail program sees it.
type letter struct {
	mail.Header
	text, file string
	gzip       []byte
	report     *dmarc.Report
}

// open reads a report's message, and checks what all of them must have.
func open(t *testing.T, m reporting.Mail) *letter {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSuffix(string(m.Content), "\r\n"), "\r\n") {
		require.LessOrEqual(t, len(line), 998)
		require.NotContains(t, line, "\n")
		require.NotContains(t, line, "\r")
	}
	msg, err := mail.ReadMessage(bytes.NewReader(m.Content))
	require.NoError(t, err)
	l := &letter{Header: msg.Header}
	kind, params, err := mime.ParseMediaType(l.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/mixed", kind)
	parts := multipart.NewReader(msg.Body, params["boundary"])
	p, err := parts.NextPart()
	require.NoError(t, err)
	text, err := io.ReadAll(p)
	require.NoError(t, err)
	l.text = string(text)
	p, err = parts.NextPart()
	require.NoError(t, err)
	kind, params, err = mime.ParseMediaType(p.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "application/gzip", kind)
	l.file = params["name"]
	require.Equal(t, p.FileName(), l.file)
	coded, err := io.ReadAll(p)
	require.NoError(t, err)
	for line := range bytes.SplitSeq(bytes.TrimSpace(coded), []byte("\r\n")) {
		require.LessOrEqual(t, len(line), 76)
	}
	l.gzip, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(string(coded), "\r\n", ""))
	require.NoError(t, err)
	_, err = parts.NextPart()
	require.ErrorIs(t, err, io.EOF)
	l.report, err = dmarc.ParseReport(bytes.NewReader(l.gzip))
	require.NoError(t, err)
	require.Empty(t, l.report.Warnings)
	return l
}

// counts adds up the messages in reports, by domain and address of the client.
func counts(t *testing.T, mails []reporting.Mail) map[string]int64 {
	out := map[string]int64{}
	for _, m := range mails {
		rep := open(t, m).report
		for _, rec := range rep.Records {
			out[rep.Policy.Domain+" "+rec.Source.String()] += rec.Count
		}
	}
	return out
}

func to(mails []reporting.Mail) []string {
	var out []string
	for _, m := range mails {
		out = append(out, m.To)
	}
	slices.Sort(out)
	return out
}

// midnight waits for the next one in UTC.
func midnight() {
	now := time.Now().UTC()
	pass(now.Truncate(day).Add(day).Sub(now))
}

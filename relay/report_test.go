package relay_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/relay"
)

// parsed is a notification as the standard library reads it.
type parsed struct {
	header     mail.Header
	text       string
	message    textproto.MIMEHeader   // the fields of the message in the status part
	recipients []textproto.MIMEHeader // of each recipient
	kind       string                 // of the third part
	returned   string
}

func parseReport(t *testing.T, raw []byte) parsed {
	t.Helper()
	for line := range bytes.SplitSeq(raw, []byte("\n")) {
		require.LessOrEqual(t, len(line), 999)
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	require.NoError(t, err)
	p := parsed{header: m.Header}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/report", kind)
	require.Equal(t, "delivery-status", params["report-type"])
	r := multipart.NewReader(m.Body, params["boundary"])

	part, err := r.NextRawPart()
	require.NoError(t, err)
	require.Equal(t, "text/plain; charset=utf-8", part.Header.Get("Content-Type"))
	text, err := io.ReadAll(quotedprintable.NewReader(part))
	require.NoError(t, err)
	p.text = string(text)

	part, err = r.NextRawPart()
	require.NoError(t, err)
	require.Equal(t, "message/delivery-status", part.Header.Get("Content-Type"))
	status, err := io.ReadAll(part)
	require.NoError(t, err)
	for i, group := range strings.Split(strings.TrimSpace(string(status)), "\r\n\r\n") {
		h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(group + "\r\n\r\n"))).ReadMIMEHeader()
		require.NoError(t, err, group)
		if i == 0 {
			p.message = h
		} else {
			p.recipients = append(p.recipients, h)
		}
	}

	part, err = r.NextRawPart()
	require.NoError(t, err)
	p.kind = part.Header.Get("Content-Type")
	returned, err := io.ReadAll(part)
	require.NoError(t, err)
	p.returned = string(returned)
	_, err = r.NextRawPart()
	require.ErrorIs(t, err, io.EOF)
	return p
}

func TestReport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: func(_ int, rcpt string) relay.Outcome {
			switch rcpt {
			case "bob@example.net":
				return never
			case "cleo@example.net":
				return relay.Outcome{Err: &mailbricks.Reply{Code: 550, Enhanced: "5.1.2", Text: "Domain does not exist"}}
			}
			return relay.Outcome{}
		}})
		env := envelope("ann@example.com", "bob@example.net", "good@example.net", "cleo@example.net")
		env.EnvelopeID = "E=1"
		env.Recipients[0].OriginalRecipient = "rfc822;sales@example.com"
		require.NoError(t, o.Handle(t.Context(), env, message(letter)))
		synctest.Wait()
		require.Len(t, o.reports.Messages(), 1, "one for both")
		got := o.reports.Messages()[0]
		require.Empty(t, got.Envelope.From)
		require.Equal(t, "ann@example.com", got.Envelope.Recipients[0].Address)
		require.Equal(t, mailbricks.NotifyNever, got.Envelope.Recipients[0].Notify)

		p := parseReport(t, got.Raw)
		from, err := p.header.AddressList("From")
		require.NoError(t, err)
		require.Equal(t, "MAILER-DAEMON@out.example.com", from[0].Address)
		to, err := p.header.AddressList("To")
		require.NoError(t, err)
		require.Equal(t, "ann@example.com", to[0].Address)
		require.Equal(t, "Your message could not be delivered: Hello", p.header.Get("Subject"))
		require.Equal(t, "auto-replied", p.header.Get("Auto-Submitted"))
		require.Equal(t, "<1@example.com>", p.header.Get("In-Reply-To"))
		require.Regexp(t, `^<[a-z0-9]+@out\.example\.com>$`, p.header.Get("Message-ID"))
		_, err = p.header.Date()
		require.NoError(t, err)

		require.Contains(t, p.text, "bob@example.net")
		require.Contains(t, p.text, "You wrote to sales@example.com")
		require.Contains(t, p.text, "There is no such mailbox.")
		require.Contains(t, p.text, "mx.example.net said:\r\n\r\n        550 5.1.1 unknown")
		require.Contains(t, p.text, "Domain does not exist.")
		require.NotContains(t, p.text, "good@example.net")

		require.Equal(t, "dns; out.example.com", p.message.Get("Reporting-MTA"))
		require.Equal(t, "E+3D1", p.message.Get("Original-Envelope-Id"))
		_, err = mail.ParseDate(p.message.Get("Arrival-Date"))
		require.NoError(t, err)
		require.Len(t, p.recipients, 2)
		bob, cleo := p.recipients[0], p.recipients[1]
		require.Equal(t, "rfc822; sales@example.com", bob.Get("Original-Recipient"))
		require.Equal(t, "rfc822; bob@example.net", bob.Get("Final-Recipient"))
		require.Equal(t, "failed", bob.Get("Action"))
		require.Equal(t, "5.1.1", bob.Get("Status"))
		require.Equal(t, "dns; mx.example.net", bob.Get("Remote-MTA"))
		require.Equal(t, "smtp; 550 5.1.1 unknown", bob.Get("Diagnostic-Code"))
		_, err = mail.ParseDate(bob.Get("Last-Attempt-Date"))
		require.NoError(t, err)
		require.Equal(t, "x-local; Domain does not exist", cleo.Get("Diagnostic-Code"))
		require.Empty(t, cleo.Get("Remote-MTA"))
		require.Equal(t, "message/rfc822", p.kind)
		require.Equal(t, letter, p.returned)
	})
}

func TestReportOfExpiryTellsForHowLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: always(later)})
		o.send("bob@example.net")
		pass(6 * 24 * time.Hour)
		p := parseReport(t, o.reports.Messages()[0].Raw)
		require.Contains(t, p.text, "I have tried for 5 days, ")
		require.Contains(t, p.text, "451 4.7.1 greylisted")
		require.Equal(t, "5.7.1", p.recipients[0].Get("Status"))
	})
}

// An internal error is for the administrator; the sender learns only what everybody may.
func TestReportKeepsInternalErrorsInside(t *testing.T) {
	secret := "maildir: stat /var/mail/bob: not a directory"
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: always(relay.Outcome{Err: errors.New(secret)})})
		o.send("bob@example.net")
		pass(time.Hour)
		o.reopen()
		list, err := o.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, secret, list[0].Recipients[0].Text)
		pass(6 * 24 * time.Hour)
		require.Equal(t, secret, o.events[len(o.events)-1].Text)
		require.Len(t, o.reports.Messages(), 1)
		raw := o.reports.Messages()[0].Raw
		require.NotContains(t, string(raw), "maildir")
		require.NotContains(t, string(raw), "/var")
		p := parseReport(t, raw)
		require.Contains(t, p.text, "The last time this happened:\r\nTemporary local problem, please try again later.\r\n")
		require.Equal(t, "x-local; Temporary local problem, please try again later", p.recipients[0].Get("Diagnostic-Code"))
	})
}

func TestHowMuchIsReturned(t *testing.T) {
	big := letter + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 2000)
	wide := "Subject: a\r\nX: " + strings.Repeat("y", 900) + "\r\n" + strings.Repeat("X: "+strings.Repeat("y", 900)+"\r\n", 200) + "\r\nbody\r\n"
	for name, tc := range map[string]struct {
		text string
		ret  mailbricks.Return
		max  int64
		kind string
		want string
	}{
		"small":              {letter, "", 0, "message/rfc822", letter},
		"large":              {big, "", 0, "text/rfc822-headers", letter[:strings.Index(letter, "\r\n\r\n")]},
		"large, all wanted":  {big, mailbricks.ReturnFull, 0, "text/rfc822-headers", letter[:strings.Index(letter, "\r\n\r\n")]},
		"large and allowed":  {big, "", 1 << 20, "message/rfc822", big},
		"header wanted":      {letter, mailbricks.ReturnHeaders, 0, "text/rfc822-headers", letter[:strings.Index(letter, "\r\n\r\n")]},
		"header always":      {letter, "", -1, "text/rfc822-headers", letter[:strings.Index(letter, "\r\n\r\n")]},
		"8 bits":             {"Subject: Grüße\r\n\r\nä\r\n", "", 0, "message/rfc822", "Subject: Grüße\r\n\r\nä\r\n"},
		"header without end": {wide, mailbricks.ReturnHeaders, 0, "text/rfc822-headers", ""},
		"looks like MIME":    {"Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n--\r\n", "", 0, "message/rfc822", "Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n--\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o := newOffice(t, &transport{decide: always(never)}, func(opts *relay.Options) { opts.MaxReturn = tc.max })
				env := envelope("ann@example.com", "bob@example.net")
				env.Return = tc.ret
				require.NoError(t, o.Handle(t.Context(), env, message(tc.text)))
				synctest.Wait()
				got := o.reports.Messages()[0]
				p := parseReport(t, got.Raw)
				require.Equal(t, tc.kind, p.kind)
				if tc.want == "" {
					require.Less(t, len(p.returned), 65<<10)
					return
				}
				require.Equal(t, strings.TrimSuffix(tc.want, "\r\n"), strings.TrimSuffix(p.returned, "\r\n"))
				eight := strings.Contains(tc.want, "ß")
				require.Equal(t, eight, got.Envelope.Body == mailbricks.Body8Bit)
				require.Equal(t, eight, strings.Contains(string(got.Raw), "Content-Transfer-Encoding: 8bit"))
			})
		})
	}
}

// Nothing that a peer or a sender wrote can forge a part or a field of the report.
func TestReportOfHostileText(t *testing.T) {
	bubble(t, func(t *testing.T) {
		evil := "x\r\nStatus: 2.0.0\r\n\r\n--b\x00\x1b[2J" + strings.Repeat("long ", 500)
		o := newOffice(t, &transport{decide: always(relay.Outcome{
			Err: &mailbricks.Reply{Code: 550, Enhanced: "5.1.1\r\nX: y", Text: evil}, Reply: "550 " + evil, Host: "mx\r\nX: y", TLS: "a\r\nb",
		})})
		env := envelope(`"ann\" x"@example.com`, "bob@example.net")
		env.Recipients[0].OriginalRecipient = "rfc822;a\r\nX: y"
		env.EnvelopeID = "a\r\nX: y"
		require.NoError(t, o.Handle(t.Context(), env, message("Subject: =?utf-8?q?a=0D=0ABcc:_x?=\r\nMessage-ID: <a b\x01@c>\r\n\r\n")))
		synctest.Wait()
		p := parseReport(t, o.reports.Messages()[0].Raw)
		require.Empty(t, p.header.Get("Bcc"))
		require.Empty(t, p.header.Get("In-Reply-To"))
		require.Empty(t, p.header.Get("X"))
		require.Empty(t, p.message.Get("X"))
		require.Len(t, p.recipients, 1)
		require.Empty(t, p.recipients[0].Get("X"))
		require.Len(t, p.recipients[0]["Status"], 1)
		require.Equal(t, "5.0.0", p.recipients[0].Get("Status"))
		require.NotContains(t, string(o.reports.Messages()[0].Raw), "\x1b")
	})
}

func TestReportWithUTF8Addresses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: always(never)})
		env := envelope("änn@example.com", "jörg+x@example.net")
		require.NoError(t, o.Handle(t.Context(), env, message("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHallo\r\n")))
		synctest.Wait()
		got := o.reports.Messages()[0]
		require.True(t, got.Envelope.SMTPUTF8)
		p := parseReport(t, got.Raw)
		require.Equal(t, `utf-8; j\x{F6}rg\x{2B}x@example.net`, p.recipients[0].Get("Final-Recipient"))
		require.Contains(t, p.text, "jörg+x@example.net")
		subject, err := new(mime.WordDecoder).DecodeHeader(p.header.Get("Subject"))
		require.NoError(t, err)
		require.Equal(t, "Your message could not be delivered: Grüße", subject)
	})
}

func TestWhoIsToldOfAFailure(t *testing.T) {
	for name, tc := range map[string]struct {
		from   string
		notify mailbricks.Notify
		want   int
	}{
		"nobody asked":   {"ann@example.com", 0, 1},
		"failure":        {"ann@example.com", mailbricks.NotifyFailure | mailbricks.NotifyDelay, 1},
		"never":          {"ann@example.com", mailbricks.NotifyNever, 0},
		"success only":   {"ann@example.com", mailbricks.NotifySuccess, 0},
		"null sender":    {"", 0, 0},
		"null, all same": {"", mailbricks.NotifyFailure, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o := newOffice(t, &transport{decide: always(never)})
				env := envelope(tc.from, "bob@example.net")
				env.Recipients[0].Notify = tc.notify
				require.NoError(t, o.Handle(t.Context(), env, message(letter)))
				pass(time.Hour)
				require.Len(t, o.reports.Messages(), tc.want)
				require.Zero(t, o.left())
			})
		})
	}
}

func TestReportThatIsNotTaken(t *testing.T) {
	for name, tc := range map[string]struct {
		err   error
		times int // that it fails
		want  int // reports that arrive
		left  int // messages in the queue after an hour
	}{
		"for now":   {errors.New("store is down"), 2, 1, 0},
		"for good":  {&mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "who?"}, 100, 0, 0},
		"for ever":  {errors.New("store is down"), 1 << 30, 0, 1},
		"one mixed": {mailbricks.Results{&mailbricks.Reply{Code: 452, Text: "full"}}, 1, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o := newOffice(t, &transport{decide: always(never)})
				n := 0
				o.reports.Fail(func(*mailbricks.Envelope, *mailbricks.Message) error {
					if n++; n > tc.times {
						return nil
					}
					return tc.err
				})
				o.send("bob@example.net")
				pass(2 * time.Minute)
				o.reopen()
				pass(time.Hour)
				require.Len(t, o.reports.Messages(), tc.want)
				require.Equal(t, tc.left, o.left())
				pass(11 * 24 * time.Hour)
				require.Zero(t, o.left(), "it is given up in the end")
			})
		})
	}
}

func TestReportGoesThroughTheQueueItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var signed []string
		o := newOffice(t, &transport{decide: always(never)}, func(opts *relay.Options) {
			opts.Generated = nil
			opts.ReportFrom = "postmaster@example.com"
			opts.Prepare = func(_ context.Context, env *mailbricks.Envelope, _ *mailbricks.Message) error {
				signed = append(signed, env.From)
				return nil
			}
		})
		o.send("bob@example.net")
		pass(time.Hour)
		require.Equal(t, []string{"ann@example.com", ""}, signed)
		require.Len(t, o.tr.times("ann@example.com"), 1, "and when that fails too, it is over")
		require.Zero(t, o.left())
		require.Contains(t, o.tr.texts[1], "From: Mail Delivery System <postmaster@example.com>")
	})
}

func TestReportWithoutTheMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{takes: time.Minute, decide: always(never)})
		relay.SyncEachFile(o.Queue)
		id := o.send("bob@example.net")
		pass(time.Second)
		require.NoError(t, o.fs.Remove("queue/msg/"+id))
		pass(time.Hour)
		require.Len(t, o.reports.Messages(), 1)
		p := parseReport(t, o.reports.Messages()[0].Raw)
		require.Equal(t, "rfc822; bob@example.net", p.recipients[0].Get("Final-Recipient"))
		require.Zero(t, o.left())
	})
}

func TestSettle(t *testing.T) {
	full := &mailbricks.Reply{Code: 452, Enhanced: "4.2.2", Text: "full"}
	gone := &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "gone"}
	for name, tc := range map[string]struct {
		from    string
		results error
		want    string // the reply; "" for nil
		queued  int    // recipients that are tried later
		reports int
	}{
		"all taken":                       {"ann@example.com", nil, "", 0, 0},
		"all for now":                     {"ann@example.com", full, "452 4.2.2", 0, 0},
		"all for good":                    {"ann@example.com", mailbricks.Results{gone, gone, gone}, "550 5.1.1", 0, 0},
		"none taken, mixed":               {"ann@example.com", mailbricks.Results{gone, full, gone}, "452 4.2.2", 0, 0},
		"a bug":                           {"ann@example.com", errors.New("nil map"), "451 4.3.0", 0, 0},
		"one for now":                     {"ann@example.com", mailbricks.Results{nil, full, nil}, "", 1, 0},
		"one for good":                    {"ann@example.com", mailbricks.Results{nil, gone, nil}, "", 0, 1},
		"one of each":                     {"ann@example.com", mailbricks.Results{full, gone, nil}, "", 1, 1},
		"one for good, nobody to tell":    {"", mailbricks.Results{nil, gone, nil}, "", 0, 0},
		"one of each, nobody to tell":     {"", mailbricks.Results{full, gone, nil}, "", 1, 0},
		"a handler that leaves outcomes":  {"ann@example.com", mailbricks.Results{nil}, "", 2, 0},
		"two for good, one report for it": {"ann@example.com", mailbricks.Results{gone, gone, nil}, "", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o := newOffice(t, &transport{}, func(opts *relay.Options) {
					opts.Prepare = func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
						return errors.New("not for local mail")
					}
				})
				next := mailbricks.HandlerFunc(func(_ context.Context, _ *mailbricks.Envelope, msg *mailbricks.Message) error {
					msg.Prepend("Delivered-To", "x")
					return tc.results
				})
				err := o.Settle(next).Handle(t.Context(), envelope(tc.from, "a@here.test", "b@here.test", "c@here.test"), message(letter))
				if tc.want != "" {
					requireReply(t, tc.want, err)
					_, isReply := errors.AsType[mailbricks.Results](err)
					require.False(t, isReply, "one reply for all")
					require.Zero(t, o.left())
					return
				}
				require.NoError(t, err)
				o.reopen() // it lasts
				pass(time.Hour)
				require.Zero(t, o.left())
				tried := 0
				for _, r := range []string{"a@here.test", "b@here.test", "c@here.test"} {
					tried += len(o.tr.times(r))
				}
				require.Equal(t, tc.queued, tried)
				require.Len(t, o.reports.Messages(), tc.reports)
				for _, text := range o.tr.texts {
					require.Equal(t, letter, text)
				}
			})
		})
	}
}

func TestSettleDoesNotTakeWhatItCannotStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{takes: time.Hour}, func(opts *relay.Options) { opts.MaxMessages = 1 })
		var store mailtest.Inbox
		isHere := func(d string) bool { return d == "here.test" }
		deliver := o.Settle(mailbricks.Route(isHere, &store, o))
		env := envelope("ann@example.com", "a@here.test", "b@example.net")
		require.NoError(t, deliver.Handle(t.Context(), env, message(letter)))
		requireReply(t, "452 4.3.1", deliver.Handle(t.Context(), env, message(letter)), "the queue is full")
		store.Fail(func(env *mailbricks.Envelope, _ *mailbricks.Message) error {
			return mailbricks.Results{nil, &mailbricks.Reply{Code: 452, Text: "full"}}
		})
		requireReply(t, "452 4.3.1", deliver.Handle(t.Context(), envelope("", "a@here.test", "b@here.test"), message(letter)))
		require.Equal(t, 1, o.left())
		requireReply(t, "553 5.1.3", deliver.Handle(t.Context(), envelope("", "b..\x00@example.net"), message(letter)))
	})
}

// What cannot be prepared for now does not double what was taken: it waits in the queue and leaves prepared.
func TestSettlePutsAsideWhatCannotBePrepared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		o := newOffice(t, &transport{}, func(opts *relay.Options) {
			opts.Prepare = func(_ context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
				if broken.Load() {
					return errors.New("no key")
				}
				msg.Prepend("Signed-For", env.Recipients[0].Alias)
				return nil
			}
		})
		var store mailtest.Inbox
		isHere := func(d string) bool { return d == "here.test" }
		deliver := mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			return o.Settle(mailbricks.Route(isHere, &store, o)).Handle(ctx, env, msg)
		})
		env := envelope("ann@example.com", "a@here.test", "b@example.net")
		env.Recipients[1].Alias = "sales@here.test"
		require.NoError(t, deliver.Handle(t.Context(), env, message(strings.ReplaceAll(letter, "\r\n", "\n"))))
		require.Len(t, store.Messages(), 1)
		require.Equal(t, 1, o.left())
		requireReply(t, "451 4.3.0", deliver.Handle(t.Context(), envelope("ann@example.com", "b@example.net"), message(letter)), "none was taken")
		o.reopen()
		pass(time.Hour)
		require.Empty(t, o.tr.times("b@example.net"), "nothing leaves unprepared")
		entries, err := o.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, "relay: prepare: no key", entries[0].Recipients[0].Text)

		// Others that failed for now on their way into the store are not prepared.
		store.Fail(func(env *mailbricks.Envelope, _ *mailbricks.Message) error {
			return mailbricks.Results{nil, &mailbricks.Reply{Code: 452, Text: "full"}}
		})
		require.NoError(t, deliver.Handle(t.Context(), envelope("", "a@here.test", "c@here.test", "b@example.net"), message(letter)))
		require.Equal(t, 3, o.left())
		pass(time.Hour)
		require.Equal(t, 2, o.left(), "that for the store is gone")
		require.Equal(t, []string{letter}, o.tr.texts)

		broken.Store(false)
		pass(6 * time.Hour)
		require.Zero(t, o.left())
		require.Len(t, o.tr.texts, 3)
		require.Contains(t, o.tr.texts, "Signed-For: sales@here.test\r\n"+letter)
		require.Contains(t, o.tr.texts, "Signed-For: \r\n"+letter)
	})
}

func TestSettleReportsToNoBrokenAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{})
		next := mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
			return mailbricks.Results{nil, never.Err}
		})
		env := envelope("a>\r\nBcc: x@y", "a@here.test", "b@here.test\r\nX: y")
		require.NoError(t, o.Settle(next).Handle(t.Context(), env, message(letter)))
		pass(time.Hour)
		require.Empty(t, o.reports.Messages())
		env.From = "ann@example.com"
		require.NoError(t, o.Settle(next).Handle(t.Context(), env, message(letter)))
		pass(time.Hour)
		p := parseReport(t, o.reports.Messages()[0].Raw)
		require.Empty(t, p.recipients[0].Get("X"))
	})
}

func TestSettleTellsOfAddressesThatTheQueueRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{})
		err := o.Settle(o).Handle(t.Context(), envelope("ann@example.com", "bob@example.net", "bad address"), message(letter))
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, o.reports.Messages(), 1)
		require.Contains(t, string(o.reports.Messages()[0].Raw), "Status: 5.1.3")
		require.Len(t, o.tr.times("bob@example.net"), 1)
	})
}

func ExampleParseSchedule() {
	s, err := relay.ParseSchedule("5m*2, 1h, 1d")
	fmt.Println(s, err)
	for attempt := range 5 {
		fmt.Println(s.After(attempt + 1))
	}
	// Output:
	// 5m0s*2, 1h0m0s, 24h0m0s <nil>
	// 5m0s
	// 5m0s
	// 1h0m0s
	// 24h0m0s
	// 24h0m0s
}

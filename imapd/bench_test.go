package imapd_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// benchClient is logged in over a real socket to a mailbox of n messages of this text.
func benchClient(b *testing.B, w *world, n int, text string) *client {
	messages := make([]string, n)
	for i := range messages {
		messages[i] = text
	}
	w.put(messages...)
	conn, err := net.Dial("tcp", w.listenTCP())
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	c := newClient(b, conn)
	c.Reader = bufio.NewReaderSize(conn, 64<<10)
	c.line()
	c.do("x LOGIN joe secret")
	c.do("x SELECT INBOX")
	return c
}

// keptBox has its summaries at hand.
type keptBox struct {
	unlistedBox
	kept map[mailbox.UID]mailbox.Summary
}

func (b keptBox) Summaries(ctx context.Context, uids []mailbox.UID) (list []mailbox.Summary, err error) {
	if len(b.kept) == 0 {
		all, _, err := b.UIDs(ctx)
		if err != nil {
			return nil, err
		}
		made, err := summaryBox{b.unlistedBox, nil}.Summaries(ctx, all)
		if err != nil {
			return nil, err
		}
		for _, s := range made {
			b.kept[s.UID] = s
		}
	}
	list = make([]mailbox.Summary, 0, len(uids))
	for _, uid := range uids {
		list = append(list, b.kept[uid])
	}
	return list, nil
}

// benchStores are what commands are measured over: mail in memory with and without summaries, and in files.
func benchStores() map[string]func(testing.TB) *world {
	return map[string]func(testing.TB) *world{
		"summaries": func(t testing.TB) *world {
			kept := map[mailbox.UID]mailbox.Summary{}
			return startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return keptBox{unlistedBox{b, nil}, kept} })
		},
		"plain":   startPlain,
		"maildir": startOnMaildir,
	}
}

// drain sends a command and reads to its tagged response, without keeping anything.
func (c *client) drain(command string) (octets int64) {
	c.send("x " + command + "\r\n")
	for {
		line, err := c.Reader.ReadSlice('\n')
		octets += int64(len(line))
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			c.T.Fatal(err)
		}
		if len(line) > 4 && string(line[:4]) == "x OK" {
			return octets
		}
	}
}

const headerText = "From: Joe <joe@example.com>\nTo: Ann <ann@example.com>, Bob <bob@example.com>\nSubject: about the thing\n" +
	"Date: Tue, 1 Feb 1994 23:00:00 +0000\nMessage-ID: <1@example.com>\nReceived: from a by b; Tue, 1 Feb 1994 23:00:00 +0000\n" +
	"MIME-Version: 1.0\nContent-Type: text/plain\n\nSome text.\n"

func benchmarkCommands(b *testing.B, n int, text string, commands ...string) {
	for name, start := range benchStores() {
		b.Run(name, func(b *testing.B) {
			c := benchClient(b, start(b), n, text)
			for _, command := range commands {
				b.Run(command, func(b *testing.B) {
					c.T = b
					c.drain(command)
					b.ReportAllocs()
					for b.Loop() {
						c.drain(command)
					}
					b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
				})
			}
		})
	}
}

// BenchmarkListing is what a mail program does with a mailbox of 10,000 messages that it has seen before.
func BenchmarkListing(b *testing.B) {
	benchmarkCommands(b, 10_000, headerText,
		"SELECT INBOX",
		"FETCH 1:* (UID FLAGS)",
		"FETCH 1:* (FLAGS UID RFC822.SIZE ENVELOPE)",
		"FETCH 1:* (BODYSTRUCTURE)",
		"FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-ID X-Priority References Content-Type Reply-To)])",
		"UID SEARCH ALL",
		"SEARCH SUBJECT nothing",
	)
}

func BenchmarkNoop(b *testing.B) { benchmarkCommands(b, 1000, headerText, "NOOP") }

// BenchmarkStore10k changes a flag of 10,000 messages, on and off in turns.
func BenchmarkStore10k(b *testing.B) {
	for name, start := range benchStores() {
		b.Run(name, func(b *testing.B) {
			c := benchClient(b, start(b), 10_000, headerText)
			sign := "+"
			b.ReportAllocs()
			for b.Loop() {
				c.drain("STORE 1:* " + sign + `FLAGS (\Flagged)`)
				sign = map[string]string{"+": "-", "-": "+"}[sign]
			}
		})
	}
}

// BenchmarkFetchBody streams a message of 32 MiB.
func BenchmarkFetchBody(b *testing.B) {
	c := benchClient(b, start(b, nil), 1, "Subject: large\n\n"+strings.Repeat(strings.Repeat("x", 78)+"\n", 32<<20/80))
	b.ReportAllocs()
	for b.Loop() {
		c.send("x FETCH 1 BODY.PEEK[TEXT]\r\n")
		c.line()
		n, err := io.CopyN(io.Discard, c.Reader, 32<<20/80*80)
		require.NoError(b, err)
		c.line()
		c.line()
		b.SetBytes(n)
	}
}

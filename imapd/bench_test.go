package imapd_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchClient is logged in over a real socket to a mailbox of n messages of this text.
func benchClient(b *testing.B, n int, text string) *client {
	w, addr := listenTCP(b, nil)
	messages := make([]string, n)
	for i := range messages {
		messages[i] = text
	}
	w.put(messages...)
	conn, err := net.Dial("tcp", addr)
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	c := newClient(b, conn)
	c.Reader = bufio.NewReaderSize(conn, 64<<10)
	c.line()
	c.do("x LOGIN joe secret")
	c.do("x SELECT INBOX")
	return c
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
		require.NoError(c.T, err)
		if len(line) > 4 && string(line[:4]) == "x OK" {
			return octets
		}
	}
}

const headerText = "From: Joe <joe@example.com>\nTo: Ann <ann@example.com>, Bob <bob@example.com>\nSubject: about the thing\n" +
	"Date: Tue, 1 Feb 1994 23:00:00 +0000\nMessage-ID: <1@example.com>\nReceived: from a by b; Tue, 1 Feb 1994 23:00:00 +0000\n" +
	"MIME-Version: 1.0\nContent-Type: text/plain\n\nSome text.\n"

func benchmarkCommand(b *testing.B, n int, text, command string) {
	c := benchClient(b, n, text)
	b.ReportAllocs()
	for b.Loop() {
		c.drain(command)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func BenchmarkFetchFlags10k(b *testing.B) {
	benchmarkCommand(b, 10_000, headerText, "FETCH 1:* (UID FLAGS)")
}

func BenchmarkFetchEnvelope10k(b *testing.B) {
	benchmarkCommand(b, 10_000, headerText, "FETCH 1:* (ENVELOPE)")
}

func BenchmarkFetchBodyStructure1k(b *testing.B) {
	benchmarkCommand(b, 1000, headerText, "FETCH 1:* (BODYSTRUCTURE)")
}

func BenchmarkSelect10k(b *testing.B) { benchmarkCommand(b, 10_000, headerText, "SELECT INBOX") }

func BenchmarkSearchAll10k(b *testing.B) { benchmarkCommand(b, 10_000, headerText, "UID SEARCH ALL") }

func BenchmarkSearchSubject10k(b *testing.B) {
	benchmarkCommand(b, 10_000, headerText, "SEARCH SUBJECT nothing")
}

func BenchmarkNoop(b *testing.B) { benchmarkCommand(b, 1000, headerText, "NOOP") }

// BenchmarkFetchBody streams a message of 32 MiB.
func BenchmarkFetchBody(b *testing.B) {
	c := benchClient(b, 1, "Subject: large\n\n"+strings.Repeat(strings.Repeat("x", 78)+"\n", 32<<20/80))
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

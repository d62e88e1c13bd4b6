package smtpd

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks"
)

// The short way to a reply gives what the long way gives.
func TestPlainReplies(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{"Ok", " ", "\n", "é", "\x00", "\t", "queued as X", strings.Repeat("word ", 30), strings.Repeat("x", 200)})
	enhanced := rapid.SampledFrom([]string{"", "2.1.5", "4.7.1", "2", "2.1", "2.1.5.6", "2.1234.5", "2..5", "x.1.5", "22.1.5", "2.1.a"})
	rapid.Check(t, func(t *rapid.T) {
		r := &mailbricks.Reply{
			Code:     rapid.SampledFrom([]int{250, 220, 354, 421, 451, 550}).Draw(t, "code"),
			Enhanced: enhanced.Draw(t, "enhanced"),
			Text:     strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "text"), ""),
		}
		short, long := new(conn), new(conn)
		for _, c := range []*conn{short, long} {
			c.Init(discarding{}, time.Minute)
		}
		short.reply(r)
		code := ""
		if r.Code != 354 {
			code = enhancedCode(r)
		}
		long.lines(r.Code, code, r.Lines())
		require.Equal(t, string(long.Out), string(short.Out))
		for line := range strings.Lines(string(short.Out)) {
			require.LessOrEqual(t, len(line), maxReplyLine)
			require.Regexp(t, "^[2-5][0-9][0-9][ -][ -~]*\r\n$", line)
			if r.Code != 354 {
				require.Regexp(t, fmt.Sprintf(`^.{4}%d\.[0-9]{1,3}\.[0-9]{1,3} `, r.Code/100), line)
			}
		}
	})
}

// discarding is a connection that takes what it is given.
type discarding struct{ net.Conn }

func (discarding) SetWriteDeadline(time.Time) error { return nil }
func (discarding) SetReadDeadline(time.Time) error  { return nil }
func (discarding) Write(p []byte) (int, error)      { return len(p), nil }

// Hops are the fields that a Message calls Received.
func TestHops(t *testing.T) {
	t.Parallel()
	line := rapid.SampledFrom([]string{
		"Received: x\r\n", "received: x\r\n", "RECEIVED \t: x\r\n", " Received: folded\r\n", "Received-SPF: x\r\n", "Received\r\n",
		"X-Received: x\r\n", "Received:\n", "\tfold\r\n", "Subject: Received: x\r\n", "Received: " + strings.Repeat("x", 100) + "\r\n\tby y\r\n",
	})
	rapid.Check(t, func(t *rapid.T) {
		msg := mailbricks.NewMessage([]byte(strings.Join(rapid.SliceOfN(line, 0, 10).Draw(t, "header"), "")))
		want := 0
		for f := range msg.Fields() {
			if f.Is("Received") {
				want++
			}
		}
		require.Equal(t, want, hops(msg.Header()), "%q", msg.Header())
	})
}

// pieces is a connection that gives one of its pieces at each read, as far as there is room.
type pieces struct {
	discarding
	left [][]byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; len(p.left[0]) == 0 {
		p.left = p.left[1:]
	}
	return n, nil
}

// A message gets larger buffers while it fills those that it has, and gives them back.
func TestBuffersFollowTheMessage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size, piece, want int
	}{
		"trickles":          {100 << 10, 100, 0},
		"is small":          {1 << 10, 1 << 10, 0},
		"fills one":         {30 << 10, 1 << 20, dataBuffer},
		"fills two":         {1 << 20, 1 << 20, largeBuffer},
		"arrives in middle": {1 << 20, 8 << 10, dataBuffer},
	} {
		t.Run(name, func(t *testing.T) {
			srv := new(Server)
			set := srv.settings(srv, false)
			message := append(bytes.Repeat([]byte("line\r\n"), c.size/6), ".\r\n"...)
			from := &pieces{}
			for piece := range chunksOf(message, c.piece) {
				from.left = append(from.left, piece)
			}
			conn := newConn(from, set)
			w := set.spool.Writer()
			defer w.Abort()
			widest := 0
			for end := int64(len(message)); end > 0; {
				conn.widen()
				if conn.wide != nil {
					widest = max(widest, len(*conn.wide))
				}
				require.NoError(t, conn.Fill(time.Time{}, false))
				end -= int64(conn.Pending())
				conn.Discard(conn.Pending())
			}
			require.Equal(t, c.want, widest)
			conn.shrink()
			require.Nil(t, conn.wide)
			require.Nil(t, conn.small)
		})
	}
}

// A session that waits for a command does so with a small buffer, also if there were too many commands behind a message.
func TestASessionWaitsWithASmallBuffer(t *testing.T) {
	t.Parallel()
	srv := new(Server)
	message, commands := bytes.Repeat([]byte("line\r\n"), 60<<10), bytes.Repeat([]byte("NOOP\r\n"), 2000)
	conn := newConn(&pieces{left: [][]byte{append(message, commands...), []byte("QUIT\r\n")}}, srv.settings(srv, false))
	conn.born = time.Now()
	for left := len(message); left > 0; {
		conn.widen()
		require.NoError(t, conn.Fill(time.Time{}, false))
		n := min(conn.Pending(), left)
		conn.Discard(n)
		left -= n
	}
	conn.shrink()
	require.NotNil(t, conn.wide, "what waits does not fit")
	for range 2000 {
		line, err := conn.readCommand()
		require.NoError(t, err)
		require.Equal(t, "NOOP\r\n", string(line))
	}
	line, err := conn.readCommand() // which had to be waited for
	require.NoError(t, err)
	require.Equal(t, "QUIT\r\n", string(line))
	require.Nil(t, conn.wide)
}

// chunksOf cuts b into pieces of at most size octets.
func chunksOf(b []byte, size int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(len(b), size)
			if !yield(b[:n:n]) {
				return
			}
			b = b[n:]
		}
	}
}

func BenchmarkDotScanner(b *testing.B) {
	for name, line := range map[string]string{
		"lines":  strings.Repeat("word ", 15) + "\r\n",
		"dots":   "..\r\n",
		"base64": strings.Repeat("QUJD", 19) + "\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			block := []byte(strings.Repeat(line, 64<<10/len(line)))
			work := make([]byte, len(block))
			b.SetBytes(int64(len(block)))
			b.ReportAllocs()
			for b.Loop() {
				copy(work, block) // what is scanned may be overwritten
				d := dotScanner{out: io.Discard, maxLine: DefaultMaxLineLength}
				if taken, done := d.scan(work); taken != len(work) || done || d.flaw != nil {
					b.Fatal(taken, done, d.flaw)
				}
			}
		})
	}
}

package raw_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/bench/internal/raw"
)

// served gives a connection to a server that says text, and then perhaps hangs up, and what it heard once it has closed.
func served(t *testing.T, hangUp bool, text string) (*raw.Conn, <-chan string) {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	heard := make(chan string, 1)
	go func() {
		_, _ = io.WriteString(server, text)
		if hangUp {
			_ = server.Close()
		}
	}()
	go func() {
		got, _ := io.ReadAll(server)
		heard <- string(got)
	}()
	return raw.New(client), heard
}

func TestReplies(t *testing.T) {
	t.Parallel()
	c, _ := served(t, true, "250-one\r\n250 two\r\n354 three\r\n421 4.3.2 busy\r\n25\r\n")
	require.NoError(t, c.Expect(250, 354))
	err := c.Expect(250)
	require.Equal(t, &raw.UnexpectedReply{Want: 250, Code: 421, Text: "421 4.3.2 busy"}, err)
	require.EqualError(t, err, `reply "421 4.3.2 busy" instead of 250`)
	_, _, err = c.Reply()
	require.Error(t, err)
	_, _, err = c.Reply()
	require.ErrorIs(t, err, io.EOF)
	c, _ = served(t, true, strings.Repeat("x", 5000))
	_, _, err = c.Reply()
	require.Error(t, err)
}

func TestHello(t *testing.T) {
	t.Parallel()
	c, heard := served(t, false, "220 hi\r\n250-x\r\n250 y\r\n")
	require.NoError(t, c.Hello())
	require.NoError(t, c.Close())
	require.Equal(t, "EHLO client.example.net\r\n", <-heard)
	_, err := raw.Dial(new(net.Dialer), "127.0.0.1:1", time.Second)
	require.Error(t, err)
}

func TestMessage(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1 << 10, 1 << 20} {
		m := string(raw.Message(size))
		require.InDelta(t, size, len(m), 100)
		require.True(t, strings.HasSuffix(m, "\r\n.\r\n"))
		require.NotContains(t, strings.TrimSuffix(m, ".\r\n"), "\r\n.")
		require.Equal(t, strings.Count(m, "\r\n"), strings.Count(m, "\n"))
	}
}

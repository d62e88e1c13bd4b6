package pop3d_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/pop3d"
)

// FuzzSession sends whole sessions, which end with the end of input. Whatever comes: the answer is lines, messages go
// only by DELE and QUIT, and the maildrop is free again afterwards.
func FuzzSession(f *testing.F) {
	in := "AUTH PLAIN " + good + "\r\n"
	f.Add([]byte("CAPA\r\nUSER ann@example.com\r\nPASS secret\r\nSTAT\r\nLIST\r\nUIDL 1\r\nRETR 2\r\nTOP 1 1\r\nDELE 1\r\nRSET\r\nDELE 2\r\nQUIT\r\n"))
	f.Add([]byte("AUTH\r\nAUTH LOGIN\r\n" + b64(ann) + "\r\n" + b64("secret") + "\r\nNOOP\r\nRETR 1"))
	f.Add([]byte(in + "TOP 1 0\r\nTOP 2 999\nDELE 1\r\nDELE 1\r\nLIST 1\r\n"))
	f.Add([]byte("AUTH PLAIN\r\n*\r\nSTLS\r\nFOO\r\nUSER \x00\r\nPASS x\r\n\r\n"))
	f.Add([]byte(in + "QUIT\r\nQUIT\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		network := mailtest.NewNetwork()
		account := memory.New(mailbox.Limit{})
		store := account.Store()
		inbox, err := store.Open(t.Context(), mailbox.Inbox)
		require.NoError(t, err)
		defer inbox.Close()
		for _, m := range []string{"a: b\r\n\r\n.\r\nc\r\n", "d: e\r\n\r\nf"} {
			_, err := inbox.Append(t.Context(), strings.NewReader(m), mailbox.AppendOptions{Size: int64(len(m))})
			require.NoError(t, err)
		}
		updated, opened := 0, 0
		srv := &pop3d.Server{
			Hostname: "mail.example.com", Auth: users{}, AllowInsecureAuth: true,
			Store: func(context.Context, mailbricks.Identity) (mailbox.Store, error) { return account.Store(), nil },
			Trace: pop3d.Trace{
				Opened:  func(*pop3d.Session, int, int64) { opened++ },
				Updated: func(_ *pop3d.Session, deleted, _ int) { updated += deleted },
			},
		}
		l, err := network.Listen("tcp", "192.0.2.1:110")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		defer func() { <-done }()
		defer srv.Close()

		for i, text := range [][]byte{input, []byte(in + "QUIT\r\n")} {
			conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:110")
			require.NoError(t, err)
			require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			go func() {
				_, _ = conn.Write(text) // the server may have had enough
				_ = conn.(*mailtest.Conn).CloseWrite()
			}()
			out, err := io.ReadAll(conn)
			require.NoError(t, err)
			conn.Close()
			require.True(t, bytes.HasPrefix(out, []byte("+OK mail.example.com POP3 server ready\r\n")), "%q", out)
			require.True(t, bytes.HasSuffix(out, []byte("\r\n")), "%q", out)
			require.NotContains(t, strings.ReplaceAll(string(out), "\r\n", ""), "\n")
			if i == 1 {
				require.Contains(t, string(out), "+OK Maildrop has", "the maildrop is free again")
			}
		}
		require.NoError(t, srv.Shutdown(t.Context()))
		uids, _, err := inbox.UIDs(t.Context())
		require.NoError(t, err)
		require.Len(t, uids, 2-updated)
		if !bytes.Contains(bytes.ToUpper(input), []byte("DELE")) || !bytes.Contains(bytes.ToUpper(input), []byte("QUIT")) || opened == 1 {
			require.Len(t, uids, 2)
		}
	})
}

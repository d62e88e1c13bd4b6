package maildir_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.String()
}

// What Dovecot compressed is there with its size, flags and UID, but nobody takes the compressed octets for a message, and the
// name that says how long it is stays as it is.
func TestPackedMessages(t *testing.T) {
	t.Parallel()
	plain := "Subject: packed\n\n" + strings.Repeat("words\n", 1000)
	crlf := int64(len(plain) + strings.Count(plain, "\n"))
	var log bytes.Buffer
	m := newMaildir(t, t.TempDir(), 0)
	m.Logger = slog.New(slog.NewTextHandler(&log, nil))
	dir := foreign(t, m.Root)
	named := fmt.Sprintf("1700000000.M1P1.h,S=%d,W=%d", len(plain), crlf)
	put(t, filepath.Join(dir, "cur", named+":2,S"), gzipped(t, plain))
	put(t, filepath.Join(dir, "cur", fmt.Sprintf("1700000001.M1P1.h,S=%d:2,", len(plain))), "CRYPTED\x03\x07"+strings.Repeat("z", 5))
	put(t, filepath.Join(dir, "cur", "1700000002.M1P1.h:2,"), "BZh91AY&SY12345")
	raw := gzipped(t, "x")
	put(t, filepath.Join(dir, "cur", fmt.Sprintf("1700000003.M1P1.h,S=%d:2,", len(raw))), raw) // a client stored it so
	b := open(t, m, mailbox.Inbox)
	status, err := b.Status(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 5, status.Messages)
	for uid, size := range map[mailbox.UID]int64{1: crlf, 2: int64(len(plain)), 3: 15} {
		require.Equal(t, size, one(t, b, uid).Size, uid)
		_, err := b.Content(t.Context(), uid)
		require.ErrorIs(t, err, maildir.ErrPacked, uid)
		require.ErrorContains(t, err, "doveadm backup")
		require.NotErrorIs(t, err, mailbox.ErrExpunged)
	}
	require.Equal(t, strings.ReplaceAll(raw, "\n", "\r\n"), text(t, b, 4))
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
	require.Contains(t, log.String(), "zlib")
	sums, err := b.(mailbox.Summarizer).Summaries(t.Context(), uidsOf(t, b))
	require.NoError(t, err)
	require.Len(t, sums, 2, "no envelope is made of compressed octets")

	// The copy is as good as the message.
	for _, linked := range []bool{true, false} {
		if !linked {
			require.NoError(t, m.Close())
			m = newMaildir(t, m.Root, 0)
			maildir.SetFS(m, linkless{unsynced{durable.OS()}})
			b = open(t, m, mailbox.Inbox)
		}
		copied, err := b.(mailbox.Copier).Copy(t.Context(), []mailbox.UID{1, 2}, "Archive")
		require.NoError(t, err)
		archive := open(t, m, "Archive")
		require.Equal(t, crlf, one(t, archive, copied.Dest[0]).Size)
		_, err = archive.Content(t.Context(), copied.Dest[0])
		require.ErrorIs(t, err, maildir.ErrPacked)
		_, err = archive.Content(t.Context(), copied.Dest[1])
		require.ErrorIs(t, err, maildir.ErrPacked)
	}
	before := fileNames(t, filepath.Join(dir, "cur"))
	findings, stats := checkup(t, m, maildir.CheckOptions{Repair: true})
	require.Equal(t, 7, stats.Findings, findings)
	require.Zero(t, stats.Mended)
	require.Contains(t, strings.Join(findings, "\n"), "compressed by Dovecot's plugin zlib (gzip)")
	require.Contains(t, strings.Join(findings, "\n"), "encrypted by Dovecot's plugin mail_crypt")
	require.Equal(t, before, fileNames(t, filepath.Join(dir, "cur")))
}

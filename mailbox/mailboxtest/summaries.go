package mailboxtest

import (
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// testSummaries holds what the store says against what is made of the content.
func testSummaries(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	if _, ok := b.Mailbox.(mailbox.Summarizer); !ok {
		w.Skip("the mailbox is no mailbox.Summarizer")
	}
	texts := []string{
		message(1),
		"x",
		"\r\n",
		"From: \"J.\\\" Doe\" <joe@example.com>\r\nTo: a@example.com, b@example.com\r\nSubject: =?utf-8?q?=C3=A4?=\r\n" +
			"Message-ID: <1@example.com>\r\n\r\nText\r\n",
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n" +
			"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntwo\r\n--b--\r\n",
		"Content-Type: multipart/mixed; boundary=never\r\n\r\nno parts\r\n",
		"Subject: " + strings.Repeat("long ", 4000) + "\r\n\r\n" + strings.Repeat("0123456789\r\n", 20_000),
	}
	want := map[mailbox.UID]string{}
	for _, text := range texts {
		want[b.append(text)] = text
	}
	check := func(b box, uids []mailbox.UID, there []mailbox.UID) {
		w.Helper()
		got, err := b.Mailbox.(mailbox.Summarizer).Summaries(w.ctx, uids)
		require.NoError(w, err)
		require.Len(w, got, len(there))
		for i, s := range got {
			require.Equal(w, there[i], s.UID)
			data, err := mailbox.Summarize(strings.NewReader(want[s.UID]))
			require.NoError(w, err)
			require.Equal(w, data, s.Data, "of %.40q", want[s.UID])
		}
	}
	uids := b.uids()
	check(b, nil, nil)
	check(b, uids, uids)
	check(b, uids, uids) // by now it has them
	check(b, []mailbox.UID{uids[2], uids[6], uids[6] + 1, uids[6] + 100}, []mailbox.UID{uids[2], uids[6]})
	b.expunge(uids[3])
	check(b, uids[2:5], []mailbox.UID{uids[2], uids[4]})
	copied, err := b.Copy(w.ctx, uids[4:6], mailbox.Inbox)
	require.NoError(w, err)
	for i, uid := range copied.Dest {
		want[uid] = want[copied.Source[i]]
	}
	check(b, copied.Dest, copied.Dest)
	b.setFlags(uids[0], mailbox.AddFlags, mailbox.Seen)
	other := w.openIn(w.session(), mailbox.Inbox)
	check(other, other.uids(), other.uids())
	w.restart()
	b = w.open(mailbox.Inbox)
	fresh := b.append(texts[0])
	want[fresh] = texts[0]
	check(b, b.uids(), b.uids())

	if w.account.Lose != nil { // what has no content any more has no summary, or still the old one
		require.NoError(w, w.account.Lose(mailbox.Inbox, fresh))
		got, err := b.Mailbox.(mailbox.Summarizer).Summaries(w.ctx, []mailbox.UID{uids[0], fresh})
		require.NoError(w, err)
		require.NotEmpty(w, got)
		require.Equal(w, uids[0], got[0].UID)
	}
}

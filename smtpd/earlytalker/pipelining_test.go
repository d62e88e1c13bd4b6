package earlytalker_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/earlytalker"
)

func TestPipelining(t *testing.T) {
	t.Parallel()
	const (
		helo        = "S* 220\nC: HELO client.example.net\nS* 250\n"
		ehlo        = "S* 220\nC: EHLO client.example.net\n" // not waiting for the reply
		from, to    = "C: MAIL FROM:<ann@example.net>\n", "C: RCPT TO:<bob@example.com>\n"
		ok          = "S* 250\n"
		noBody      = "C: DATA\nS* 354\nC: .\n"
		bodyBehind  = "C: DATA\nC: Subject: x\nC:\nC: MAIL FROM:<evil@example.net>\nC: .\n"
		behindHello = "S: 554 5.5.0 Protocol error: you sent commands behind EHLO\nS$"
		without     = "S: 554 5.5.0 Protocol error: you sent commands ahead without EHLO\nS$"
		before354   = "S: 554 5.5.0 Protocol error: you sent the message before 354\nS$"
		recipient   = "S: 550 5.5.1 Protocol error: you talk before it is your turn\n"
		last        = ok + ok + "S* 354\nC: .\n" + ok // behind DATA
	)
	const (
		refuse, closing, recipients = earlytalker.Refuse, earlytalker.Close, earlytalker.RefuseRecipients
		quarantine, mark, ignore    = earlytalker.Quarantine, earlytalker.Mark, earlytalker.Ignore

		behindEHLO, noPipelining, behindData = earlytalker.BehindHello, earlytalker.WithoutPipelining, earlytalker.BehindData
	)
	for name, c := range map[string]struct {
		action   earlytalker.Action
		script   string
		offence  earlytalker.Offence
		messages int
	}{
		"all as it should be":       {refuse, hello + mail + data + mail + data + quit, "", 2},
		"HELO, all as it should be": {refuse, helo + from + ok + to + ok + data + quit, "", 1},
		"DATA last in its group":    {refuse, hello + from + to + "C: DATA\n" + last + quit, "", 1},
		// RFC 2920 §3.1: the message may be the first in a group.
		"the next behind the dot": {refuse, hello + mail + noBody + from + to + "C: DATA\n" + ok + last + quit, "", 2},
		"QUIT behind the dot":     {refuse, helo + from + ok + to + ok + noBody + "C: QUIT\n" + ok + "S* 221\nS$", "", 1},
		"a chunk behind BDAT":     {refuse, hello + from + to + "C: BDAT 2 LAST\nC:\n" + ok + ok + ok + quit, "", 1},

		"behind EHLO":           {refuse, ehlo + from + to + behindHello, behindEHLO, 0},
		"behind HELO":           {refuse, "S* 220\nC: HELO a.example\n" + from + behindHello, behindEHLO, 0},
		"behind the next EHLO":  {refuse, hello + mail + data + "C: EHLO a.example\n" + from + behindHello, behindEHLO, 1},
		"a part of a line":      {refuse, "S* 220\nR: \"EHLO a.example\\r\\nM\"\n" + behindHello, behindEHLO, 0},
		"MAIL without EHLO":     {refuse, helo + from + to + without, noPipelining, 0},
		"RCPT without EHLO":     {refuse, helo + from + ok + to + "C: DATA\n" + without, noPipelining, 0},
		"body behind DATA":      {refuse, hello + mail + bodyBehind + before354, behindData, 0},
		"all in one":            {closing, hello + from + to + bodyBehind + ok + ok + before354, behindData, 0},
		"body behind DATA, too": {recipients, hello + mail + bodyBehind + before354, behindData, 0},
		"refused at RCPT":       {recipients, ehlo + from + ok + ok + to + recipient + to + recipient + quit, behindEHLO, 0},
		"refused at that RCPT":  {recipients, helo + from + ok + to + "C: NOOP\n" + recipient + ok + quit, noPipelining, 0},
		"quarantined":           {quarantine, hello + mail + bodyBehind + "S* 354\n" + ok + quit, behindData, 1},
		"quarantined at EHLO":   {quarantine, ehlo + from + ok + ok + to + ok + data + quit, behindEHLO, 1},
		"marked":                {mark, hello + mail + bodyBehind + "S* 354\n" + ok + quit, behindData, 1},
		"not looked at":         {ignore, hello + mail + bodyBehind + "S* 354\n" + ok + quit, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offences := make(chan earlytalker.Offence, 1)
			see := smtpd.Check{Disconnect: func(_ context.Context, s *smtpd.Session) { offences <- earlytalker.Of(s) }}
			passed := new(earlytalker.Clients)
			inWorld(t, earlytalker.Options{Pipelining: c.action, Passed: passed}, func(w *world) {
				conn := w.dial(client)
				require.Equal(t, earlytalker.DefaultDelay, w.say(conn, c.script))
				conn.Close()
				require.Equal(t, c.offence, <-offences)
				require.Len(t, w.inbox.Messages(), c.messages)
				if c.action == quarantine {
					require.Equal(t, "earlytalker: "+string(c.offence), w.inbox.Messages()[0].Envelope.Quarantine)
				}
				require.Equal(t, c.offence == "", passed.Len() == 1, "who is caught must wait again")
			}, see)
		})
	}
}

// Someone who talks before the greeting goes on like that; the offence to tell of is the first.
func TestFirstOffence(t *testing.T) {
	t.Parallel()
	seen := make(chan earlytalker.Offence, 1)
	inWorld(t, earlytalker.Options{Early: earlytalker.Mark, Pipelining: earlytalker.Mark}, func(w *world) {
		w.talk(client, "C: HELO a.example\nC: MAIL FROM:<>\nS* 220\nS* 250\nS* 250\n"+quit)
		require.Equal(t, earlytalker.BeforeGreeting, <-seen)
	}, smtpd.Check{Disconnect: func(_ context.Context, s *smtpd.Session) { seen <- earlytalker.Of(s) }})
}

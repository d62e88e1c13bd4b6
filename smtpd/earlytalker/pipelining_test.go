package earlytalker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/earlytalker"
)

func TestPipelining(t *testing.T) {
	t.Parallel()
	const (
		helo      = "S* 220\nC: HELO client.example.net\nS* 250\n"
		behind    = "S: 554 5.5.0 Protocol error: you sent commands behind EHLO\nS$"
		without   = "S: 554 5.5.0 Protocol error: you sent commands ahead though not asked\nS$"
		before354 = "S: 554 5.5.0 Protocol error: you sent the message before 354\nS$"
		from, to  = "C: MAIL FROM:<ann@example.net>\n", "C: RCPT TO:<bob@example.com>\n"
		body      = "C: Subject: x\nC:\nC: MAIL FROM:<evil@example.net>\nC: .\n"
		recipient = "S: 550 5.5.1 Protocol error: you talk before it is your turn\n"
	)
	for name, c := range map[string]struct {
		action   earlytalker.Action
		script   string
		offence  earlytalker.Offence
		messages int
	}{
		"all as it should be":       {earlytalker.Refuse, hello + mail + data + mail + data + quit, "", 2},
		"HELO, all as it should be": {earlytalker.Refuse, helo + from + "S* 250\n" + to + "S* 250\n" + data + quit, "", 1},
		"DATA last in its group":    {earlytalker.Refuse, hello + from + to + "C: DATA\nS* 250\nS* 250\nS* 354\nC: .\nS* 250\n" + quit, "", 1},
		// RFC 2920 §3.1: the message may be the first in a group
		"the next behind the dot": {earlytalker.Refuse, hello + mail + "C: DATA\nS* 354\nC: .\n" + from + to + "C: DATA\nS* 250\nS* 250\nS* 250\nS* 354\nC: .\nS* 250\n" + quit, "", 2},
		"QUIT behind the dot":     {earlytalker.Refuse, helo + from + "S* 250\n" + to + "S* 250\nC: DATA\nS* 354\nC: .\nC: QUIT\nS* 250\nS* 221\nS$", "", 1},

		"a chunk behind BDAT": {earlytalker.Refuse, hello + from + to + "C: BDAT 2 LAST\nC:\nS* 250\nS* 250\nS* 250\n" + quit, "", 1},

		"behind EHLO":           {earlytalker.Refuse, "S* 220\nC: EHLO a.example\n" + from + to + behind, earlytalker.BehindHello, 0},
		"behind HELO":           {earlytalker.Refuse, "S* 220\nC: HELO a.example\n" + from + behind, earlytalker.BehindHello, 0},
		"behind the next EHLO":  {earlytalker.Refuse, hello + mail + data + "C: EHLO a.example\n" + from + behind, earlytalker.BehindHello, 1},
		"a part of a line":      {earlytalker.Refuse, "S* 220\nR: \"EHLO a.example\\r\\nM\"\n" + behind, earlytalker.BehindHello, 0},
		"MAIL without EHLO":     {earlytalker.Refuse, helo + from + to + without, earlytalker.WithoutPipelining, 0},
		"RCPT without EHLO":     {earlytalker.Refuse, helo + from + "S* 250\n" + to + "C: DATA\n" + without, earlytalker.WithoutPipelining, 0},
		"body behind DATA":      {earlytalker.Refuse, hello + mail + "C: DATA\n" + body + before354, earlytalker.BehindData, 0},
		"all in one":            {earlytalker.Close, hello + from + to + "C: DATA\n" + body + "S* 250\nS* 250\n" + before354, earlytalker.BehindData, 0},
		"body behind DATA, too": {earlytalker.RefuseRecipients, hello + mail + "C: DATA\n" + body + before354, earlytalker.BehindData, 0},
		"refused at RCPT":       {earlytalker.RefuseRecipients, "S* 220\nC: EHLO a.example\n" + from + "S* 250\nS* 250\n" + to + recipient + to + recipient + quit, earlytalker.BehindHello, 0},
		"refused at that RCPT":  {earlytalker.RefuseRecipients, helo + from + "S* 250\n" + to + "C: NOOP\n" + recipient + "S* 250\n" + quit, earlytalker.WithoutPipelining, 0},
		"quarantined":           {earlytalker.Quarantine, hello + mail + "C: DATA\n" + body + "S* 354\nS* 250\n" + quit, earlytalker.BehindData, 1},
		"quarantined at EHLO":   {earlytalker.Quarantine, "S* 220\nC: EHLO a.example\n" + from + "S* 250\nS* 250\n" + to + "S* 250\n" + data + quit, earlytalker.BehindHello, 1},
		"marked":                {earlytalker.Mark, hello + mail + "C: DATA\n" + body + "S* 354\nS* 250\n" + quit, earlytalker.BehindData, 1},
		"not looked at":         {earlytalker.Ignore, hello + mail + "C: DATA\n" + body + "S* 354\nS* 250\n" + quit, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offences := make(chan earlytalker.Offence, 1)
			see := smtpd.Check{Disconnect: func(s *smtpd.Session) { offences <- earlytalker.Of(s) }}
			passed := new(earlytalker.Clients)
			inWorld(t, earlytalker.Options{Pipelining: c.action, Passed: passed}, func(w *world) {
				conn := w.dial(client)
				require.Equal(t, earlytalker.DefaultDelay, w.say(conn, c.script))
				conn.Close()
				require.Equal(t, c.offence, <-offences)
				require.Len(t, w.inbox.Messages(), c.messages)
				if c.action == earlytalker.Quarantine {
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
	}, smtpd.Check{Disconnect: func(s *smtpd.Session) { seen <- earlytalker.Of(s) }})
}

package ban

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Check is the check. It refuses peers that are banned at the greeting, and at MAIL those that have been banned since, unless
// a user has logged in, be it by XCLIENT, and closes the connection: with 421 4.7.0 for a ban that ends, so that the mail of an honest server is
// kept and comes later, and with 554 5.7.1 for one that does not. It counts points for what goes wrong in a session.
// Put it in front of all others, so that they are not asked about a peer that is banned.
//
// Sessions in which a user has logged in get points for failed log-ins only.
func (b *Bans) Check() smtpd.Check {
	return smtpd.Check{
		Name:    "ban",
		Connect: func(_ context.Context, s *smtpd.Session) error { return b.refuse(s) },
		Hello: func(_ context.Context, s *smtpd.Session, _ string) error {
			b.settle(s)
			return nil
		},
		Mail: func(_ context.Context, tx *smtpd.Transaction) error {
			b.settle(tx.Session)
			return b.refuse(tx.Session)
		},
		Disconnect: func(_ context.Context, s *smtpd.Session) {
			b.settle(s)
		},
	}
}

// refuse is the refusal of a peer that is banned. At the greeting a user has logged in when XCLIENT has said so.
func (b *Bans) refuse(s *smtpd.Session) error {
	if s.Peer.Identity != nil {
		return nil
	}
	ban, banned := b.Lookup(s.Peer.Addr.Addr())
	if !banned {
		return nil
	}
	addr := s.Peer.Addr.Addr().Unmap()
	if !ban.Ends() {
		return smtpd.Close(&mailbricks.Reply{Code: 554, Enhanced: "5.7.1", Text: fmt.Sprintf("%s is banned here", addr)})
	}
	minutes := int(math.Ceil(time.Until(ban.Until).Minutes()))
	return smtpd.Close(&mailbricks.Reply{Code: 421, Enhanced: "4.7.0",
		Text: fmt.Sprintf("%s is banned here for %d more minutes", addr, max(1, minutes))})
}

// seen is what has been counted of a session.
type seen struct{ counts smtpd.Counts }

type seenKey struct{ b *Bans }

func (b *Bans) seen(s *smtpd.Session) *seen {
	was, ok := s.Value(seenKey{b}).(*seen)
	if !ok {
		was = new(seen)
		s.Set(seenKey{b}, was)
	}
	return was
}

// settle counts what a session has come to since it was last asked about.
func (b *Bans) settle(s *smtpd.Session) {
	was, is := b.seen(s), s.Counts()
	auth, errs := is.AuthFailures-was.counts.AuthFailures, is.Errors-was.counts.Errors
	bad := is.BadRecipients - was.counts.BadRecipients
	was.counts = is
	addr := s.Peer.Addr.Addr()
	if auth > 0 {
		b.Report(addr, float64(auth)*b.o.AuthFailure, "failed log-ins")
	}
	if s.Peer.Identity != nil {
		return
	}
	if bad > 0 {
		b.Report(addr, float64(bad)*b.o.BadRecipient, "refused recipients")
	}
	if errs > 0 {
		b.Report(addr, float64(errs)*b.o.Error, "commands that make no sense")
	}
}

// Outcome counts Options.Checks: it is for [smtpd.Trace], and adds the points for a refusal by the check that decided on it.
func (b *Bans) Outcome(o smtpd.Outcome) {
	if o.Session == nil || o.Action != smtpd.Refuse && o.Action != smtpd.ClosePeer {
		return
	}
	if n := b.o.Checks[o.Check]; n > 0 && o.Session.Peer.Identity == nil {
		b.Report(o.Session.Peer.Addr.Addr(), n, "refused by "+o.Check)
	}
}

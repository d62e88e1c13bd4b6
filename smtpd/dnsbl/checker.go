package dnsbl

import (
	"context"
	"fmt"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Checker asks lists. It is made by [New] and safe for use by several servers at once.
type Checker struct {
	o     Options
	sites []*site
	slots chan struct{} // one for each query under way
}

// New makes a Checker. An error says which list is none.
func New(o Options) (*Checker, error) {
	c := &Checker{o: o.withDefaults()}
	if len(o.Lists) > MaxLists {
		return nil, fmt.Errorf("dnsbl: more than %d lists", MaxLists)
	}
	c.slots = make(chan struct{}, c.o.MaxLookups)
	c.o.Lists = make([]List, len(o.Lists))
	byZone := make(map[string]*site)
	for i, given := range o.Lists {
		l, err := given.checked()
		if err != nil {
			return nil, fmt.Errorf("dnsbl: list %d (%s): %w", i+1, cleanText(given.label()), err)
		}
		c.o.Lists[i] = l
		s := byZone[l.Zone]
		if s == nil {
			s = &site{zone: l.Zone, label: l.label()}
			byZone[l.Zone] = s
			c.sites = append(c.sites, s)
		}
		s.kinds |= l.For
		s.lists = append(s.lists, l)
	}
	for _, s := range c.sites {
		c.addProbes(s)
	}
	return c, nil
}

// addProbes makes the probes of the classes that a zone is asked about.
func (c *Checker) addProbes(s *site) {
	for class := range Class(classes) {
		kinds := Client
		if class == Domain {
			kinds = names
		}
		if s.kinds&kinds != 0 {
			s.probes[class] = &probe{checker: c, site: s, class: class}
		}
	}
}

// Check is the check. It asks about the client when it connects and about names at MAIL, and goes on at once; it waits for
// what is still missing at RCPT, where it decides. Put it in front of checks that let the client wait, such as a greeting
// delay, and behind those that refuse recipients who are not there.
func (c *Checker) Check() smtpd.Check {
	return smtpd.Check{Name: "dnsbl", Connect: c.connect, Mail: c.mail, Rcpt: c.rcpt, Disconnect: c.disconnect}
}

// sessionKey and decisionKey are for what one Checker keeps; several on one server do not meet.
type (
	sessionKey  struct{ *Checker }
	decisionKey struct{ *Checker }
)

// decision is what came of a transaction.
type decision struct{ err error }

// session is what is kept of a session.
func (c *Checker) session(s *smtpd.Session) *session {
	kept, ok := s.Value(sessionKey{c}).(*session)
	if !ok {
		kept = new(session)
		s.Set(sessionKey{c}, kept)
	}
	return kept
}

// client is the subject of a session whose client is asked about.
func (c *Checker) client(s *smtpd.Session) (subject, bool) {
	if len(c.sites) == 0 || s.Peer.Identity != nil || c.o.Skip != nil && c.o.Skip(s) {
		return subject{}, false
	}
	return clientOf(s)
}

func (c *Checker) connect(ctx context.Context, s *smtpd.Session) error {
	if client, ok := c.client(s); ok {
		c.askAboutClient(ctx, c.session(s), client)
	}
	return nil
}

// askAboutClient begins a round, unless there is one whose answers hold still.
func (c *Checker) askAboutClient(ctx context.Context, kept *session, client subject) {
	if r := kept.client; r != nil && r.about == client.text && time.Since(r.began) < AnswerTime {
		return
	}
	kept.client.stop()
	kept.client = c.begin(ctx, kept, client)
	kept.client.about = client.text
}

func (c *Checker) mail(ctx context.Context, tx *smtpd.Transaction) error {
	if len(c.sites) == 0 {
		return nil
	}
	s := tx.Session
	kept := c.session(s)
	s.Set(resultKey{}, nil)
	kept.names.stop()
	kept.names = nil
	if client, ok := c.client(s); ok {
		c.askAboutClient(ctx, kept, client)
		kept.names = c.begin(ctx, kept, namesOf(tx)...)
	}
	return nil
}

func (c *Checker) rcpt(ctx context.Context, tx *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
	kept, asked := tx.Session.Value(sessionKey{c}).(*session)
	if !asked || kept.names == nil || c.o.Exempt(*rcpt) {
		return nil
	}
	d, ok := tx.Value(decisionKey{c}).(decision)
	if !ok {
		d.err = c.decide(ctx, tx, kept)
		tx.Set(decisionKey{c}, d)
	}
	return d.err
}

// decide waits for the answers and makes up the transaction's mind.
func (c *Checker) decide(ctx context.Context, tx *smtpd.Transaction, kept *session) error {
	s := tx.Session
	c.wait(ctx, s, kept.client)
	c.wait(ctx, s, kept.names)
	r := c.evaluate(ipaddr.Plain(s.Peer.Addr.Addr()), kept.client, kept.names)
	s.Set(resultKey{}, r)
	err := c.verdict(ctx, s, r)
	if c.o.OnResult != nil {
		c.o.OnResult(ctx, tx, *r)
	}
	return err
}

// disconnect ends what is under way for the session.
func (c *Checker) disconnect(_ context.Context, s *smtpd.Session) {
	kept, ok := s.Value(sessionKey{c}).(*session)
	if !ok {
		return
	}
	kept.client.stop()
	kept.names.stop()
	kept.running.Wait()
}

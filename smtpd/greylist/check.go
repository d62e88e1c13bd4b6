package greylist

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Reason is why mail passes or has to wait.
type Reason int

// The reasons. The first two are those for which mail waits.
const (
	New             Reason = iota // the triplet was not known
	Early                         // it came back too early
	Returned                      // it came back in time
	Known                         // it has come back before
	SameTransaction               // another recipient of the transaction has passed
	KnownClient                   // the client has had enough successes
	ListedClient                  // Options.Clients or ClientNames, or this machine itself
	ListedRecipient               // Options.Recipients
	Exempted                      // Options.Exempt
)

// String is the reason in a word or two.
func (r Reason) String() string {
	names := [...]string{"new", "early retry", "came back", "triplet found", "same transaction", "client known",
		"client whitelist", "recipient whitelist", "exempt"}
	if r < 0 || int(r) >= len(names) {
		return fmt.Sprintf("Reason(%d)", int(r))
	}
	return names[r]
}

// MarshalText gives String, for JSON and the like.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Decision is what becomes of a recipient.
type Decision struct {
	// Wait is how long the client still has to wait, in whole seconds; 0: it has passed.
	Wait time.Duration
	// Reason is why it passes or has to wait.
	Reason Reason
}

// Check is the check: it refuses with 450 4.2.0 what has to wait, at RCPT, and at DATA what has the null reverse-path. Put
// it behind the checks that refuse for good, so that it remembers none of what they refuse.
func (g *Greylist) Check() smtpd.Check {
	return smtpd.Check{Name: "greylist", Rcpt: g.rcpt, Data: g.data}
}

// state is what is known of a transaction.
type state struct {
	passes bool
	reason Reason
	client key
	sender string
}

type stateKey struct{ g *Greylist }

// of gives the state of a transaction.
func (g *Greylist) of(tx *smtpd.Transaction) *state {
	if st, ok := tx.Value(stateKey{g}).(*state); ok {
		return st
	}
	st := &state{sender: normalize(tx.Envelope.From)}
	st.passes, st.reason = g.passes(tx, st)
	tx.Set(stateKey{g}, st)
	return st
}

// passes says whether all of the transaction passes, and otherwise fills in the client.
func (g *Greylist) passes(tx *smtpd.Transaction, st *state) (bool, Reason) {
	s := tx.Session
	addr, name := s.Peer.Addr.Addr().Unmap(), ""
	if g.o.Client != nil {
		name = g.o.Client(tx)
	}
	if name == "" && (!addr.IsValid() || addr.IsLoopback()) {
		return true, ListedClient
	}
	for _, p := range g.o.Clients {
		if p.Contains(addr.WithZone("")) {
			return true, ListedClient
		}
	}
	if host, ok := domainname.DNS(s.ReverseName); ok {
		for _, name := range g.names {
			if domainname.Within(host, name) {
				return true, ListedClient
			}
		}
	}
	st.client = g.o.clientKey(name, addr)
	if g.shard(st.client).isGood(st.client, time.Now().Unix()) {
		return true, KnownClient
	}
	if g.o.Exempt != nil && g.o.Exempt(tx) {
		return true, Exempted
	}
	return false, 0
}

// concerns says whether the check is for the session.
func (g *Greylist) concerns(s *smtpd.Session) bool {
	return s.Peer.Identity == nil && (g.o.Skip == nil || !g.o.Skip(s)) // RFC 6647 §5 no. 7
}

func (g *Greylist) rcpt(ctx context.Context, tx *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
	// Who only wants to know whether an address exists asks with the null reverse-path and ends before DATA (RFC 6647 §4.2).
	if tx.Envelope.From == "" || !g.concerns(tx.Session) {
		return nil
	}
	d := g.decide(ctx, tx, *rcpt)
	if d.Wait == 0 {
		return nil
	}
	return refuse("<"+rcpt.Given()+">: Recipient address rejected: ", d)
}

// data is for the null reverse-path.
func (g *Greylist) data(ctx context.Context, tx *smtpd.Transaction) error {
	if tx.Envelope.From != "" || !g.concerns(tx.Session) {
		return nil
	}
	var shortest Decision
	for _, rcpt := range tx.Envelope.Recipients {
		d := g.decide(ctx, tx, rcpt)
		if d.Wait == 0 {
			return nil // there is one reply for all of them
		}
		if shortest.Wait == 0 || d.Wait < shortest.Wait {
			shortest = d
		}
	}
	if shortest.Wait == 0 { // all recipients are discarded
		return nil
	}
	return refuse("", shortest)
}

func refuse(what string, d Decision) error {
	return &mailbricks.Reply{Code: 450, Enhanced: "4.2.0",
		Text: fmt.Sprintf("%sGreylisted, please try again in %d seconds", what, int(d.Wait/time.Second))}
}

// decide says what becomes of a recipient.
func (g *Greylist) decide(ctx context.Context, tx *smtpd.Transaction, rcpt mailbricks.Recipient) Decision {
	address := strings.ToLower(rcpt.Given())
	var d Decision
	// Options.Exempt is not asked for a recipient that passes anyway: the checks in front may not have looked at that one, and
	// the answer is for the whole transaction.
	if g.exempt.has(address) {
		d.Reason = ListedRecipient
	} else if st := g.of(tx); st.passes {
		d.Reason = st.reason
	} else {
		k := st.client.triplet(st.sender, address)
		wait, reason := g.shard(k).ask(k, time.Now().Unix())
		d = Decision{Wait: time.Duration(wait) * time.Second, Reason: reason}
		if reason == New || reason == Early {
			d.Wait = max(d.Wait, time.Second)
		} else { // the client does come back: RFC 6647 §5 no. 1 asks for no more than one recipient
			st.passes, st.reason = true, SameTransaction
		}
	}
	g.o.Logger.DebugContext(ctx, "greylist", "id", tx.Envelope.ID, "client", tx.Session.Peer.Addr.Addr(),
		"sender", tx.Envelope.From, "recipient", address, "wait", d.Wait, "reason", d.Reason.String())
	if g.o.OnDecision != nil {
		g.o.OnDecision(ctx, tx, rcpt.Given(), d)
	}
	return d
}

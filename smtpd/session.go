package smtpd

import (
	"cmp"
	"context"
	"sync"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// Session is one connection, as checks see it. Its fields are for reading, but for ReverseName.
type Session struct {
	// ID names the session in logs: letters and digits, unique in practice.
	ID string
	// Hostname is this server's name.
	Hostname string
	// Peer is the other end; it changes with EHLO, STARTTLS and AUTH.
	Peer mailbricks.Peer
	// Proxy is the other end itself when it speaks for Peer (see Server.TrustXCLIENT); nil: it does not. At what time a client
	// says something cannot be seen behind a proxy.
	Proxy *mailbricks.Peer
	// ReverseName is the confirmed host name of Peer.Addr (RFC 8601 §3, iprev). A check sets it; Received shows it.
	ReverseName string

	life    *serving.Life // of the server
	counts  Counts
	values  values
	pending func() int
	arrived func() <-chan struct{}

	atConnect, atHello standing
}

// standing is what becomes of all messages, from a step before them on.
type standing struct {
	quarantine string   // why they are put aside
	discard    *Outcome // the decision to throw them away
}

// quarantine is why all mail is put aside now; empty: it is not.
func (s *Session) quarantine() string { return cmp.Or(s.atConnect.quarantine, s.atHello.quarantine) }

// discard is the decision to throw all mail away; nil: there is none.
func (s *Session) discard() *Outcome { return cmp.Or(s.atConnect.discard, s.atHello.discard) }

// standing is what is said at a step before the messages.
func (s *Session) standing(p Phase) *standing {
	if p == PhaseConnect {
		return &s.atConnect
	}
	return &s.atHello
}

// Set keeps a value for later checks of the session and its Handlers, under a key of a type of the caller's own.
func (s *Session) Set(key, value any) { s.values.set(key, value) }

// Value gives what Set keeps under key, or nil.
func (s *Session) Value(key any) any { return s.values.get(key) }

// Counts is what the session has come to so far.
type Counts struct {
	Errors             int // commands that were unknown, malformed or out of order
	BadRecipients      int // recipients that were refused for good
	DeferredRecipients int // recipients that were refused for now
	AuthFailures       int // log-ins that failed
	Messages           int // messages that were accepted
	Recipients         int // recipients of the messages that were accepted
}

// Counts is what the session has come to so far. It is for the functions of checks.
func (s *Session) Counts() Counts { return s.counts }

// Pending is how many octets the peer has sent that no step has asked for yet: before the greeting or at DATA any is too
// many (RFC 2920 §3.1), at other times it is pipelining. What arrives while a check runs is counted at Connect, and otherwise
// from when it first asks this or whether its context has ended. At Data it is 0 when the message comes by BDAT, as that
// follows at once, and so it is at Connect after XCLIENT.
func (s *Session) Pending() int {
	if s.pending == nil {
		return 0
	}
	return s.pending()
}

// AwaitInput waits until octets are Pending, and gives the cause of the end of ctx if that comes first. It is for the
// functions of checks, with the context that they are given or one made from it.
func (s *Session) AwaitInput(ctx context.Context) error {
	var arrived <-chan struct{}
	if s.arrived != nil {
		arrived = s.arrived()
	}
	select {
	case <-arrived:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stressed says whether the server is near its limits (see [Server].StressThreshold): what costs only time, such as a delay,
// should be left out or shortened.
func (s *Session) Stressed() bool { return s.life != nil && s.life.Stressed() }

// Transaction is one message on its way in, from MAIL to the reply after the message.
type Transaction struct {
	// Session is the connection that it comes over.
	Session *Session
	// Envelope is what is known of the message so far. Checks may change From, the recipients and Quarantine.
	Envelope *mailbricks.Envelope

	values   values
	discard  *Outcome // the decision to throw the message away
	accepted []accepted
	refused  bool // some recipient was refused
	surplus  int  // recipients beyond MaxRecipients
	arrived  bool // the message has, as it should, and what becomes of it is for checks and the Handler to say
}

// thrownAway says whether the message goes nowhere, as checks have decided.
func (tx *Transaction) thrownAway() bool {
	return tx.discard != nil || len(tx.Envelope.Recipients) == 0
}

// Set keeps a value for later checks of the transaction and its Handler, under a key of a type of the caller's own.
func (tx *Transaction) Set(key, value any) { tx.values.set(key, value) }

// Value gives what Set keeps under key for the transaction or, failing that, for its session; otherwise nil.
func (tx *Transaction) Value(key any) any {
	if v := tx.values.get(key); v != nil {
		return v
	}
	return tx.Session.Value(key)
}

// TransactionFrom gives the transaction for which ctx was made: that of a Handler's call, or of a check's from Mail on.
func TransactionFrom(ctx context.Context) (*Transaction, bool) {
	tx, ok := ctx.Value(transactionKey{}).(*Transaction)
	return tx, ok
}

// SessionFrom gives the session for which ctx was made: that of a Handler's or a check's call.
func SessionFrom(ctx context.Context) (*Session, bool) {
	s, ok := ctx.Value(sessionKey{}).(*Session)
	return s, ok
}

type (
	transactionKey struct{}
	sessionKey     struct{}
)

// stepContext is the context of one step: it has the values of the session and the transaction.
type stepContext struct {
	context.Context
	session *Session
	tx      *Transaction // nil outside of one
}

func (c stepContext) Value(key any) any {
	switch key.(type) {
	case transactionKey:
		if c.tx == nil {
			return nil
		}
		return c.tx
	case sessionKey:
		return c.session
	}
	if c.tx != nil {
		if v := c.tx.Value(key); v != nil {
			return v
		}
	} else if v := c.session.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// values is a small map that may be read while it is written.
type values struct {
	mu sync.Mutex
	m  map[any]any
}

func (v *values) set(key, value any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.m == nil {
		v.m = make(map[any]any)
	}
	v.m[key] = value
}

func (v *values) get(key any) any {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.m[key]
}

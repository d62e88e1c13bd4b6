package serving

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// How long Serve waits after a failed Accept (too many open files, say) before it tries again: doubled each time.
const (
	acceptFirstWait = 5 * time.Millisecond
	acceptMaxWait   = time.Second
)

// MaxRefusals is how many connections above MaxConnections are told so at a time; those beyond are just closed.
const MaxRefusals = 32

// Service is what a listener leads to.
type Service struct {
	// Name is the server's package, for errors and the log: "smtpd".
	Name string
	// Closed is what Serve returns after Shutdown or Close.
	Closed error
	// Logger is told of a failing Accept.
	Logger *slog.Logger
	// Stress, if not nil, is told when stress begins (see [Life.Stressed]) and when it ends. It must return at once.
	Stress func(on bool)
	// New makes the session of a connection. It must return at once: it may not even ask the connection for its addresses,
	// which of a PROXY protocol listener's come from the peer.
	New func(net.Conn) Newcomer
}

// Newcomer is a connection that was just accepted, and what holds for it. A negative limit is none.
type Newcomer struct {
	Session
	// Logger is the session's.
	Logger *slog.Logger
	// MaxConnections is how many connections the server may have, this one included.
	MaxConnections int
	// MaxPerAddress is how many of them may come from its [Address] and not have left their [Place].
	MaxPerAddress int
	// MaxPerNetwork is how many of them may come from its [Network] and not have left their Place.
	MaxPerNetwork int
	// Stress is from how many connections on the server is under stress, until it has no more than Calm, which is less. 0: it
	// never is. Those of the last Newcomer hold.
	Stress, Calm int
}

// Session is one connection of a server.
type Session interface {
	// Serve runs the session to its end; then the connection is closed. It is not called for a connection that says with a method
	// Ready() error, its own or of the one that NetConn gives, that it cannot be served. ctx ends with Close, and when Serve returns.
	// A connection that was refused a place is to be told so at most.
	Serve(ctx context.Context, place *Place)
	// Drain is called from another goroutine, perhaps more than once and before Serve, when the server shuts down: the
	// session should end as soon as it does nothing.
	Drain()
}

// ListenAndServe calls serve with a listener for TCP connections on addr. name is as in [Service].
func ListenAndServe(name, addr string, serve func(net.Listener) error) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return serve(l)
}

// Serve takes connections from listener until Shutdown or Close, gives each a goroutine and returns s.Closed; or an error when
// Accept fails for good. It closes the listener in any case.
func (l *Life) Serve(listener net.Listener, s Service) error {
	defer listener.Close()
	ctx := l.addListener(&listener)
	if ctx == nil {
		return s.Closed
	}
	defer l.removeListener(&listener)
	wait := time.Duration(0)
	for {
		conn, err := listener.Accept()
		if err == nil {
			wait = 0
			l.start(ctx, conn, &s)
			continue
		}
		if l.ending() {
			return s.Closed
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			return fmt.Errorf("%s: accept: %w", s.Name, err)
		}
		wait = min(max(2*wait, acceptFirstWait), acceptMaxWait)
		s.Logger.Warn(s.Name+": accept failed", "err", err, "wait", wait)
		select {
		case <-time.After(wait):
		case <-l.Draining():
		}
	}
}

// start gives a connection its goroutine.
func (l *Life) start(ctx context.Context, conn net.Conn, s *Service) {
	var n Newcomer
	err := Guard(s.Logger, s.Name+": new session", func() error { n = s.New(conn); return nil }) // a panic has been logged
	if err != nil {
		_ = conn.Close()
		return
	}
	refusal, room := l.addSession(n, conn)
	if !room {
		_ = conn.Close()
		return
	}
	l.tellStress(s)
	go func() {
		defer l.tellStress(s)
		defer l.removeSession(n.Session)
		defer conn.Close()
		_ = Guard(n.Logger, s.Name+": session", func() error { // which has been logged: a bug must not take down the others
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			if err := ready(conn); err != nil { // which the connection has told its own log
				return nil
			}
			place := l.place(conn, refusal, &n)
			defer place.Leave()
			n.Serve(ctx, place)
			return nil
		})
	}()
}

// Refusal is why a connection is not served.
type Refusal int

// The reasons why.
const (
	Admitted    Refusal = iota // it is served
	ServerFull                 // the server has MaxConnections
	AddressFull                // the peer's address has MaxPerAddress
	NetworkFull                // the peer's network has MaxPerNetwork
)

// Place is what a connection counts as among those of its address and network. It belongs to the session's goroutine.
type Place struct {
	// Refusal is why the connection has no place; Admitted: it has one.
	Refusal Refusal

	life                         *Life
	maxPerAddress, maxPerNetwork int
	address, network             string // "": not counted
}

// place counts a connection, which is not yet refused for another reason, for its address and network.
func (l *Life) place(conn net.Conn, refusal Refusal, n *Newcomer) *Place {
	p := &Place{Refusal: refusal, life: l, maxPerAddress: n.MaxPerAddress, maxPerNetwork: n.MaxPerNetwork}
	if refusal == Admitted {
		p.Move(AddrPort(conn.RemoteAddr()).Addr())
	}
	return p
}

// Move counts the connection for another address from now on, for which its peer speaks, and says whether that has room.
func (p *Place) Move(addr netip.Addr) Refusal {
	p.Leave()
	p.Refusal = Admitted
	address, network := Address(addr), Network(addr)
	if !p.life.perAddress.Enter(address, p.maxPerAddress) {
		p.Refusal = AddressFull
		return p.Refusal
	}
	p.address = address
	if !p.life.perNetwork.Enter(network, p.maxPerNetwork) {
		p.Refusal = NetworkFull
		p.Leave()
		return p.Refusal
	}
	p.network = network
	return p.Refusal
}

// Leave makes room for another connection from the same network: this one has ended, or its user has logged in. Only the
// first call counts.
func (p *Place) Leave() {
	p.life.perAddress.Leave(p.address)
	p.life.perNetwork.Leave(p.network)
	p.address, p.network = "", ""
}

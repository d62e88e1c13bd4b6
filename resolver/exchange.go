package resolver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"
)

// failure is why there is no answer; it may pass.
type failure struct {
	text    string
	server  string
	timeout bool
	cause   error
}

// ask puts a question to the servers in turn until one answers. Those that answered with a failure are not asked
// again, those that did not answer are.
func (r *Resolver) ask(ctx context.Context, q question) (*reply, *failure) {
	select {
	case r.sockets <- struct{}{}:
		defer func() { <-r.sockets }()
	case <-ctx.Done():
		return nil, newFailure("", endOf(ctx, ctx.Err()))
	}
	last := &failure{text: "no DNS server is configured"}
	answered := map[string]bool{}
	for range r.conf.attempts {
		servers, err := r.pool.order(time.Now())
		if err != nil {
			return nil, &failure{text: err.Error(), cause: err}
		}
		for _, server := range servers {
			if answered[server] {
				continue
			}
			rep, err := r.askServer(ctx, server, q)
			if err == nil {
				return rep, nil
			}
			last = newFailure(server, err)
			if ctx.Err() != nil {
				return nil, last
			}
			answered[server] = !unanswered(err)
			r.note(server, q, err)
		}
	}
	return nil, last
}

// note remembers a server that does not answer and logs what failed.
func (r *Resolver) note(server string, q question, err error) {
	r.conf.log.Debug("resolver: query failed", "server", server, "name", q.name, "type", q.typeName(), "error", err)
	if unanswered(err) && r.pool.failed(server, time.Now()) {
		r.conf.log.Log(context.Background(), slog.LevelWarn, "resolver: server does not answer", "server", server, "error", err)
	}
}

// unanswered says whether an error is that of the network rather than of an answer.
func unanswered(err error) bool {
	_, rcode := errors.AsType[errRcode](err)
	return !rcode && !errors.Is(err, errFormat) && !errors.Is(err, errMalformed) &&
		!errors.Is(err, errReferral) && !errors.Is(err, errLoop)
}

func newFailure(server string, err error) *failure {
	f := &failure{text: err.Error(), server: server, cause: err}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		f.text, f.timeout = "i/o timeout", true
	}
	return f
}

// askServer puts a question to one server: over UDP, without EDNS if it does not know that, and over TCP if the answer
// does not fit.
func (r *Resolver) askServer(ctx context.Context, server string, q question) (*reply, error) {
	edns := true
	rep, err := r.exchange(ctx, q, via{server, "udp", edns})
	if errors.Is(err, errFormat) { // RFC 6891 §6.2.2
		edns = false
		rep, err = r.exchange(ctx, q, via{server, "udp", edns})
	}
	if err == nil && rep.truncated { // RFC 7766 §5
		rep, err = r.exchange(ctx, q, via{server, "tcp", edns})
	}
	if err != nil {
		return nil, err
	}
	if rep.truncated {
		return nil, fmt.Errorf("%w: truncated over TCP", errMalformed)
	}
	rep.server = server
	r.pool.worked(server)
	return rep, nil
}

// via is how a query goes.
type via struct {
	server, network string
	edns            bool
}

// exchange sends one query and waits for its answer, at most for the time-out.
func (r *Resolver) exchange(ctx context.Context, q question, v via) (rep *reply, err error) {
	began, info := time.Now(), Query{Name: q.name, Type: q.typeName(), Server: v.server, Network: v.network}
	if r.conf.trace.QuerySent != nil {
		r.conf.trace.QuerySent(info)
	}
	if r.conf.trace.QueryDone != nil {
		defer func() { r.conf.trace.QueryDone(info, time.Since(began), err) }()
	}
	ctx, cancel := context.WithTimeout(ctx, r.conf.timeout)
	defer cancel()
	id := newID()
	raw, err := newQuery(id, q, v.edns, r.conf.trustAD)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	// A new socket for each query has a port of its own, which a forger must guess too (RFC 5452 §9.2).
	conn, err := r.conf.dial(ctx, v.network, v.server)
	if err != nil {
		return nil, endOf(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	read := func(raw []byte) (*reply, error) { return readReply(raw, id, q) }
	if v.network == "tcp" {
		rep, err = exchangeTCP(conn, raw, read)
	} else {
		rep, err = exchangeUDP(conn, raw, read)
	}
	return rep, endOf(ctx, err)
}

// endOf is err, or what the context's end made of it.
func endOf(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return ctx.Err()
}

const (
	// udpBuffer is the longest UDP answer that is read, for servers that send more than UDPSize.
	udpBuffer = 4096
	// maxForeign is how many packets that do not answer the query are read. More are a forger's, who must not have any
	// number of guesses (RFC 5452 §9.3), nor this program's time; then it is TCP's turn, where guessing is of no use.
	maxForeign = 64
)

// exchangeUDP reads on when what comes is no answer to the query: a forger must not end the wait.
func exchangeUDP(conn net.Conn, query []byte, read func([]byte) (*reply, error)) (*reply, error) {
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, udpBuffer)
	for range maxForeign + 1 {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if rep, err := read(buf[:n]); !errors.Is(err, errForeign) {
			return rep, err
		}
	}
	return &reply{truncated: true}, nil
}

// exchangeTCP frames by length (RFC 1035 §4.2.2, in one write as RFC 7766 §8 asks).
func exchangeTCP(conn net.Conn, query []byte, read func([]byte) (*reply, error)) (*reply, error) {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, len(query)+2), uint16(len(query)))
	if _, err := conn.Write(append(framed, query...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	rep, err := read(buf)
	if errors.Is(err, errForeign) {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return rep, err
}

func newID() uint16 {
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails
	return binary.BigEndian.Uint16(id[:])
}

package mailtest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/miekg/dns"
)

// minUDP is the largest answer over UDP to a query without EDNS (RFC 1035 §4.2.1).
const minUDP = 512

// Serve answers queries over UDP and TCP (one of pc and l may be nil) until ctx ends; then it closes both and returns
// nil. When one of them fails before, it returns that error.
//
// An answer that is too long for UDP, that is for the size that the query's EDNS option names or 512 octets, comes
// empty with the TC bit. Negative answers have a SOA record. The AD bit is set for who asked with AD or DO
// (RFC 6840 §5.7).
func (d *DNS) Serve(ctx context.Context, pc net.PacketConn, l net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	stop := context.AfterFunc(ctx, func() {
		if pc != nil {
			_ = pc.Close()
		}
		if l != nil {
			_ = l.Close()
		}
	})
	defer stop()
	if pc != nil {
		wg.Go(func() { endWith(ctx, cancel, d.servePackets(pc)) })
	}
	if l != nil {
		wg.Go(func() { endWith(ctx, cancel, d.serveStreams(ctx, l)) })
	}
	<-ctx.Done()
	wg.Wait()
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return cause
	}
	return nil
}

// endWith ends all with err, unless the end has come already.
func endWith(ctx context.Context, cancel context.CancelCauseFunc, err error) {
	if ctx.Err() == nil {
		cancel(err)
	}
}

// maxReadErrors is how many reads of a socket may fail one after the other. Windows reports the closed port of a client
// that went away as an error of the next read.
const maxReadErrors = 16

func (d *DNS) servePackets(pc net.PacketConn) error {
	buf := make([]byte, dns.MaxMsgSize)
	for failed := 0; ; {
		n, addr, err := pc.ReadFrom(buf)
		if err != nil {
			if failed++; failed > maxReadErrors || errors.Is(err, net.ErrClosed) {
				return err
			}
			continue
		}
		failed = 0
		req := new(dns.Msg)
		if req.Unpack(buf[:n]) != nil {
			continue
		}
		size := minUDP
		if opt := req.IsEdns0(); opt != nil {
			size = max(minUDP, int(opt.UDPSize()))
		}
		if raw := d.respond(req, size); raw != nil {
			_, _ = pc.WriteTo(raw, addr) // UDP may lose it anyway
		}
	}
}

func (d *DNS) serveStreams(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		wg.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			defer conn.Close()
			d.serveStream(conn)
		})
	}
}

// serveStream answers the queries of one connection, each behind its length (RFC 1035 §4.2.2), until it ends.
func (d *DNS) serveStream(conn net.Conn) {
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		buf := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, buf); err != nil {
			return
		}
		req := new(dns.Msg)
		if req.Unpack(buf) != nil {
			return
		}
		if raw := d.respond(req, dns.MaxMsgSize); raw != nil {
			if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)); err != nil {
				return
			}
		}
	}
}

// respond makes the packet that answers req in at most size octets; nil for none.
func (d *DNS) respond(req *dns.Msg, size int) []byte {
	if req.Response {
		return nil
	}
	resp := new(dns.Msg).SetReply(req)
	resp.RecursionAvailable, resp.Compress = true, true
	opt := req.IsEdns0()
	if opt != nil {
		resp.SetEdns0(dns.MaxMsgSize-1, opt.Do())
	}
	switch {
	case req.Opcode != dns.OpcodeQuery:
		resp.Rcode = dns.RcodeNotImplemented
	case len(req.Question) != 1:
		resp.Rcode = dns.RcodeFormatError
	case req.Question[0].Qclass != dns.ClassINET:
		resp.Rcode = dns.RcodeRefused
	default:
		a := d.ask(req.Question[0].Name, req.Question[0].Qtype)
		if a.silent {
			return nil
		}
		resp.Rcode, resp.Answer = a.rcode, a.records
		if a.soa != nil {
			resp.Ns = []dns.RR{a.soa}
		}
		resp.AuthenticatedData = a.authentic && (req.AuthenticatedData || (opt != nil && opt.Do()))
	}
	raw, err := resp.Pack()
	if err == nil && len(raw) > size {
		resp.Answer, resp.Ns, resp.Truncated = nil, nil, true
		raw, err = resp.Pack()
	}
	if err != nil { // more than 64 KiB of records
		resp.Answer, resp.Ns, resp.Rcode = nil, nil, dns.RcodeServerFailure
		raw, _ = resp.Pack()
	}
	return raw
}

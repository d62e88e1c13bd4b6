package gosmtp

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/smtpd"
)

// errNoSession says that a backend gave neither a session nor an error.
var errNoSession = errors.New("gosmtp: the backend gave no session")

// standIn is a connection of go-smtp's that stands for one of the engine's. A *smtp.Conn cannot be made from outside, so a
// server of go-smtp's serves a shadow of the connection, and waits there for the end of the session.
type standIn struct {
	*shadow
	conn    *smtp.Conn
	backend smtp.Session
	server  *smtp.Server
	far     io.ReadWriter        // what to speak to the server through
	tls     *tls.ConnectionState // nil: without

	user smtp.Backend
	a    *adapter
	err  error // the backend's
}

// stand opens a session of the backend's for a connection that has said EHLO.
func (a *adapter) stand(peer *smtpd.Session) (*standIn, error) {
	in := &standIn{shadow: newShadow(peer), server: a.goServer(), user: a.settings.Backend, a: a, tls: peer.Peer.TLS}
	in.server.Backend, in.server.Debug = in, tap{in.shadow}
	near := net.Conn(in.shadow)
	far := farEnd{in.shadow}
	in.far = far
	if in.tls != nil {
		serverSide, clientSide, err := a.keys.configs(in.tls)
		if err != nil {
			return nil, err
		}
		near, in.far = tls.Server(near, serverSide), tls.Client(far, clientSide)
	}
	_ = in.server.Serve(&once{conn: near}) // returns at once: there is one connection only
	if client, ok := in.far.(*tls.Conn); ok {
		if err := client.Handshake(); err != nil {
			in.end()
			return nil, fmt.Errorf("gosmtp: TLS towards go-smtp: %w", err)
		}
	}
	_ = in.settle() // after go-smtp's greeting
	if err := in.greet(peer.Peer.Hello); err != nil {
		in.end()
		return nil, err
	}
	return in, nil
}

// greet tells go-smtp's server the client's name; it calls NewSession or, later, Reset.
func (in *standIn) greet(name string) error {
	verb := "HELO"
	if in.server.LMTP {
		verb = "LHLO"
	}
	in.err = nil
	_ = in.written()
	name = strings.Map(func(r rune) rune { // the engine has looked at it, too
		if r <= ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, name)
	if _, err := io.WriteString(in.far, verb+" "+name+"\r\n"); err != nil {
		return in.asked(nil)
	}
	if in.settle() {
		return replyFor(&serving.Panic{Step: "gosmtp: EHLO", Value: "go-smtp has logged it"})
	}
	if in.conn == nil { // go-smtp does not like the name
		return errNoSession
	}
	return in.asked(in.err)
}

// asked is the outcome of a call of the backend's, which may have asked for the connection to be closed in it.
func (in *standIn) asked(err error) error {
	if !in.isClosed() {
		return replyFor(err)
	}
	if reply := replyIn(in.written()); reply != nil {
		return smtpd.Close(reply)
	}
	return smtpd.Close(replyFor(err))
}

// NewSession asks the backend, for go-smtp.
func (in *standIn) NewSession(c *smtp.Conn) (smtp.Session, error) {
	in.setAsked()
	in.conn, in.server.Backend = c, in.user
	in.err = serving.Guard(in.a.log(), "gosmtp: NewSession", func() (err error) {
		in.backend, err = in.user.NewSession(c)
		return err
	})
	if in.err == nil && in.backend == nil {
		in.err = errNoSession
	}
	if in.err != nil {
		return nil, errNoSession // why is not for go-smtp
	}
	return in.backend, nil
}

// written takes what was written to the connection since the last call. It is called while go-smtp's server waits.
func (in *standIn) written() []byte {
	if in.isEmpty() {
		return nil
	}
	var out []byte
	for buf := make([]byte, 1024); len(out) < maxWritten; {
		n, err := in.far.Read(buf)
		out = append(out, buf[:n]...)
		if err != nil {
			break
		}
	}
	return out
}

// end logs the session out, once, and ends go-smtp's server. If Logout panics that server stays where it is, as it would call
// Logout again, where nothing catches a panic.
func (in *standIn) end() {
	if in.conn != nil {
		logout := func() error { _ = in.conn.Close(); return nil }
		if serving.Guard(in.a.log(), "gosmtp: Logout", logout) != nil {
			in.releaseWithClose() // should the backend call it, and come through
			return
		}
	}
	in.release()
	_ = in.server.Shutdown(context.Background()) // waits for the goroutine, which has nothing left to do
}

// once is a listener with one connection.
type once struct{ conn net.Conn }

func (o *once) Accept() (net.Conn, error) {
	if o.conn == nil {
		return nil, net.ErrClosed
	}
	conn := o.conn
	o.conn = nil
	return conn, nil
}

func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return address(netip.AddrPort{}) }

// address is a for the net package; that of a Unix socket, without a name, if it is invalid.
func address(a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(a)
}

// keys are for TLS within the process, made when they are needed.
type keys struct {
	mu         sync.Mutex
	ecdsa, rsa *tls.Certificate
}

// configs are for a TLS connection whose state is like the one given, as far as that can be had.
func (k *keys) configs(like *tls.ConnectionState) (server, client *tls.Config, err error) {
	certificate, err := k.certificate(like)
	if err != nil {
		return nil, nil, fmt.Errorf("gosmtp: key for TLS: %w", err)
	}
	server = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: like.Version, MaxVersion: like.Version}
	if like.Version < tls.VersionTLS13 {
		server.CipherSuites = []uint16{like.CipherSuite}
	}
	if like.NegotiatedProtocol != "" {
		server.NextProtos = []string{like.NegotiatedProtocol}
	}
	server.SessionTicketsDisabled = true
	client = server.Clone()
	client.Certificates, client.ServerName, client.InsecureSkipVerify = nil, like.ServerName, true // nobody is in between
	return server, client, nil
}

// certificate is one that goes with the cipher suite.
func (k *keys) certificate(like *tls.ConnectionState) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := &k.ecdsa
	generate := func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }
	if like.Version < tls.VersionTLS13 && !strings.Contains(tls.CipherSuiteName(like.CipherSuite), "_ECDSA_") {
		kept = &k.rsa
		generate = func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }
	}
	if *kept != nil {
		return *kept, nil
	}
	key, err := generate()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(100, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	*kept = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return *kept, nil
}

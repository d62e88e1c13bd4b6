package smtpd_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// FuzzSession has a client do as a script says and compares the server's side of the session with the model's.
func FuzzSession(f *testing.F) {
	for _, seed := range append(fuzzSeeds(), suiteSeeds()...) {
		f.Add([]byte(seed))
	}
	ca := mailtest.NewCA()
	server, client := ca.ServerConfig("mail.example.com"), ca.ClientConfig("mail.example.com")
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 8<<10 {
			return
		}
		synctest.Test(t, func(t *testing.T) { runScript(t, script, server, client) })
	})
}

// Sessions of random commands, as the fuzzer would try them.
func TestRandomSessions(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	server, client := ca.ServerConfig("mail.example.com"), ca.ClientConfig("mail.example.com")
	rapid.Check(t, func(r *rapid.T) {
		script := []byte{escape, doOptions, rapid.ByteRange(0, 31).Draw(r, "options"), escape, doDense}
		pieces := rapid.SampledFrom([]string{"EHLO client.example.net", "LHLO x"}) // most of what comes before is refused
		script = append(script, denseScript(pieces.Draw(r, "hello"))[2:]...)
		good := denseScript("MAIL FROM:<a@example.net>", "RCPT TO:<b@example.com>", "RCPT TO:<postmaster>")[2:]
		part := rapid.OneOf(rapid.Map(rapid.Byte(), func(b byte) string { return string([]byte{b}) }), rapid.Just(good))
		for _, p := range rapid.SliceOfN(part, 0, 30).Draw(r, "parts") {
			script = append(script, p...)
		}
		defer func() {
			if t.Failed() {
				t.Logf("script: %q", script)
			}
		}()
		synctest.Test(t, func(t *testing.T) { runScript(t, script, server, client) })
	})
}

// player is the client of a script.
type player struct {
	t     *testing.T
	raw   *mailtest.Conn
	conn  net.Conn // raw, or TLS over it
	model *model
	tls   *tls.Config
	out   []byte // to be sent
	blind bool   // the replies to the last commands were not waited for

	mu    sync.Mutex
	heard []byte
	read  chan error // why reading has ended
}

// runScript plays a script with a server of its own.
func runScript(t *testing.T, script []byte, server, client *tls.Config) {
	var options options
	if len(script) >= 3 && script[0] == escape && script[1] == doOptions {
		options = optionsOf(script[2])
	}
	got := new(gathered)
	srv := fuzzServer(got, options)
	srv.TLSConfig = server
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	conn, err := network.Dialer("").Dial("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	defer srv.Close() // where the test fails
	defer conn.Close()
	p := &player{t: t, raw: conn.(*mailtest.Conn), conn: conn, tls: client, model: &model{t: t, got: got, options: options}}
	p.listen()
	p.play(script)
	p.finish()
	require.NoError(t, srv.Shutdown(context.Background()))
	require.ErrorIs(t, <-ended, smtpd.ErrServerClosed)
}

// fuzzServer gathers what it is asked. What checks and Handler say is in the addresses and messages.
func fuzzServer(got *gathered, options options) *smtpd.Server {
	srv := &smtpd.Server{
		Hostname: "mail.example.com", LMTP: options.lmtp,
		Auth: users{[]string{"PLAIN", "LOGIN", "LAST"}}, AllowInsecureAuth: true, RequireAuth: options.requireAuth,
		MaxMessageSize: modelMaxSize, MaxLineLength: modelMaxLine, MaxHops: modelMaxHops,
		MaxBadRecipients: suspicious + 1, MaxRecipients: 5,
		Handler: mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			text, err := readText(msg)
			if err != nil {
				return err
			}
			code, err := fuzzHandler(env, msg.Get("Do"))
			got.calls = append(got.calls, call{*env, text, code, msg.Get("Do") == "mixed"})
			if msg.Get("Do") == "panic" {
				panic("handler")
			}
			return err
		}),
		Checks: []smtpd.Check{{
			Mail: func(_ context.Context, tx *smtpd.Transaction) error {
				if strings.HasPrefix(tx.Envelope.From, "bad") {
					return smtpd.Permanent("no such sender")
				}
				got.mails = append(got.mails, tx.Envelope.From)
				return nil
			},
			Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
				got.rcpts = append(got.rcpts, rcpt.Address)
				switch word, _, _ := strings.Cut(rcpt.Address, "@"); word {
				case "bad":
					return smtpd.Permanent("no such user")
				case "later":
					return errors.New("disk")
				case "drop":
					return smtpd.Discard("unwanted")
				case "close":
					return smtpd.Close(nil)
				case "panic":
					panic("check")
				}
				return nil
			},
		}},
	}
	if options.keeps {
		srv.Handler = smtpd.Keeps(srv.Handler, smtpd.Extensions{
			BinaryMIME: true, DSN: true, RequireTLS: true, DeliverBy: true, MaxHold: time.Hour,
			Priority: true, RecipientValidSince: true,
		})
	}
	if options.trust {
		srv.TrustXCLIENT = func(mailbricks.Peer) bool { return true }
	}
	if options.repair {
		srv.BareLineEnds = smtpd.RepairBareLineEnds
	}
	return srv
}

// fuzzHandler is what a Handler says that was told what to do, and the code of the reply that the client gets.
func fuzzHandler(env *mailbricks.Envelope, do string) (code string, err error) {
	switch do {
	case "fail", "panic":
		return "451", errors.New("disk")
	case "refuse":
		return "550", smtpd.Permanent("no")
	case "close":
		return "421", &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "go away"}
	case "lie":
		return "451", &mailbricks.Reply{Code: 250, Enhanced: "2.0.0", Text: "all is well"}
	case "mixed":
		results := make(mailbricks.Results, len(env.Recipients))
		results[0] = smtpd.Permanent("no")
		return "550", results
	}
	return "250", nil
}

// play does what the script says.
func (p *player) play(script []byte) {
	for len(script) > 0 {
		if script[0] != escape || len(script) == 1 {
			p.out = append(p.out, script[0])
			script = script[1:]
			continue
		}
		action, arg := script[1], byte(0)
		script = script[2:]
		if strings.IndexByte("cpfso", action) >= 0 && len(script) > 0 {
			arg, script = script[0], script[1:]
		}
		if action == doDense {
			p.dense(script)
			return
		}
		if !p.do(action, int(arg)) {
			return
		}
	}
}

// dense does for each octet what it is the number of, so that whatever the fuzzer makes of a script means something.
func (p *player) dense(script []byte) {
	total := 0
	for _, a := range denseActions {
		total += a.choice
	}
	for _, octet := range script {
		n := int(octet) % total
		for _, a := range denseActions {
			if n < a.choice {
				if !p.do(a.action, n) {
					return
				}
				break
			}
			n -= a.choice
		}
	}
}

// do is one action; it says whether another may follow.
func (p *player) do(action byte, arg int) bool {
	switch action {
	case doCommand:
		p.out = append(p.out, scriptCommands[arg%len(scriptCommands)]...)
	case doPiece:
		p.out = append(p.out, scriptPieces[arg%len(scriptPieces)]...)
	case doFill:
		p.out = append(p.out, strings.Repeat("x", scriptFills[arg%len(scriptFills)])...)
	case doSettle:
		p.settle()
	case doSleep:
		p.settle()
		time.Sleep(scriptSleeps[arg%len(scriptSleeps)])
		p.model.slept += scriptSleeps[arg%len(scriptSleeps)]
		p.settle()
	case doTLS:
		p.startTLS()
	case doEnd:
		p.settle()
		return false
	case doClose:
		p.flush()
		p.blind = true
		_ = p.raw.Close()
		return false
	case doReset:
		p.flush()
		p.blind = true
		p.raw.Reset()
		return false
	}
	return true
}

// listen reads what the server says until it ends.
func (p *player) listen() {
	p.read = make(chan error, 1)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := p.conn.Read(buf)
			p.mu.Lock()
			p.heard = append(p.heard, buf[:n]...)
			p.mu.Unlock()
			if err != nil {
				p.read <- err
				return
			}
		}
	}()
}

// flush sends what waits. The server may have closed.
func (p *player) flush() {
	if len(p.out) == 0 {
		return
	}
	_, _ = p.conn.Write(p.out)
	p.model.written = len(p.out)
	p.model.in, p.model.all = append(p.model.in, p.out...), append(p.model.all, p.out...)
	p.out = p.out[:0]
}

// settle waits until the server has answered all that was sent.
func (p *player) settle() {
	p.flush()
	synctest.Wait()
	p.look(true)
}

// look has the model look at what was heard.
func (p *player) look(settled bool) {
	p.mu.Lock()
	p.model.out = append(p.model.out, p.heard...)
	p.heard = nil
	p.mu.Unlock()
	p.model.run(settled)
}

// startTLS makes the handshake if the server waits for one.
func (p *player) startTLS() {
	p.settle()
	if p.model.mode != toTLS || len(p.model.in) > 0 {
		return
	}
	require.NoError(p.t, p.raw.SetReadDeadline(time.Unix(1, 0)))
	require.ErrorIs(p.t, <-p.read, os.ErrDeadlineExceeded)
	require.NoError(p.t, p.raw.SetReadDeadline(time.Time{}))
	conn := tls.Client(p.raw, p.tls)
	err := conn.Handshake()
	if p.model.slept > 0 && err != nil { // it is over
		p.blind = true
		p.read <- err
		return
	}
	require.NoError(p.t, err)
	p.conn = conn
	p.model.handshaken()
	p.listen()
}

// finish ends the session from this side and looks at how it went.
func (p *player) finish() {
	p.flush()
	if !p.blind {
		synctest.Wait()
		_ = p.conn.(interface{ CloseWrite() error }).CloseWrite() // the server may have closed
	}
	time.Sleep(time.Second) // the server lingers
	synctest.Wait()
	p.look(!p.blind)
	var err error
	select {
	case err = <-p.read:
	default:
	}
	_ = p.raw.Close()
	p.model.end(p.blind, errors.Is(err, io.EOF) || err != nil && p.model.mode == toTLS)
	synctest.Wait()
}

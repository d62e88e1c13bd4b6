package smtpd_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
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

// escape begins an action in a script; all else is what the client sends. It is no octet of UTF-8.
const escape = 0xfe

// The actions, by the octet behind escape. Those that take an argument have it in the octet behind that.
const (
	doCommand = 'c' // sends one of scriptCommands
	doPiece   = 'p' // sends one of scriptPieces
	doFill    = 'f' // sends one of scriptFills
	doSettle  = 'w' // waits until the server has answered
	doSleep   = 's' // waits for one of scriptSleeps
	doTLS     = 't' // goes over to TLS where the server is ready for it
	doOptions = 'o' // sets the options of the server, at the begin
	doEnd     = 'h' // closes the direction to the server
	doClose   = 'x' // closes the connection at once
	doReset   = 'r' // breaks the connection at once
	doDense   = 'd' // makes each octet that follows one of the actions above: see player.dense
)

// scriptCommands are commands, good and bad.
var scriptCommands = []string{
	"EHLO client.example.net\r\n", "HELO client.example.net\r\n", "EHLO\r\n", "EHLO [192.0.2.9]\r\n", "MAIL FROM:<a@example.net>\r\n", "MAIL FROM:<>\r\n",
	"MAIL FROM:<ann@example.com> SIZE=20 BODY=8BITMIME\r\n", "MAIL FROM:<j\u00f6rg@example.net> SMTPUTF8\r\n", "MAIL FROM:<bad@example.net>\r\n",
	"MAIL FROM:<\"a b\"@example.net> SIZE=9999\r\n", "RCPT TO:<b@example.com>\r\n", "RCPT TO:<postmaster>\r\n", "RCPT TO:<bad@example.com>\r\n",
	"RCPT TO:<later@example.com>\r\n", "RCPT TO:<drop@example.com>\r\n", "RCPT TO:<close@example.com>\r\n", "RCPT TO:<panic@example.com>\r\n",
	"RCPT TO:<x@example.com> NOTIFY=NEVER\r\n", "DATA\r\n", "DATA now\r\n", "Subject: x\r\n\r\nbody\r\n.\r\n", ".\r\n", "RSET\r\n", "NOOP\r\n", "QUIT\r\n",
	"HELP\r\n", "VRFY b\r\n", "EXPN b\r\n", "STARTTLS\r\n", "AUTH PLAIN\r\n", "AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n", "AUTH PLAIN AGEAYg==\r\n",
	"AUTH LOGIN\r\n", "YW5uQGV4YW1wbGUuY29t\r\n", "c2VjcmV0\r\n", "*\r\n", "AUTH LAST eA==\r\n", "\r\n", "GET / HTTP/1.1\r\n", "ETRN x\r\n", "XCLIENT ADDR=192.0.2.1\r\n",
	"BDAT 5 LAST\r\nbody\n", "BDAT 6\r\nbody\r\n",
	"BDAT 0 LAST\r\n", "BDAT 0\r\n", "BDAT 7\r\nSubject", "BDAT 8 last\r\n: y\r\n\r\nz", "BDAT 3\r\n", "BDAT 2001\r\n", "BDAT 99999999999999999999\r\n",
	"BDAT 70000000 LAST\r\n", "BDAT x\r\n", "BDAT\r\n", "LHLO x\r\n", "MAIL FROM:<a@b>\n", "WHAT\r\n", "AUTH DOWN\r\n", "AUTH PANIC\r\n",
}

// scriptPieces are parts of messages.
var scriptPieces = []string{
	"\r\n", "\r", "\n", ".", "\x00", "\r\n.\r\n", "\r\n.\n", "\n.\r\n", "\r\n.\r", "\r\r\n.\r\n", "..\r\n", "Do: fail\r\n", "Do: refuse\r\n", "Do: close\r\n",
	"Do: panic\r\n", "Do: lie\r\n", "Do: mixed\r\n", "Received: x\r\n", " folded\r\n", "\t\r\n", "Subject: x\r\n\r\n", "\u00fc", "\xff", "MAIL FROM:<smuggled@example.net>\r\n",
}

// scriptFills are lengths around those where something may happen.
var scriptFills = []int{505, 506, 507, 998, 999, 1000, 1001, 1998, 2000, 2001, 2040, 2048, 4094, 4095, 4096, 4097, 8192, 12286, 12287, 12288}

// scriptSleeps are times around those where something may happen.
var scriptSleeps = []time.Duration{time.Millisecond, 30 * time.Second, time.Minute, 3 * time.Minute, 5*time.Minute + 1, 2 * time.Hour}

// options are those of the server.
type options struct{ repair, requireAuth, lmtp bool }

// fuzzSeeds are scripts that make something happen.
func fuzzSeeds() []string {
	const begin = "EHLO a.example\r\n"
	const mail = "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
	const bdat = "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\n"
	const tlsOn = begin + "STARTTLS\r\n\xfet"
	return []string{
		begin + mail + "Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n",
		begin + mail + "x\r\n.\r\n" + mail + "y\n.\n\r\n.\r\nNOOP\r\n",
		begin + mail + "x\r\n.\r", begin + mail + "..\r\n.\r\nRSET\r\n", begin + mail + "a: b\r\n\r\nc\r\n..d\r\n...\r\n.\r\n", "HELO x\r\nVRFY a\r\nHELP\r\n",
		begin + "AUTH PLAIN\r\nAGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\nAUTH LOGIN\r\n*\r\nNOOP\r\n", begin + "AUTH LAST eA==\r\n\r\n" + mail,
		begin + "MAIL FROM:<\xc3\xb6@b> SMTPUTF8 SIZE=1 BODY=8BITMIME AUTH=<>\r\nRCPT TO:<@a:b@c>\r\nQUIT\r\n", "GET / HTTP/1.0\r\nNOOP\r\n",
		"NOOP\nNOOP\r\n\r\n\x00\r\n", strings.Repeat("NOOP\r\n", 200), strings.Repeat("x", 13000) + "\r\nNOOP\r\n", begin + mail + "x\r\r\n.\r\nNOOP\r\n",
		tlsOn + begin + mail + "secret\r\n.\r\nQUIT\r\n", begin + "STARTTLS\r\nNOOP\r\n", begin + "STARTTLS\r\n\xfew\x16\x03\x01", tlsOn + "\xfet" + mail,
		tlsOn + begin + "AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n" + mail + "half\xfeh", tlsOn + begin + mail + "half\xfex",
		begin + mail + "slow\r\n\xfes\x03.\r\nNOOP\r\n", begin + mail + "a\xfewb\xfew\r\xfew\n\xfew.\xfew\r\xfew\n\xfewNOOP\r\n", "EHLO a\xfes\x04", begin + mail + "x\xfer",
		begin + mail + "x\xfes\x02\xfes\x02\xfes\x02\r\n.\r\n", begin + "NOOP\r\n\xfes\x05", begin + mail + "x\r\n.\r\n\xfex", begin + mail + "x\r\n.\r\n\xfer",
		"\xfeo\x01" + begin + mail + "x\ny\r.\r\n.\r\n", "\xfeo\x02" + begin + mail, "\xfeo\x03" + begin + "AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n" + mail + "\r\n.\r\n",
		begin + mail + "\xfef\x06\r\n.\r\n" + mail + "\xfef\x05\r\n.\r\n" + mail + "\xfef\x09\r\n.\r\nNOOP \xfef\x00\r\n", begin + mail + "\xfef\x0f\xfew\r\xfew\n.\r\n",
		begin + mail + "Do: fail\r\n.\r\n" + mail + "Do: refuse\r\n.\r\n" + mail + "Do: panic\r\n.\r\n" + mail + "Do: lie\r\n.\r\n" + mail + "Do: mixed\r\n.\r\n" + mail + "Do: close\r\n.\r\nNOOP\r\n",
		begin + mail + strings.Repeat("Received: x\r\n", 5) + ".\r\n", begin + mail + " folded\r\n.\r\n" + mail + "\r\nno header\r\n.\r\n",
		begin + "MAIL FROM:<>\r\nRCPT TO:<drop@example.com>\r\nDATA\r\nx\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<bad@example.com>\r\nRCPT TO:<later@x>\r\nRCPT TO:<panic@x>\r\nDATA\r\n",
		begin + "MAIL FROM:<bad@x>\r\nMAIL FROM:<a@x>\r\nRCPT TO:<close@x>\r\nNOOP\r\n", "\xfex", "\xfer", "\xfeh", "\xfet", "\xfe",
		begin + bdat + "BDAT 6\r\na: b\r\nBDAT 6 LAST\r\n\r\n.\r\nNOOP\r\n", begin + bdat + "BDAT 100 LAST\r\nhalf\xfeh", begin + bdat + "BDAT 100\r\nhalf\xfes\x03NOOP\r\n",
		begin + "BDAT 6 LAST\r\nNOOP\r\n" + bdat + "BDAT 6\r\na\nb: c" + "BDAT 6 LAST\r\nNOOP\r\n" + bdat + "BDAT 4\r\na\r\nbBDAT 2 LAST\r\n\r\nDATA\r\n",
		begin + bdat + "BDAT 3\r\na\r\nDATA\r\nRCPT TO:<x@y>\r\nMAIL FROM:<>\r\nBDAT 1\r\n\rBDAT 1\r\n\nRSET\r\nBDAT 1 LAST\r\nx", begin + "BDAT 5 LAST\nNOOP\r\n",
		"\xfeo\x04LHLO a\r\n" + mail + "x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<drop@x>\r\nRCPT TO:<c@x>\r\nRCPT TO:<d@x>\r\nDATA\r\nDo: mixed\r\n.\r\nEHLO x\r\n",
		"\xfeo\x04LHLO a\r\n" + bdat + "RCPT TO:<d@x>\r\nBDAT 3 LAST\r\nx\nyMAIL FROM:<>\r\nBDAT 1 LAST\r\nxRCPT TO:<d@x>\r\nDATA\r\n\xfes\x03",
		denseScript("EHLO client.example.net", "MAIL FROM:<a@example.net>", "RCPT TO:<b@example.com>", "DATA", "Subject: x\r\n\r\nbody\r\n.", "QUIT"),
		"\xfeo\x04" + denseScript("LHLO x", "MAIL FROM:<>", "RCPT TO:<postmaster>", "RCPT TO:<drop@example.com>", "BDAT 6\r\nbody", "BDAT 0 LAST", "NOOP"),
		denseScript("EHLO [192.0.2.9]", "STARTTLS", "TLS", "HELO client.example.net", "MAIL FROM:<>", "RCPT TO:<bad@example.com>", "DATA", "QUIT"),
	}
}

// suiteSeeds are sessions that others have found worth trying.
func suiteSeeds() (seeds []string) {
	suites := os.Getenv("MAILBRICKS_SUITES")
	if suites == "" {
		return nil
	}
	for _, pattern := range []string{"profuzzbench-smtp/in-smtp/*.raw", "chasquid/smtpsrv/fuzz/FuzzConnection/*"} {
		files, _ := filepath.Glob(filepath.Join(suites, "fuzz-seeds", filepath.FromSlash(pattern)))
		for _, file := range files {
			if seed, err := os.ReadFile(file); err == nil {
				seeds = append(seeds, string(seed), strings.ReplaceAll(string(seed), `\n`, "\r\n"))
			}
		}
	}
	return seeds
}

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
		script := []byte{escape, doOptions, rapid.ByteRange(0, 7).Draw(r, "options"), escape, doDense}
		pieces := rapid.SampledFrom([]string{"EHLO client.example.net", "LHLO x"}) // most of what comes before is refused
		script = append(script, denseScript(pieces.Draw(r, "hello"))[2:]...)
		good := denseScript("MAIL FROM:<a@example.net>", "RCPT TO:<b@example.com>", "RCPT TO:<postmaster>")[2:]
		part := rapid.OneOf(rapid.Map(rapid.Byte(), func(b byte) string { return string([]byte{b}) }), rapid.Just(good))
		for _, p := range rapid.SliceOfN(part, 0, 30).Draw(r, "parts") {
			script = append(script, p...)
		}
		synctest.Test(t, func(t *testing.T) { runScript(t, script, server, client) })
		if t.Failed() {
			r.Fatalf("script: %q", script)
		}
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
		options.repair, options.requireAuth, options.lmtp = script[2]&1 != 0, script[2]&2 != 0, script[2]&4 != 0
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
		Hostname: "mail.example.com", Auth: users{[]string{"PLAIN", "LOGIN", "LAST"}}, AllowInsecureAuth: true, RequireAuth: options.requireAuth, LMTP: options.lmtp,
		MaxMessageSize: modelMaxSize, MaxLineLength: modelMaxLine, MaxHops: modelMaxHops, MaxBadRecipients: suspicious + 1, MaxRecipients: 5,
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

// denseActions are what the octets of a dense script stand for, with what each action can be told.
var denseActions = []struct {
	action byte
	choice int
}{
	{doCommand, len(scriptCommands)}, {doPiece, len(scriptPieces)}, {doFill, len(scriptFills)}, {doSleep, len(scriptSleeps)},
	{doSettle, 8}, {doTLS, 2}, {doEnd, 1}, {doClose, 1}, {doReset, 1},
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

// denseScript is the one that sends these lines, each of them one of scriptCommands, and goes over to TLS at "TLS".
func denseScript(lines ...string) string {
	script := string([]byte{escape, doDense})
	for _, line := range lines {
		n := slices.Index(scriptCommands, line+"\r\n")
		if line == "TLS" {
			n = len(scriptCommands) + len(scriptPieces) + len(scriptFills) + len(scriptSleeps) + 8
		}
		if n < 0 {
			panic("no such command: " + line)
		}
		script += string([]byte{byte(n)})
	}
	return script
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

package gosmtp_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd/gosmtp"
)

// The same commands to go-smtp's server and to this one, with the same backend: what the package comment says of both.
func TestWhatDiffersFromGoSMTP(t *testing.T) {
	t.Parallel()
	const ehlo = "EHLO client.example.net\r\n"
	const toData = ehlo + "MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"
	for name, c := range map[string]struct {
		send       string
		theirs     string // the last reply's code, or "closed" for none
		ours       string
		told, seen string // the last call of their backend and of ours; empty: it does not matter
	}{
		"MAIL before EHLO":       {send: "MAIL FROM:<ann@example.net>\r\n", theirs: "502", ours: "503"},
		"RCPT before MAIL":       {send: ehlo + "RCPT TO:<bob@example.com>\r\n", theirs: "502", ours: "503"},
		"DATA before RCPT":       {send: ehlo + "MAIL FROM:<ann@example.net>\r\nDATA\r\n", theirs: "502", ours: "503"},
		"nested MAIL":            {send: ehlo + "MAIL FROM:<ann@example.net>\r\nMAIL FROM:<eve@example.net>\r\n", theirs: "250", ours: "503"},
		"postmaster":             {send: ehlo + "MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\n", theirs: "501", ours: "250", seen: "Rcpt postmaster"},
		"no brackets":            {send: ehlo + "MAIL FROM:ann@example.net\r\n", theirs: "250", ours: "501"},
		"quotes":                 {send: ehlo + "MAIL FROM:<\"a b\"@example.net>\r\n", theirs: "250", ours: "250", told: "Mail a b@example.net", seen: `Mail "a b"@example.net`},
		"needless quotes":        {send: ehlo + "MAIL FROM:<\"ann\"@example.net>\r\n", theirs: "250", ours: "250", told: "Mail ann@example.net", seen: "Mail ann@example.net"},
		"domain":                 {send: ehlo + "MAIL FROM:<ann@-bad..example>\r\n", theirs: "250", ours: "501"},
		"address literal":        {send: ehlo + "MAIL FROM:<ann@[bogus!!]>\r\n", theirs: "250", ours: "501"},
		"two at signs":           {send: ehlo + "MAIL FROM:<ann@b@example.net>\r\n", theirs: "250", ours: "501"},
		"line ends of commands":  {send: "EHLO client.example.net\n", theirs: "250", ours: "500"},
		"BY on MAIL":             {send: ehlo + "MAIL FROM:<ann@example.net> BY=120;N\r\n", theirs: "500", ours: "250"},
		"BY on RCPT":             {send: ehlo + "MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.com> BY=120;N\r\n", theirs: "250", ours: "555"},
		"MT-PRIORITY on MAIL":    {send: ehlo + "MAIL FROM:<ann@example.net> MT-PRIORITY=-3\r\n", theirs: "500", ours: "250"},
		"= in ORCPT":             {send: ehlo + "MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.com> ORCPT=rfc822;SRS0+3Dx+3Dy@example.com\r\n", theirs: "250", ours: "250"},
		"size as two numbers":    {send: ehlo + "MAIL FROM:<ann@example.net> SIZE=5 SIZE=6\r\n", theirs: "250", ours: "501"},
		"STARTTLSxyz":            {send: ehlo + "STARTTLSxyz\r\n", theirs: "502", ours: "500"},
		"HELP":                   {send: ehlo + "HELP\r\n", theirs: "502", ours: "214"},
		"unknown mechanism":      {send: ehlo + "AUTH GSSAPI AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n", theirs: "235", ours: "504"},
		"wrong password":         {send: ehlo + "AUTH PLAIN AGFubkBleGFtcGxlLmNvbQB4\r\n", theirs: "454", ours: "535"},
		"a message":              {send: toData + "Subject: x\r\n\r\n..\r\n.\r\n", theirs: "250", ours: "250", told: "Reset", seen: "Reset"},
		"CR LF . LF":             {send: toData + "Subject: x\r\n\r\na\r\n.\nb\r\n.\r\n", theirs: "250", ours: "550"},
		"CR LF . CR CR LF":       {send: toData + "Subject: x\r\n\r\na\r\n.\r\r\nb\r\n.\r\n", theirs: "250", ours: "550"},
		"bare LF":                {send: toData + "Subject: x\n\na\r\n.\r\n", theirs: "250", ours: "550"},
		"BDAT LAST that ends":    {send: strings.TrimSuffix(toData, "DATA\r\n") + "BDAT 1000 LAST\r\nSubject: x\r\n", theirs: "250", ours: "250", told: "Logout", seen: "Logout"},
		"BDAT without line end":  {send: strings.TrimSuffix(toData, "DATA\r\n") + "BDAT 4 LAST\r\nhiho", theirs: "250", ours: "250", told: "Logout", seen: "Logout"},
		"leading white space":    {send: toData + " x\r\n.\r\n", theirs: "250", ours: "250", told: "Reset", seen: "Reset"},
		"AUTH after HELO":        {send: "HELO client.example.net\r\nAUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n", theirs: "235", ours: "503"},
		"MAIL after a refused":   {send: ehlo + "MAIL FROM:<plain@example.net>\r\nMAIL FROM:<ann@example.net>\r\n", theirs: "250", ours: "250"},
		"web browser":            {send: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", theirs: "500", ours: "502"},
		"error of the backend's": {send: ehlo + "MAIL FROM:<plain@example.net>\r\n", theirs: "451", ours: "451"},
		"wrapped SMTPError":      {send: ehlo + "MAIL FROM:<wrapped@example.net>\r\n", theirs: "451", ours: "550"},
		"error of Data":          {send: strings.Replace(toData, "bob@", "broken@", 1) + "x: y\r\n\r\n.\r\n", theirs: "554", ours: "451"},
		"EHLO without a name":    {send: "EHLO\r\n", theirs: "501", ours: "501"},
		"EHLO with a bad name":   {send: "EHLO a\x00b\r\n", theirs: "250", ours: "500"},
		"VRFY":                   {send: ehlo + "VRFY bob\r\n", theirs: "252", ours: "252"},
		"source route":           {send: ehlo + "MAIL FROM:<@a.example:ann@example.net>\r\n", theirs: "250", ours: "250", told: "Mail ann@example.net", seen: "Mail ann@example.net"},
		"null sender with blank": {send: ehlo + "MAIL FROM: <>\r\n", theirs: "250", ours: "250", told: "Mail", seen: "Mail"},
		"second EHLO":            {send: ehlo + ehlo, theirs: "250", ours: "250", told: "Reset", seen: "Reset"},
		"second EHLO after MAIL": {send: ehlo + "MAIL FROM:<>\r\nEHLO b.example.net\r\nMAIL FROM:<x@example.net>\r\n", theirs: "250", ours: "250", told: "Mail x@example.net", seen: "Mail x@example.net"},
		"UTF-8 without SMTPUTF8": {send: ehlo + "MAIL FROM:<\u00e4nn@example.net>\r\n", theirs: "250", ours: "550"},
		"UTF-8 with SMTPUTF8":    {send: ehlo + "MAIL FROM:<\u00e4nn@example.net> SMTPUTF8\r\n", theirs: "250", ours: "250", told: "Mail \u00e4nn@example.net SMTPUTF8=true", seen: "Mail \u00e4nn@example.net SMTPUTF8=true"},
		"DSN":                    {send: ehlo + "MAIL FROM:<ann@example.net> RET=HDRS ENVID=a+2Bb\r\n", theirs: "250", ours: "250", told: "Mail ann@example.net RET=HDRS ENVID=a+b", seen: "Mail ann@example.net RET=HDRS ENVID=a+b"},
		"NOTIFY":                 {send: ehlo + "MAIL FROM:<>\r\nRCPT TO:<bob@example.com> NOTIFY=SUCCESS,DELAY\r\n", theirs: "250", ours: "250", told: "Rcpt bob@example.com NOTIFY=[SUCCESS DELAY]", seen: "Rcpt bob@example.com NOTIFY=[SUCCESS DELAY]"},
		"ORCPT":                  {send: ehlo + "MAIL FROM:<>\r\nRCPT TO:<bob@example.com> ORCPT=rfc822;x+2By@example.org\r\n", theirs: "250", ours: "250", told: "Rcpt bob@example.com ORCPT=RFC822;x+y@example.org", seen: "Rcpt bob@example.com ORCPT=RFC822;x+y@example.org"},
		"RRVS":                   {send: ehlo + "MAIL FROM:<>\r\nRCPT TO:<bob@example.com> RRVS=2014-04-03T23:01:00Z\r\n", theirs: "250", ours: "250", told: "Rcpt bob@example.com RRVS=2014-04-03", seen: "Rcpt bob@example.com RRVS=2014-04-03"},
		"BINARYMIME":             {send: ehlo + "MAIL FROM:<ann@example.net> BODY=BINARYMIME\r\n", theirs: "250", ours: "250", told: "Mail ann@example.net BODY=BINARYMIME", seen: "Mail ann@example.net BODY=BINARYMIME"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := func(be *backend) *smtp.Server {
				be.on = func(method, arg string) error {
					refusal := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 8}, Message: "no"}
					switch {
					case arg == "plain@example.net":
						return io.ErrShortBuffer
					case arg == "wrapped@example.net":
						return &wrapped{refusal}
					case method == "Data" && strings.Contains(arg, "x: y"):
						return io.ErrShortBuffer
					}
					return nil
				}
				s := smtp.NewServer(authBackend{be})
				s.Domain, s.AllowInsecureAuth, s.ErrorLog = "mail.example.com", true, log.New(io.Discard, "", 0)
				s.EnableSMTPUTF8, s.EnableDSN, s.EnableDELIVERBY, s.EnableMTPRIORITY = true, true, true, true
				s.EnableBINARYMIME, s.EnableRRVS = true, true
				return s
			}
			theirs := new(backend)
			s := settings(theirs)
			code := lastReply(t, c.send, s.Serve)
			_ = s.Shutdown(t.Context()) // its listener is closed already
			require.Equal(t, c.theirs, code, "go-smtp")
			ours := new(backend)
			srv := gosmtp.Server(settings(ours))
			code = lastReply(t, c.send, srv.Serve)
			require.NoError(t, srv.Shutdown(t.Context()))
			require.Equal(t, c.ours, code, "here")
			if c.told != "" {
				require.Equal(t, c.told, lastCall(theirs, c.told), "go-smtp")
			}
			if c.seen != "" {
				require.Equal(t, c.seen, lastCall(ours, c.seen), "here")
			}
			switch name { // where a message is what matters
			case "a message":
				require.Contains(t, theirs.log(), `Data "Subject: x\r\n\r\n.\r\n"`)
				require.Contains(t, ours.log(), `Data "Subject: x\r\n\r\n.\r\n"`)
			case "BDAT without line end":
				require.Contains(t, theirs.log(), `Data "hiho"`)
				require.Contains(t, ours.log(), `Data "hiho\r\n"`)
			case "leading white space":
				require.Contains(t, theirs.log(), `Data " x\r\n"`)
				require.Contains(t, ours.log(), `Data "\r\n x\r\n"`)
			case "MAIL after a refused":
				require.Zero(t, theirs.count("Reset"))
				require.Equal(t, 1, ours.count("Reset"), "between the two")
			case "BDAT LAST that ends":
				require.Equal(t, 1, theirs.count("Data"), "as if it were complete")
				require.Zero(t, ours.count("Data"))
			}
		})
	}
}

// wrapped is an error around another.
type wrapped struct{ err error }

func (w *wrapped) Error() string { return "wrapped: " + w.err.Error() }
func (w *wrapped) Unwrap() error { return w.err }

// lastCall is the last call of the backend's before Logout, or what was wanted if that is Logout.
func lastCall(be *backend, want string) string {
	last := ""
	for _, call := range be.log() {
		if call != "Logout" && call != "AuthMechanisms" || call == want {
			last = call
		}
	}
	return last
}

// lastReply gives the code of the last reply to what is sent, after which the client ends.
func lastReply(t *testing.T, send string, serve func(net.Listener) error) string {
	t.Helper()
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- serve(l) }()
	conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	defer conn.Close()
	r := bufio.NewReader(conn)
	var missing int // octets of a chunk
	code := replyCode(r)
	for _, line := range strings.SplitAfter(send, "\n") { // one after the other, but for a message
		if line == "" {
			continue
		}
		_, err := io.WriteString(conn, line)
		if err != nil {
			break
		}
		if code == "354" && line != ".\r\n" || code == "BDAT" {
			missing -= len(line)
			continue
		}
		if n, _ := fmt.Sscanf(line, "BDAT %d", &missing); n == 1 {
			code = "BDAT"
			continue
		}
		next := replyCode(r)
		if next == "" {
			break
		}
		code = next
	}
	if code == "BDAT" {
		if missing > 0 {
			require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
		}
		if code = replyCode(r); code == "" {
			code = "250" // the last one before
		}
	}
	require.NoError(t, conn.Close())
	require.NoError(t, l.Close())
	<-done
	return code
}

// replyCode reads a whole reply; empty at the end.
func replyCode(r *bufio.Reader) string {
	for {
		line, err := r.ReadString('\n')
		if err != nil || len(line) < 4 {
			return ""
		}
		if line[3] == ' ' {
			return line[:3]
		}
	}
}

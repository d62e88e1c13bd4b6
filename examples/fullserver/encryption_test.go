package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/smtp"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/auth"
	"github.com/mailbricks/mailbricks/maildir"
)

// reader is an IMAP client.
type reader struct {
	t    *testing.T
	conn *tls.Conn
	in   *bufio.Reader
	n    int
}

func dialIMAP(t *testing.T, addr string) *reader {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	r := &reader{t: t, conn: conn, in: bufio.NewReader(conn)}
	line, err := r.in.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "* OK")
	return r
}

// do gives all that a command is answered with.
func (r *reader) do(format string, args ...any) string {
	r.t.Helper()
	r.n++
	tag := fmt.Sprintf("x%03d ", r.n)
	_, err := fmt.Fprintf(r.conn, tag+format+"\r\n", args...)
	require.NoError(r.t, err)
	var all strings.Builder
	for {
		line, err := r.in.ReadString('\n')
		require.NoError(r.t, err)
		all.WriteString(line)
		if strings.HasPrefix(line, tag) {
			return all.String()
		}
	}
}

// good is do for what works.
func (r *reader) good(format string, args ...any) string {
	r.t.Helper()
	out := r.do(format, args...)
	require.Regexp(r.t, `(?m)^x\d{3} OK`, out)
	return out
}

func (r *reader) close() {
	r.good("LOGOUT")
	_ = r.conn.Close()
}

// handIn hands a message in by SMTP.
func handIn(t *testing.T, addr, text string) {
	t.Helper()
	c, err := smtp.Dial(addr)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Mail("bob@example.org"))
	require.NoError(t, c.Rcpt("ann@example.com"))
	w, err := c.Data()
	require.NoError(t, err)
	_, err = w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, c.Quit())
}

// marked gives the files and folders whose name or content has the marker in it. It looks anew when something gets another
// name meanwhile.
func marked(t *testing.T, dir string) []string {
	t.Helper()
	for {
		var out []string
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			var data []byte
			if d.Type().IsRegular() {
				if data, err = os.ReadFile(path); err != nil {
					return err
				}
			}
			if strings.Contains(filepath.Base(path), "Marker") || bytes.Contains(bytes.ToLower(data), []byte("marker")) {
				out = append(out, path)
			}
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		return out
	}
}

var recoveryKey = regexp.MustCompile(`(?m)^    ([0-9A-Z]{6}(?:-[0-9A-Z]{6}){5})$`)

func recoveryOf(t *testing.T, out string) string {
	t.Helper()
	found := recoveryKey.FindStringSubmatch(out)
	require.NotNil(t, found, out)
	return found[1]
}

// encryptedServer is a server with an account whose mail has the marker in everything that a user can name or write.
func encryptedServer(t *testing.T) (file string, ports map[string]string) {
	t.Helper()
	file, ports = testConfig(t, "smtp", "imaps")
	extend(t, file, "[policy]\ntrusted_networks = [\"127.0.0.1\"]\n")
	_, errs, code := run(t, "", "-config", file, "email", "add", "ann@example.com", "secret")
	require.Equal(t, exitOK, code, errs)
	return file, ports
}

func fillMarked(t *testing.T, ports map[string]string) {
	t.Helper()
	handIn(t, ports["smtp"], "From: bob@example.org\r\nSubject: Marker one\r\n\r\nmarker\r\n")
	r := dialIMAP(t, ports["imaps"])
	r.good("LOGIN ann@example.com secret")
	r.good("CREATE MarkerBox")
	r.good("SUBSCRIBE MarkerBox")
	text := "From: marker@example.org\r\nSubject: Marker two\r\n\r\n" + strings.Repeat("marker\r\n", 1000)
	r.good("APPEND MarkerBox (markerword) {%d+}\r\n%s", len(text), text)
	r.good("SELECT MarkerBox")
	r.good("FETCH 1 (FLAGS ENVELOPE BODYSTRUCTURE)") // which is kept
	r.close()
}

// readMarked checks that all is there.
func readMarked(t *testing.T, addr, password string, inbox int) {
	t.Helper()
	r := dialIMAP(t, addr)
	r.good("LOGIN ann@example.com %s", password)
	require.Contains(t, r.good(`LSUB "" *`), "MarkerBox")
	require.Contains(t, r.good("SELECT INBOX"), fmt.Sprintf("* %d EXISTS", inbox))
	require.Contains(t, r.good("FETCH 1 BODY.PEEK[]"), "Subject: Marker one\r\n\r\nmarker\r\n")
	r.good("SELECT MarkerBox")
	out := r.good("FETCH 1 (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
	require.Contains(t, out, "UID 1 ")
	require.Contains(t, out, "markerword")
	require.Contains(t, out, `"Marker two"`)
	require.Contains(t, out, strings.Repeat("marker\r\n", 1000))
	require.Contains(t, r.good("FETCH 1 BODY.PEEK[]<4000.8>"), "<4000>")
	r.close()
}

// From the first mail in the clear to the last: everything is readable for who has the password and nothing on disk for who has
// not, while the server runs and mail comes.
func TestEncryptionFromEndToEnd(t *testing.T) {
	t.Parallel()
	file, ports := encryptedServer(t)
	data, backup := filepath.Join(filepath.Dir(file), "data"), t.TempDir()
	serve(t, file)
	do := func(stdin string, args ...string) (string, string, int) {
		t.Helper()
		return run(t, stdin, append([]string{"-config", file}, args...)...)
	}
	fillMarked(t, ports)
	require.NotEmpty(t, marked(t, data))
	session := dialIMAP(t, ports["imaps"]) // all the time
	session.good("LOGIN ann@example.com secret")
	session.good("SELECT MarkerBox")

	out, errs, code := do("secret\n", "encrypt", "on", "ann@example.com")
	require.Equal(t, exitOK, code, errs)
	recovery := recoveryOf(t, out)
	require.Contains(t, out, "All mail of ann@example.com is encrypted.")
	require.Empty(t, marked(t, data))
	require.Contains(t, session.good("FETCH 1 (UID BODY.PEEK[])"), "Subject: Marker two")
	session.good(`STORE 1 +FLAGS (\Flagged markerother)`)

	handIn(t, ports["smtp"], "From: bob@example.org\r\nSubject: Marker three\r\n\r\n"+strings.Repeat("the marker of a large message\r\n", 20_000))
	require.Empty(t, marked(t, data), "in the spool neither")
	readMarked(t, ports["imaps"], "secret", 2)
	_, errs, code = do("", "backup", "ann@example.com", filepath.Join(backup, "ann"))
	require.Equal(t, exitOK, code, errs)
	require.Empty(t, marked(t, backup))
	out, errs, code = do("", "maildir", "check", "-rebuild")
	require.Equal(t, exitOK, code, errs+out)
	require.Empty(t, marked(t, data))

	// Passwords.
	_, errs, code = do("wrong\nnew\n", "email", "update", "ann@example.com", "-with-old")
	require.Equal(t, exitError, code)
	require.Equal(t, "fullserver: nothing was changed: that password does not open the mail of ann@example.com\n", errs)
	_, errs, code = do("secret\nnew\n", "email", "update", "ann@example.com", "-with-old")
	require.Equal(t, exitOK, code, errs)
	r := dialIMAP(t, ports["imaps"])
	require.Contains(t, r.do("LOGIN ann@example.com secret"), "NO [AUTHENTICATIONFAILED]")
	readMarked(t, ports["imaps"], "new", 2)
	_, errs, code = do(strings.ToLower(recovery)+"\nnewer\n", "encrypt", "recover", "ann@example.com")
	require.Equal(t, exitOK, code, errs)
	readMarked(t, ports["imaps"], "newer", 2)

	// New keys.
	out, errs, code = do("newer\n", "encrypt", "rotate", "ann@example.com")
	require.Equal(t, exitOK, code, errs)
	next := recoveryOf(t, out)
	require.NotEqual(t, recovery, next)
	readMarked(t, ports["imaps"], "newer", 2)
	require.Contains(t, session.good("FETCH 1 BODY.PEEK[HEADER]"), "Subject: Marker two")
	_, errs, code = do(recovery+"\nnewest\n", "encrypt", "recover", "ann@example.com")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "nothing was changed")
	require.Empty(t, marked(t, data))

	var lines []encryptionLine
	out, _, _ = do("", "encrypt", "status", "-json")
	require.NoError(t, json.Unmarshal([]byte(out), &lines))
	require.Equal(t, []encryptionLine{{Address: "ann@example.com", State: "on", Done: lines[0].Done, Total: lines[0].Done, Open: true,
		Password: true, Recovery: true}}, lines)
	require.Positive(t, lines[0].Done)

	// And back.
	out, errs, code = do(next+"\n", "encrypt", "off", "ann@example.com", "-recovery")
	require.Equal(t, exitOK, code, errs)
	require.Equal(t, "All mail of ann@example.com is in the clear.\n", out)
	require.DirExists(t, filepath.Join(data, "mail", "example.com", "ann", ".MarkerBox"))
	readMarked(t, ports["imaps"], "newer", 2)
	require.Contains(t, session.good("FETCH 1 (FLAGS)"), "markerother")
	session.close()
	out, _, _ = do("", "encrypt", "status", "ann@example.com")
	require.Equal(t, "* ann@example.com is not encrypted\n", out)
}

// What cannot be done is refused before anything is changed, with the way out.
func TestEncryptionThatCannotBe(t *testing.T) {
	t.Parallel()
	file, _ := encryptedServer(t)
	do := func(stdin string, args ...string) (string, string, int) {
		t.Helper()
		return run(t, stdin, append([]string{"-config", file}, args...)...)
	}
	refused := func(want, stdin, args string) {
		t.Helper()
		out, errs, code := do(stdin, strings.Fields(args)...)
		require.Equal(t, exitError, code, out)
		require.Contains(t, errs, want)
		require.Equal(t, 1, strings.Count(errs, "\n"), errs)
	}
	refused("ann@example.com is not encrypted", "secret\n", "encrypt off ann@example.com")
	refused("ann@example.com is not encrypted", "secret\n", "encrypt rotate ann@example.com")
	refused("ann@example.com is not encrypted: fullserver email update", "x\ny\n", "encrypt recover ann@example.com")
	refused("that is not the password of ann@example.com", "wrong\n", "encrypt on ann@example.com")
	refused("no password on the command line", "", "encrypt on ann@example.com")
	refused("encryption.server_key is not set", "", "encrypt on ann@example.com -server-key")
	refused("bob@example.com is no account", "x\n", "encrypt on bob@example.com")
	refused("bob@example.com is no account", "x\ny\n", "encrypt recover bob@example.com")
	refused("bob@example.com is no account", "", "encrypt status bob@example.com")

	out, errs, code := do("secret\n", "encrypt", "on", "ann@example.com")
	require.Equal(t, exitOK, code, errs)
	recovery := recoveryOf(t, out)
	accounts := filepath.Join(filepath.Dir(file), "data", "accounts.cf")
	before, err := os.ReadFile(accounts)
	require.NoError(t, err)
	refused("is encrypted already", "secret\n", "encrypt on ann@example.com")
	refused("nothing was changed: the mail of ann@example.com is encrypted and takes the old password", "new\n", "email update ann@example.com")
	refused("nothing was changed: that password does not open", "old\nnew\n", "email update ann@example.com -with-old")
	refused("typing error", recovery[:34]+"\nnew\n", "encrypt recover ann@example.com")
	refused("no new password", recovery+"\n", "encrypt recover ann@example.com")
	refused("stands in place", "", "encrypt off ann@example.com secret -server-key")
	refused("that password does not open the mail", "wrong\n", "encrypt recovery-key ann@example.com")
	after, err := os.ReadFile(accounts)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))

	out, errs, code = do("secret\n", "encrypt", "recovery-key", "ann@example.com")
	require.Equal(t, exitOK, code, errs)
	next := recoveryOf(t, out)
	refused("nothing was changed", recovery+"\nnew\n", "encrypt recover ann@example.com")
	out, errs, code = do(next+"\nnew\n", "encrypt", "recover", "ann@example.com")
	require.Equal(t, exitOK, code, errs)
	require.Contains(t, out, "has the new password")
	out, _, _ = do("", "encrypt", "status")
	require.Equal(t, "* ann@example.com is encrypted; opens with password, recovery key\n", out)

	// An account of the same name later.
	_, errs, code = do("", "email", "del", "ann@example.com")
	require.Equal(t, exitOK, code, errs)
	_, errs, code = do("", "email", "add", "ann@example.com", "other")
	require.Equal(t, exitOK, code)
	require.Contains(t, errs, "has the encrypted mail of an account that was deleted")
}

// A password that does not open the mail, as accounts.cf was edited, lets nobody in and says why; a server key does.
func TestLogInThatDoesNotOpenTheMail(t *testing.T) {
	t.Parallel()
	for _, withKey := range []bool{false, true} {
		t.Run(fmt.Sprintf("server key %v", withKey), func(t *testing.T) {
			t.Parallel()
			file, ports := encryptedServer(t)
			do := func(stdin string, args ...string) (string, string, int) {
				t.Helper()
				return run(t, stdin, append([]string{"-config", file}, args...)...)
			}
			key := filepath.Join(t.TempDir(), "server.key")
			if withKey {
				out, errs, code := do("", "encrypt", "server-key", key)
				require.Equal(t, exitOK, code, errs)
				require.Contains(t, out, fmt.Sprintf("server_key = %q", key))
				extend(t, file, fmt.Sprintf("[encryption]\nserver_key = %q\n", key))
			}
			_, errs, code := do("secret\n", "encrypt", "on", "ann@example.com")
			require.Equal(t, exitOK, code, errs)
			accounts := filepath.Join(filepath.Dir(file), "data", "accounts.cf")
			hash, err := auth.HashPassword("edited")
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(accounts, []byte("ann@example.com|"+hash+"\n"), 0o600))
			serve(t, file)
			handIn(t, ports["smtp"], "Subject: comes all the same\r\n\r\n")
			r := dialIMAP(t, ports["imaps"])
			answer := r.do("LOGIN ann@example.com edited")
			if !withKey {
				require.Contains(t, answer, "NO [UNAVAILABLE] Your mail is encrypted")
				_, errs, code = do("", "mail", "export", "ann@example.com", "-")
				require.Equal(t, exitError, code)
				require.Contains(t, errs, "locked")
				return
			}
			require.Contains(t, answer, "OK")
			require.Contains(t, r.good("SELECT INBOX"), "* 1 EXISTS")
			r.close()
			_, errs, code = do("newer\n", "email", "update", "ann@example.com")
			require.Equal(t, exitOK, code, errs)
			_, errs, code = do("", "mail", "export", "ann@example.com", "-")
			require.Equal(t, exitOK, code, errs)
			_, errs, code = do("", "encrypt", "off", "ann@example.com", "-server-key")
			require.Equal(t, exitOK, code, errs)
		})
	}
}

func TestNewAccountsAreEncrypted(t *testing.T) {
	t.Parallel()
	file, ports := testConfig(t, "smtp", "imaps")
	extend(t, file, "[policy]\ntrusted_networks = [\"127.0.0.1\"]\n[encryption]\nnew_accounts = true\n")
	out, errs, code := run(t, "", "-config", file, "email", "add", "ann@example.com", "secret")
	require.Equal(t, exitOK, code, errs)
	recoveryOf(t, out)
	serve(t, file)
	fillMarked(t, ports)
	require.Empty(t, marked(t, filepath.Join(filepath.Dir(file), "data")))
	readMarked(t, ports["imaps"], "secret", 1)
}

func TestServerKeyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	_, errs, code := run(t, "", "encrypt", "server-key", path)
	require.Equal(t, exitOK, code, errs)
	key, err := readServerKey(path)
	require.NoError(t, err)
	require.Len(t, key, 32)
	_, errs, code = run(t, "", "encrypt", "server-key", path)
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "exists")
	for text, want := range map[string]string{
		"": "no key of a server", "mailbricks-server-key 2\nx\n": "no key of a server", "mailbricks-server-key 1\nAAAA\n": "damaged",
		"mailbricks-server-key 1\n": "damaged", strings.Repeat("x", 5000): "larger than allowed",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := readServerKey(path)
		require.ErrorContains(t, err, want, "%.40q", text)
	}
	require.NoError(t, os.WriteFile(path, formatServerKey(key), 0o600))
	if runtime.GOOS != "windows" { // where modes say nothing
		require.NoError(t, os.Chmod(path, 0o640))
		_, err = readServerKey(path)
		require.ErrorContains(t, err, "can be read by others")
	}

	file, _ := testConfig(t, "imaps")
	extend(t, file, fmt.Sprintf("[encryption]\nserver_key = %q\n", filepath.Join(dir, "none")))
	_, errs, code = run(t, "", "-config", file, "serve")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "encryption.server_key: ")
	require.Contains(t, errs, "fullserver encrypt server-key makes one")
	file, _ = testConfig(t, "imaps")
	extend(t, file, "[encryption]\nserver_key = \"relative\"\n")
	_, errs, code = run(t, "", "-config", file, "email", "list")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "encryption.server_key: \"relative\" is no absolute path")
}

func FuzzServerKey(f *testing.F) {
	f.Add(formatServerKey(make([]byte, 32)))
	f.Add([]byte("mailbricks-server-key 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := parseServerKey(data)
		if err == nil && len(key) != 32 {
			t.Fatalf("key of %d octets", len(key))
		}
	})
}

// Who mistypes a recovery key reads what is wrong, and nothing else.
func TestWrongRecoveryKeyIsToldPlainly(t *testing.T) {
	t.Parallel()
	secret := maildir.Secret{Recovery: "x"}
	err := fmt.Errorf("maildir: encryption of %q: %w", "a@b.c", fmt.Errorf("%w: the recovery key has a typing error", maildir.ErrSecret))
	require.EqualError(t, wrongSecret("a@b.c", secret, err), "the recovery key has a typing error")
	require.EqualError(t, wrongSecret("a@b.c", secret, maildir.ErrSecret), "that recovery key does not open the mail of a@b.c")
}

package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// client talks to a service of the server.
type client struct {
	t *testing.T
	*textproto.Conn
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	conn, err := textproto.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	c := &client{t, conn}
	_, err = c.ReadLine()
	require.NoError(t, err)
	return c
}

// do sends a command and gives the last line of the reply.
func (c *client) do(format string, args ...any) string {
	c.t.Helper()
	require.NoError(c.t, c.PrintfLine(format, args...))
	return c.reply()
}

func (c *client) reply() string {
	c.t.Helper()
	for {
		line, err := c.ReadLine()
		require.NoError(c.t, err)
		if len(line) < 4 || line[3] != '-' {
			return line
		}
	}
}

// withQuotas is a server with accounts: full has no room left, roomy some, free no limit; aliases of them are pair, all and
// nested.
func withQuotas(t *testing.T) (file string, ports map[string]string) {
	t.Helper()
	file, ports = testConfig(t, "smtp", "submission", "lmtp", "imap")
	extend(t, file, "[policy]\ntrusted_networks = [\"127.0.0.0/8\"]\n[tls]\nmode = \"self-signed\"\n")
	do := func(args ...string) {
		t.Helper()
		_, errs, code := run(t, "secret\n", append([]string{"-config", file}, args...)...)
		require.Equal(t, exitOK, code, errs)
	}
	for user, quota := range map[string]string{"full": "2k", "roomy": "10k", "free": "0"} {
		do("email", "add", user+"@example.com")
		do("quota", "set", user+"@example.com", quota)
	}
	for _, alias := range []string{"one full", "nested one", "pair full", "pair roomy", "all full", "all also@elsewhere.example", "@ full"} {
		from, to, _ := strings.Cut(alias, " ")
		if !strings.Contains(to, "@") {
			to += "@example.com"
		}
		if from == "@" {
			from = ""
		}
		do("alias", "add", from+"@example.com", to)
	}
	serve(t, file)
	c := dial(t, ports["lmtp"])
	c.do("LHLO x")
	c.do("MAIL FROM:<a@example.org>")
	c.do("RCPT TO:<full@example.com>")
	c.do("DATA")
	require.Contains(t, c.do("Subject: x\r\n\r\n%s\r\n.", strings.Repeat("x", 1200)), "250 ")
	return file, ports
}

// Whether there is room is known at RCPT, also behind aliases, on each service that takes mail.
func TestFullAccountsAreRefusedAtRcpt(t *testing.T) {
	t.Parallel()
	_, ports := withQuotas(t)
	for _, service := range []string{"smtp", "submission", "lmtp"} {
		c := dial(t, ports[service])
		switch service {
		case "lmtp":
			c.do("LHLO client.example.org")
		case "submission":
			c.submit(ports[service])
		default:
			c.do("EHLO client.example.org")
		}
		for _, test := range []struct {
			rcpt string
			size int
			want string
		}{
			{"full", 0, "250 "}, {"full", 100, "250 "}, {"full", 700, "552 5.2.2"}, {"one", 100, "250 "}, {"one", 700, "552 5.2.2"},
			{"nested", 700, "552 5.2.2"}, {"anybody", 700, "552 5.2.2"}, {"full+detail", 700, "552 5.2.2"},
			{"roomy", 700, "250 "}, {"roomy", 20_000, "552 5.2.2"}, {"free", 20_000, "250 "},
			{"pair", 700, "250 "}, {"pair", 20_000, "552 5.2.2"}, {"all", 20_000, "250 "},
		} {
			size := ""
			if test.size > 0 {
				size = fmt.Sprintf(" SIZE=%d", test.size)
			}
			require.Contains(t, c.do("MAIL FROM:<free@example.com>%s", size), "250 ")
			require.Contains(t, c.do("RCPT TO:<%s@example.com>", test.rcpt), test.want, "%s: %+v", service, test)
			require.Contains(t, c.do("RSET"), "250 ")
		}
	}
}

// submit logs in.
func (c *client) submit(address string) {
	c.t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { conn.Close() })
	s, err := smtp.NewClient(conn, "127.0.0.1")
	require.NoError(c.t, err)
	require.NoError(c.t, s.StartTLS(&tls.Config{InsecureSkipVerify: true}))
	require.NoError(c.t, s.Auth(smtp.PlainAuth("", "free@example.com", "secret", "127.0.0.1")))
	c.Conn = s.Text
}

// LMTP has an outcome for each recipient, and the message of those that are accounts is written once.
func TestLMTPAnswersForEachAndWritesOnce(t *testing.T) {
	t.Parallel()
	file, ports := withQuotas(t)
	c := dial(t, ports["lmtp"])
	c.do("LHLO client.example.org")
	c.do("MAIL FROM:<a@example.org>")
	for _, rcpt := range []string{"free", "full", "pair", "roomy"} {
		require.Contains(t, c.do("RCPT TO:<%s@example.com>", rcpt), "250 ")
	}
	require.Contains(t, c.do("DATA"), "354 ")
	got := []string{c.do("Subject: once\r\n\r\n%s\r\n.", strings.Repeat("y", 700)), c.reply(), c.reply(), c.reply()}
	for i, want := range []string{"250 ", "552 5.2.2", "250 ", "250 "} {
		require.Contains(t, got[i], want, "%v", got)
	}
	mail := filepath.Join(filepath.Dir(file), "data", "mail", "example.com")
	files := func(user string) (infos []os.FileInfo) {
		paths, err := filepath.Glob(filepath.Join(mail, user, "new", "*"))
		require.NoError(t, err)
		for _, path := range paths {
			info, err := os.Stat(path)
			require.NoError(t, err)
			infos = append(infos, info)
		}
		return infos
	}
	free, roomy := files("free"), files("roomy")
	require.Len(t, free, 1)
	require.Len(t, roomy, 2, "one through the alias")
	require.True(t, os.SameFile(free[0], roomy[0]) || os.SameFile(free[0], roomy[1]))
	require.Len(t, files("full"), 1)
}

// While a disk is nearly full no mail comes in, by whatever way.
func TestNoMailWhileADiskIsNearlyFull(t *testing.T) {
	t.Parallel()
	file, ports := testConfig(t, "smtp", "submission", "lmtp", "imap")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(data), `"1M"`, `"900T"`, 1)+"[tls]\nmode = \"self-signed\"\n"), 0o600))
	_, errs, code := run(t, "secret\n", "-config", file, "email", "add", "free@example.com")
	require.Equal(t, exitOK, code, errs)
	serve(t, file)
	for _, service := range []string{"smtp", "submission", "lmtp"} {
		c := dial(t, ports[service])
		switch service {
		case "lmtp":
			c.do("LHLO client.example.org")
		case "submission":
			c.submit(ports[service])
		default:
			c.do("EHLO client.example.org")
		}
		require.Contains(t, c.do("MAIL FROM:<free@example.com>"), "452 4.3.1", service)
	}
	conn, err := tls.Dial("tcp", ports["imap"], nil)
	require.Error(t, err, "not with implicit TLS")
	require.Nil(t, conn)
	plain, err := net.Dial("tcp", ports["imap"])
	require.NoError(t, err)
	defer plain.Close()
	c := &client{t, textproto.NewConn(plain)}
	_, err = c.ReadLine()
	require.NoError(t, err)
	require.Contains(t, c.do("a STARTTLS"), "a OK")
	c.Conn = textproto.NewConn(tls.Client(plain, &tls.Config{InsecureSkipVerify: true}))
	require.Contains(t, c.do("b LOGIN free@example.com secret"), "b OK")
	require.Equal(t, "c NO [UNAVAILABLE] Insufficient system storage, please try again later", c.do("c APPEND INBOX {10}"))
}

// That mail is refused, or that the account files have a mistake, is shown by health, and logged when it changes.
func TestHealthTellsOfFullDisksAndBadFiles(t *testing.T) {
	t.Parallel()
	a := openTestApp(t)
	var log bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(&log, nil))
	health := func() string {
		var out output
		require.NoError(t, (&warningsCommand{}).runOn(t.Context(), a, &out))
		return out.String()
	}
	require.Empty(t, health())
	free := a.config().limits.freeSpace
	a.config().limits.freeSpace = 1 << 62
	for range 2 {
		require.Contains(t, health(), "warning: new mail is refused for now: a disk under ")
		a.checkRoom()
	}
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
	a.config().limits.freeSpace = free
	a.checkRoom()
	require.Empty(t, health())
	require.Equal(t, 2, strings.Count(log.String(), "level=WARN"))

	require.NoError(t, a.dir.AddAccount("ann@example.com", "secret"))
	aliases := a.config().path("aliases.cf")
	require.NoError(t, os.WriteFile(aliases, []byte("x@example.com ann@example.com\nonly-one-word\n"), 0o600))
	for range 2 {
		require.Contains(t, health(), "warning: changes to account files are not in force: directory: aliases.cf line 2")
	}
	require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"))
	require.NoError(t, os.WriteFile(aliases, []byte("x@example.com ann@example.com\n"), 0o600))
	require.Empty(t, health())
	require.Len(t, a.dir.Aliases(), 1)
}

// The size that a client declares counts, on each of the disks.
func TestRoomOnEachDisk(t *testing.T) {
	t.Parallel()
	c := defaults()
	c.dataDir = t.TempDir()
	c.limits.freeSpace = 1
	_, err := hasRoom(c, 0)
	require.Error(t, err, "there is no folder")
	require.NoError(t, makeFolders(c))
	free, err := freeSpace(c.dataDir)
	require.NoError(t, err)
	require.Greater(t, free.octets, uint64(1<<20))
	require.Greater(t, free.files, uint64(minFreeFiles))
	for size, want := range map[int64]bool{0: true, 1000: true, int64(free.octets): false, 1 << 62: false} {
		ok, err := hasRoom(c, size)
		require.NoError(t, err)
		require.Equal(t, want, ok, size)
	}
	c.limits.freeSpace = int64(free.octets) * 2
	require.ErrorIs(t, roomFor(c, 0), errNoRoom)

	other, err := freeSpace("/dev/shm")
	if err != nil || other.octets+1<<20 > free.octets {
		t.Skip("no second, smaller disk here")
	}
	c.limits.freeSpace = int64(other.octets + 1<<19)
	require.NoError(t, roomFor(c, 0))
	for _, dir := range []string{"mail", "queue", "state/spool"} {
		disk, err := os.MkdirTemp("/dev/shm", "room")
		require.NoError(t, err)
		defer os.RemoveAll(disk)
		require.NoError(t, os.RemoveAll(c.path(dir)))
		require.NoError(t, os.Symlink(disk, c.path(dir)))
		require.ErrorIs(t, roomFor(c, 0), errNoRoom, dir)
		require.NoError(t, os.Remove(c.path(dir)))
		require.NoError(t, os.Mkdir(c.path(dir), 0o700))
	}
}

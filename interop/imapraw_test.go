//go:build interop

package interop

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// imapRaw is an IMAP session that sends what it is told and reads responses as they are.
type imapRaw struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	tag  int
}

// dialIMAP logs in with the password "secret"; config nil: without TLS.
func dialIMAP(t *testing.T, address, user string, config *tls.Config) *imapRaw {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*patience)))
	if config != nil {
		conn = tls.Client(conn, config)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &imapRaw{t: t, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	require.Contains(t, c.response(), "* OK")
	c.do("LOGIN %s secret", user)
	return c
}

// response reads one response with its literals, whose octets stand where they came.
func (c *imapRaw) response() string {
	c.t.Helper()
	var b strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		require.NoError(c.t, err)
		b.WriteString(line)
		n, ok := literalSize(line)
		if !ok {
			return strings.TrimSuffix(b.String(), "\r\n")
		}
		_, err = io.CopyN(&b, c.in, int64(n))
		require.NoError(c.t, err)
	}
}

func literalSize(line string) (int, bool) {
	rest, ok := strings.CutSuffix(line, "}\r\n")
	at := strings.LastIndexByte(rest, '{')
	if !ok || at < 0 {
		return 0, false
	}
	n, err := strconv.Atoi(rest[at+1:])
	return n, err == nil
}

// do sends a command, which must succeed, and gives the untagged responses and the tagged one.
func (c *imapRaw) do(format string, args ...any) (untagged []string, end string) {
	c.t.Helper()
	c.tag++
	tag := fmt.Sprintf("a%d", c.tag)
	command := fmt.Sprintf(format, args...)
	_, err := io.WriteString(c.conn, tag+" "+command+"\r\n")
	require.NoError(c.t, err)
	for {
		r := c.response()
		if end, ok := strings.CutPrefix(r, tag+" "); ok {
			require.Regexp(c.t, "^OK", end, "%.200s", command)
			return untagged, end
		}
		untagged = append(untagged, r)
	}
}

// create makes a mailbox unless there is one: some servers have a few from the start.
func (c *imapRaw) create(name string) {
	c.t.Helper()
	if !slices.Contains(c.names(), name) {
		c.do(`CREATE "%s"`, name)
	}
}

// logout ends the session.
func (c *imapRaw) logout() {
	c.t.Helper()
	c.do("LOGOUT")
	_ = c.conn.Close()
}

// letter is a message as a client sees it without its body.
type letter struct {
	Flags     []string
	Size      int
	Date      time.Time
	MessageID string
}

// box is a mailbox as a client sees it.
type box struct {
	Validity, Next string
	Letters        map[int]letter
}

// imapAccount is all that a client sees of an account.
type imapAccount struct {
	Boxes      map[string]box
	Subscribed []string
}

var (
	listLine   = regexp.MustCompile(`^\* (?:LIST|LSUB) \((.*?)\) "(.)" "?(.*?)"?$`)
	codeNumber = regexp.MustCompile(`\[(UIDVALIDITY|UIDNEXT|HIGHESTMODSEQ) (\d+)`)
	fetchUID   = regexp.MustCompile(`\bUID (\d+)`)
	fetchFlags = regexp.MustCompile(`FLAGS \((.*?)\)`)
	fetchSize  = regexp.MustCompile(`RFC822\.SIZE (\d+)`)
	fetchDate  = regexp.MustCompile(`INTERNALDATE "(.*?)"`)
	fetchID    = regexp.MustCompile(`(?i)message-id: *(<.*?>)`)
)

// names are the mailboxes that can be opened, as the server writes them.
func (c *imapRaw) names() []string {
	c.t.Helper()
	var names []string
	lines, _ := c.do(`LIST "" "*"`)
	for _, line := range lines {
		found := listLine.FindStringSubmatch(line)
		if found == nil {
			require.NotContains(c.t, line, "* LIST", "a line that this test cannot read")
			continue
		}
		if !strings.Contains(strings.ToLower(found[1]), `\noselect`) && !strings.Contains(strings.ToLower(found[1]), `\nonexistent`) {
			names = append(names, found[3])
		}
	}
	slices.Sort(names)
	return names
}

func (c *imapRaw) subscribed() []string {
	c.t.Helper()
	var names []string
	lines, _ := c.do(`LSUB "" "*"`)
	for _, line := range lines {
		if found := listLine.FindStringSubmatch(line); found != nil {
			names = append(names, found[3])
		}
	}
	slices.Sort(names)
	return names
}

// open selects a mailbox and gives the numbers in the codes of its responses.
func (c *imapRaw) open(command, name string) map[string]string {
	c.t.Helper()
	codes := map[string]string{}
	lines, _ := c.do(`%s "%s"`, command, name)
	for _, line := range lines {
		for _, found := range codeNumber.FindAllStringSubmatch(line, -1) {
			codes[found[1]] = found[2]
		}
	}
	return codes
}

// fetch gives the messages of the mailbox that is open.
func (c *imapRaw) fetch() map[int]letter {
	c.t.Helper()
	letters := map[int]letter{}
	lines, _ := c.do("UID FETCH 1:* (FLAGS RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
	for _, line := range lines {
		if !strings.Contains(line, " FETCH (") {
			continue
		}
		flags := strings.Fields(fetchFlags.FindStringSubmatch(line)[1])
		flags = slices.DeleteFunc(flags, func(f string) bool { return f == `\Recent` })
		slices.Sort(flags)
		l := letter{Flags: flags, Date: date(c.t, fetchDate.FindStringSubmatch(line)[1])}
		l.Size, _ = strconv.Atoi(fetchSize.FindStringSubmatch(line)[1])
		if id := fetchID.FindStringSubmatch(line); id != nil {
			l.MessageID = id[1]
		}
		uid, err := strconv.Atoi(fetchUID.FindStringSubmatch(line)[1])
		require.NoError(c.t, err)
		letters[uid] = l
	}
	return letters
}

// dump reads the whole account.
func (c *imapRaw) dump() imapAccount {
	c.t.Helper()
	a := imapAccount{Boxes: map[string]box{}, Subscribed: c.subscribed()}
	for _, name := range c.names() {
		codes := c.open("EXAMINE", name)
		a.Boxes[name] = box{codes["UIDVALIDITY"], codes["UIDNEXT"], c.fetch()}
	}
	return a
}

var guidLine = regexp.MustCompile(`X-GUID ([0-9a-f]{32})`)

// guids are the ids of the mailboxes, as Dovecot tells them.
func (c *imapRaw) guids() map[string]string {
	c.t.Helper()
	out := map[string]string{}
	for _, name := range c.names() {
		lines, _ := c.do(`STATUS "%s" (X-GUID)`, name)
		for _, line := range lines {
			if found := guidLine.FindStringSubmatch(line); found != nil {
				out[name] = found[1]
			}
		}
	}
	require.Len(c.t, out, len(c.names()))
	return out
}

// same compares what two servers say of one account, so that a difference is named rather than printed in full.
func same(t *testing.T, want, got imapAccount, when string) {
	t.Helper()
	require.Equal(t, want.Subscribed, got.Subscribed, "%s: subscriptions", when)
	for name := range got.Boxes {
		require.Contains(t, want.Boxes, name, "%s: a mailbox more", when)
	}
	for name, w := range want.Boxes {
		g, ok := got.Boxes[name]
		require.True(t, ok, "%s: mailbox %s", when, name)
		require.Equal(t, w.Validity, g.Validity, "%s: UIDVALIDITY of %s", when, name)
		require.Equal(t, w.Next, g.Next, "%s: UIDNEXT of %s", when, name)
		for uid, l := range w.Letters {
			require.Contains(t, g.Letters, uid, "%s: UID in %s", when, name)
			require.Equal(t, l, g.Letters[uid], "%s: UID %d in %s", when, uid, name)
		}
		require.Len(t, g.Letters, len(w.Letters), "%s: messages in %s", when, name)
	}
}

// expand reads a set of UIDs.
func expand(t *testing.T, set string) []int {
	t.Helper()
	var uids []int
	for r := range strings.SplitSeq(set, ",") {
		from, to, isRange := strings.Cut(r, ":")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		require.NoError(t, err)
		last, err := strconv.Atoi(to)
		require.NoError(t, err)
		for uid := first; uid <= last; uid++ {
			uids = append(uids, uid)
		}
	}
	return uids
}

var vanishedLine = regexp.MustCompile(`^\* VANISHED \(EARLIER\) ([0-9:,]+)$`)

// catchUp brings what a client kept of a mailbox up to date as RFC 7162 says: with what the server tells that has changed
// since a modseq, and nothing else.
func (c *imapRaw) catchUp(name string, was box, modseq string) map[int][]string {
	c.t.Helper()
	flags := map[int][]string{}
	for uid, l := range was.Letters {
		flags[uid] = l.Flags
	}
	lines, _ := c.do(`SELECT "%s" (QRESYNC (%s %s))`, name, was.Validity, modseq)
	for _, line := range lines {
		if found := vanishedLine.FindStringSubmatch(line); found != nil {
			for _, uid := range expand(c.t, found[1]) {
				delete(flags, uid)
			}
		}
		if !strings.Contains(line, " FETCH (") {
			continue
		}
		uid, err := strconv.Atoi(fetchUID.FindStringSubmatch(line)[1])
		require.NoError(c.t, err)
		list := strings.Fields(fetchFlags.FindStringSubmatch(line)[1])
		list = slices.DeleteFunc(list, func(f string) bool { return f == `\Recent` })
		slices.Sort(list)
		flags[uid] = list
	}
	return flags
}

// flagsOf is what catchUp must arrive at.
func flagsOf(b box) map[int][]string {
	flags := map[int][]string{}
	for uid, l := range b.Letters {
		flags[uid] = l.Flags
	}
	return flags
}

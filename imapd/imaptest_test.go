package imapd_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// suite is the folder of a suite, or skips the test.
func suite(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("MAILBRICKS_SUITES")
	if root == "" {
		t.Skip("MAILBRICKS_SUITES is not set")
	}
	return filepath.Join(root, name)
}

// skippedScripts are those that need extensions which are not there, by name.
func skippedScripts() map[string]string {
	return map[string]string{"sort-subject": "needs SORT (RFC 5256)"}
}

// stores are the stores that the engine is tested on, as what starts a server over one.
func stores() map[string]func(testing.TB) *world {
	return map[string]func(testing.TB) *world{
		"memory":            func(t testing.TB) *world { w, _ := startSummarized(t, nil); return w },
		"without summaries": startPlain,
		"maildir":           func(t testing.TB) *world { return startOnMaildir(t) },
	}
}

// TestImaptest runs imaptest's scripted tests (Dovecot's suite).
func TestImaptest(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(suite(t, "imaptest"), "scripts")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, ".mbox") {
			continue
		}
		for store, start := range stores() {
			t.Run(store+"/"+name, func(t *testing.T) {
				t.Parallel()
				if why := skippedScripts()[name]; why != "" {
					t.Skip(why)
				}
				newScript(t, dir, name).run(start(t))
			})
		}
	}
}

// script is one scripted test; see the format's description in the suite.
type script struct {
	t      *testing.T
	header map[string]string
	lines  []string
	mbox   []string
	next   int // message to append next
	vars   map[string]string
	conns  []*scriptConn
	conn   *scriptConn // of the expectation that is being matched
	line   int
}

type scriptConn struct {
	*client
	tag  int
	seqs []int // $n: where the numbers of the command's start are now
}

func newScript(t *testing.T, dir, name string) *script {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	s := &script{t: t, header: map[string]string{}, vars: map[string]string{
		"mailbox": "imaptest", "user": "joe", "username": "joe", "password": "secret",
	}}
	head, body, isSplit := strings.Cut(string(raw), "\n\n")
	if strings.HasPrefix(string(raw), "\n") {
		head, body, isSplit = "", string(raw), true
	}
	require.True(t, isSplit)
	for _, line := range strings.Split(head, "\n") {
		key, value, _ := strings.Cut(line, ":")
		s.header[key] = strings.TrimSpace(value)
	}
	s.lines = strings.Split(body, "\n")
	mbox, err := os.ReadFile(filepath.Join(dir, name+".mbox"))
	if err != nil {
		mbox, err = os.ReadFile(filepath.Join(dir, "default.mbox"))
		require.NoError(t, err)
	}
	for _, m := range regexp.MustCompile(`(?m)^From .*\n`).Split(string(mbox), -1) {
		if m != "" {
			s.mbox = append(s.mbox, strings.ReplaceAll(m, "\n", "\r\n"))
		}
	}
	return s
}

// run brings the connections into the state that the script wants, and plays it.
func (s *script) run(w *world) {
	n := 1
	if s.header["connections"] != "" {
		n, _ = strconv.Atoi(s.header["connections"])
	}
	state := s.header["state"]
	for i := range n {
		c := &scriptConn{client: w.dial()}
		s.conns = append(s.conns, c)
		if state == "nonauth" {
			continue
		}
		c.do("x login joe secret")
		if i == 0 && state != "auth" {
			c.do("x create imaptest")
		}
	}
	if state == "" || state == "selected" || state == "appended" {
		count := len(s.mbox)
		if m, err := strconv.Atoi(s.header["messages"]); err == nil {
			count = m
		}
		for range count {
			require.Equal(s.t, []string{"ok"}, s.play(s.conns[0], "x append imaptest", nil)[:1])
		}
	}
	if state == "" || state == "selected" {
		for _, c := range s.conns {
			c.do("x select imaptest")
		}
	}
	for s.line < len(s.lines) {
		s.step()
	}
}

// expectation is a line that must come, or with not must not.
type expectation struct {
	text string
	not  bool
}

// take gives the next line, joined with the literals that it has; comments and blank lines are passed over.
func (s *script) take() (string, bool) {
	for s.line < len(s.lines) {
		line := s.lines[s.line]
		s.line++
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		for strings.HasSuffix(line, "{{{") {
			convert := !strings.HasSuffix(line, "~{{{")
			line = strings.TrimSuffix(strings.TrimSuffix(line, "{{{"), "~")
			var text []string
			for !strings.HasPrefix(s.lines[s.line], "}}}") {
				text = append(text, s.lines[s.line])
				s.line++
			}
			literal := strings.Join(text, "\n")
			if convert {
				literal = strings.ReplaceAll(literal, "\n", "\r\n")
			}
			line += fmt.Sprintf("{%d}\r\n%s%s", len(literal), literal, strings.TrimPrefix(s.lines[s.line], "}}}"))
			s.line++
		}
		return line, true
	}
	return "", false
}

func (s *script) peek() string {
	at := s.line
	line, _ := s.take()
	s.line = at
	return line
}

func status(word string) bool {
	return slices.Contains([]string{"ok", "no", "bad", `""`}, strings.ToLower(word))
}

// split cuts the number of the connection off.
func (s *script) split(line string) (*scriptConn, string) {
	if len(s.conns) == 1 {
		if rest, found := strings.CutPrefix(line, "1 "); found {
			return s.conns[0], rest
		}
		return s.conns[0], line
	}
	number, rest, _ := strings.Cut(line, " ")
	n, err := strconv.Atoi(number)
	require.NoError(s.t, err, line)
	return s.conns[n-1], rest
}

// step plays one command, or one group of pipelined ones.
func (s *script) step() {
	line, found := s.take()
	if !found {
		return
	}
	c, line := s.split(line)
	word, rest, _ := strings.Cut(line, " ")
	if strings.HasPrefix(word, "tag") {
		s.pipelined(c, line)
		return
	}
	command, want := line, ""
	if status(word) {
		command, want = rest, word
	}
	var expected []expectation
	for next := s.peek(); strings.HasPrefix(next, "* ") || strings.HasPrefix(next, "! "); next = s.peek() {
		next, _ = s.take()
		expected = append(expected, expectation{text: next[2:], not: next[0] == '!'})
	}
	if want == "" {
		last, _ := s.take()
		_, want = s.split(last)
	}
	where := fmt.Sprintf("line %d: %s", s.line, command)
	c.tag++
	tag := fmt.Sprintf("t%d", c.tag)
	s.vars["tag"] = tag
	got := s.play(c, tag+" "+s.expand(c, command), expected, where)
	s.checkTagged(c, want, got[0], where)
}

func (s *script) checkTagged(c *scriptConn, want, got, where string) {
	if want == `""` {
		return
	}
	actual, pattern := s.parse(nil, got), s.parse(c, want)
	require.True(s.t, s.matchTop(pattern, actual), "%s\nwant %s\ngot %s", where, want, got)
}

// pipelined sends a group of commands at once.
func (s *script) pipelined(c *scriptConn, first string) {
	var commands, results []string
	var expected []expectation
	for line := first; ; {
		tag, rest, _ := strings.Cut(line, " ")
		word, _, _ := strings.Cut(rest, " ")
		switch {
		case tag == "*":
			expected = append(expected, expectation{text: rest})
		case status(word):
			results = append(results, line)
		default:
			commands = append(commands, tag+" "+s.expand(c, rest))
		}
		if len(results) > 0 && len(results) == len(commands) {
			break
		}
		line, _ = s.take()
	}
	got := s.play(c, strings.Join(commands, "\r\n"), expected, first)
	for _, result := range results {
		require.Contains(s.t, got[1:], result)
	}
}

// play sends commands and reads their answers. The result is the tagged response of the last one without its tag, and
// behind it "tag status" of each.
func (s *script) play(c *scriptConn, commands string, expected []expectation, where ...string) []string {
	wanted := map[string]bool{}
	for _, command := range strings.Split(commands, "\r\n") {
		tag, rest, _ := strings.Cut(command, " ")
		wanted[tag] = true
		if name, args, _ := strings.Cut(rest, " "); strings.EqualFold(name, "append") {
			commands = tag + " append " + s.appendArgs(args)
		}
	}
	c.seqs = nil
	c.send(commands + "\r\n")
	met := make([]bool, len(expected))
	out := []string{""}
	var replies []string
	for len(wanted) > 0 {
		line := s.reply(c)
		tag, rest, _ := strings.Cut(line, " ")
		if tag != "*" {
			require.True(s.t, wanted[tag], "unexpected %q", line)
			delete(wanted, tag)
			word, _, _ := strings.Cut(strings.ToLower(rest), " ")
			out[0] = rest
			if len(where) == 0 {
				out[0] = word
			}
			out = append(out, tag+" "+word)
			continue
		}
		replies = append(replies, line)
		actual := s.parse(nil, rest)
		for i, e := range expected {
			if met[i] {
				continue
			}
			if s.matchTop(s.parse(c, e.text), actual) {
				require.False(s.t, e.not, "%v: got %s", where, line)
				met[i] = true
			}
		}
		c.count(rest)
	}
	for i, e := range expected {
		require.True(s.t, met[i] || e.not, "%v: missing %s\ngot %s\nthen %s", where, e.text, strings.Join(replies, "\n    "), out[0])
	}
	return out
}

// appendArgs gives APPEND its default mailbox and its message.
func (s *script) appendArgs(args string) string {
	if args == "" {
		args = s.vars["mailbox"]
	}
	m := s.mbox[s.next%len(s.mbox)]
	s.next++
	return fmt.Sprintf("%s {%d+}\r\n%s", args, len(m), m)
}

// reply reads a response with its literals.
func (s *script) reply(c *scriptConn) string {
	literal := regexp.MustCompile(`\{(\d+)\}$`)
	line := c.line()
	for m := literal.FindStringSubmatch(line); m != nil; {
		n, _ := strconv.Atoi(m[1])
		buf := make([]byte, n)
		for i := range buf {
			b, err := c.Reader.ReadByte()
			require.NoError(s.t, err)
			buf[i] = b
		}
		rest := c.line()
		line += "\r\n" + string(buf) + rest
		m = literal.FindStringSubmatch(rest)
	}
	return line
}

// count notes what an EXPUNGE does to the numbers.
func (c *scriptConn) count(reply string) {
	number, word, _ := strings.Cut(reply, " ")
	if n, err := strconv.Atoi(number); err == nil && strings.EqualFold(word, "EXPUNGE") {
		c.grow(n)
		c.seqs = slices.Delete(c.seqs, n-1, n)
	}
}

// grow makes seqs long enough.
func (c *scriptConn) grow(n int) {
	for len(c.seqs) < n+100 {
		next := 1
		if k := len(c.seqs); k > 0 {
			next = c.seqs[k-1] + 1
		}
		c.seqs = append(c.seqs, next)
	}
}

// now is where the message that had the number n at the start of the command is.
func (c *scriptConn) now(n int) string {
	c.grow(n)
	return strconv.Itoa(slices.Index(c.seqs, n) + 1)
}

// expand puts in the values of variables; those without one stay.
func (s *script) expand(c *scriptConn, text string) string {
	return regexp.MustCompile(`\$\$|\$\{\w+\}|\$\w+`).ReplaceAllStringFunc(text, func(v string) string {
		if v == "$$" {
			return "$"
		}
		name := strings.Trim(v[1:], "{}")
		if n, err := strconv.Atoi(name); err == nil && c != nil {
			return c.now(n)
		}
		if value, known := s.vars[name]; known {
			return value
		}
		return v
	})
}

// node is a word, a string or a list.
type node struct {
	text   string
	quoted bool
	open   byte // '(' or '[' for a list
	list   []node
}

func (n node) isList() bool { return n.open != 0 }

// parse takes a response or, for a connection, an expectation apart.
func (s *script) parse(c *scriptConn, text string) []node {
	p := &nodeParser{t: s.t, s: text}
	s.conn = c
	return p.list(0)
}

type nodeParser struct {
	t *testing.T
	s string
}

func (p *nodeParser) list(end byte) []node {
	var out []node
	for {
		p.s = strings.TrimLeft(p.s, " ")
		if p.s == "" {
			require.Zero(p.t, end, "list without end")
			return out
		}
		switch c := p.s[0]; c {
		case end:
			p.s = p.s[1:]
			return out
		case '(', '[':
			p.s = p.s[1:]
			closing := byte(')')
			if c == '[' {
				closing = ']'
			}
			out = append(out, node{open: c, list: p.list(closing)})
		case '"':
			out = append(out, p.quoted())
		default:
			out = append(out, p.word(end))
		}
	}
}

func (p *nodeParser) quoted() node {
	var b strings.Builder
	i := 1
	for ; i < len(p.s) && p.s[i] != '"'; i++ {
		if p.s[i] == '\\' {
			i++
		}
		b.WriteByte(p.s[i])
	}
	p.s = p.s[i+1:]
	return node{text: b.String(), quoted: true}
}

func (p *nodeParser) word(end byte) node {
	if m := regexp.MustCompile(`^\{(\d+)\}\r\n`).FindStringSubmatch(p.s); m != nil {
		n, _ := strconv.Atoi(m[1])
		text := p.s[len(m[0]) : len(m[0])+n]
		p.s = p.s[len(m[0])+n:]
		return node{text: text, quoted: true}
	}
	i := 0
	for i < len(p.s) && !strings.ContainsRune(" ()", rune(p.s[i])) && (p.s[i] != end) {
		if p.s[i] == '[' { // BODY[HEADER.FIELDS (FROM)]
			i += strings.IndexByte(p.s[i:], ']')
		}
		i++
	}
	if i == 0 {
		i = 1
	}
	text := p.s[:i]
	p.s = p.s[i:]
	return node{text: text}
}

// matchTop compares a whole response. The values of new variables are kept if it matches.
func (s *script) matchTop(want, got []node) bool {
	before := maps.Clone(s.vars)
	if s.matchResponse(want, got) {
		return true
	}
	s.vars = before
	return false
}

func (s *script) matchResponse(want, got []node) bool {
	if len(want) == 0 || len(got) < len(want) {
		return false
	}
	switch first := strings.ToLower(want[0].text); first {
	case "ok", "no", "bad", "bye", "preauth": // text may follow
		return s.matchList(want, got[:len(want)], "")
	case "list", "lsub":
		if len(want) != len(got) || !strings.EqualFold(first, got[0].text) {
			return false
		}
		return s.matchUnordered(want[1], got[1], 1, false, nil) && s.matchList(want[2:], got[2:], "")
	case "status":
		return len(got) == 3 && strings.EqualFold(first, got[0].text) && s.matchNode(want[1], got[1], "") &&
			s.matchUnordered(want[2], got[2], 2, false, nil)
	}
	if len(want) == 3 && strings.EqualFold(want[1].text, "fetch") {
		return len(got) == 3 && s.matchNode(want[0], got[0], "") && strings.EqualFold(got[1].text, "fetch") &&
			s.matchUnordered(want[2], got[2], 2, false, nil)
	}
	return len(want) == len(got) && s.matchList(want, got, "")
}

func (s *script) matchList(want, got []node, after string) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !s.matchNode(want[i], got[i], after) {
			return false
		}
		after = want[i].text
	}
	return true
}

// matchNode compares two nodes; after is the word in front of them.
func (s *script) matchNode(want, got node, after string) bool {
	if want.text == "$" && !want.quoted {
		return true
	}
	if want.isList() {
		if len(want.list) > 0 && want.list[0].text == "$!unordered" {
			return s.matchUnordered(node{open: want.open, list: want.list[1:]}, got, 1, false, nil)
		}
		if strings.EqualFold(after, "flags") {
			return s.matchUnordered(want, got, 1, true, []string{`\recent`})
		}
		return got.open == want.open && s.matchList(want.list, got.list, "")
	}
	if !want.quoted && !got.isList() {
		name := strings.Trim(strings.TrimPrefix(want.text, "$"), "{}")
		whole := regexp.MustCompile(`^\$(\{\w+\}|[a-zA-Z]\w*)$`).MatchString(want.text)
		if value, known := s.vars[name]; whole && known {
			return strings.EqualFold(value, got.text)
		} else if whole {
			s.vars[name] = got.text
			return true
		}
	}
	want.text = s.expand(s.conn, want.text)
	isNil := func(n node) bool { return !n.quoted && strings.EqualFold(n.text, "NIL") }
	return !got.isList() && isNil(want) == isNil(got) && strings.EqualFold(want.text, got.text)
}

// matchUnordered compares lists of chains of n nodes, in any order. What got has more than want must be ignored if exact.
func (s *script) matchUnordered(want, got node, n int, exact bool, ignored []string) bool {
	if !got.isList() || len(want.list)%n != 0 || len(got.list)%n != 0 {
		return false
	}
	used := make([]bool, len(got.list)/n)
	for chain := range slices.Chunk(want.list, n) {
		i := slices.IndexFunc(slices.Collect(slices.Chunk(got.list, n)), func(g []node) bool {
			before := maps.Clone(s.vars)
			if s.matchList(chain, g, "") {
				return true
			}
			s.vars = before
			return false
		})
		if i < 0 {
			return false
		}
		used[i] = true
	}
	for i := range used {
		if exact && !used[i] && !slices.Contains(ignored, strings.ToLower(got.list[i].text)) {
			return false
		}
	}
	return true
}

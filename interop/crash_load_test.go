//go:build interop

package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// killFor is how long the server is killed again and again; $MAILBRICKS_KILL_FOR says otherwise.
const killFor = 5 * time.Minute

// killAfter is how long it lives, at least and at most.
const (
	killAfterMin = 500 * time.Millisecond
	killAfterMax = 6 * time.Second
)

// asked is a change that a client has asked for, and that it was not told the end of.
type asked struct {
	kind      string
	box, dest string
	uid       int
	message   seen // as it would be then
}

// worker is an IMAP client that works in two mailboxes of its own and knows all that is in them.
type worker struct {
	user   string
	name   string
	dial   func() (*brittle, error)
	random *rand.Rand
	boxes  map[string]*seenBox
	made   int
	asked  *asked
	done   map[string]int // answered commands by kind
}

// work changes things until the connection breaks.
func (w *worker) work() error {
	c, err := w.dial()
	if err != nil {
		return err
	}
	defer c.close()
	for {
		if err := w.step(c); err != nil {
			return err
		}
	}
}

func (w *worker) step(c *brittle) error {
	var names []string
	for name := range w.boxes {
		names = append(names, name)
	}
	if w.random.IntN(2) == 0 {
		names[0], names[1] = names[1], names[0]
	}
	from, to := names[0], names[1]
	uid := 0
	for one := range w.boxes[from].messages {
		uid = one
		break
	}
	kind := w.random.IntN(12)
	if len(w.boxes[from].messages)+len(w.boxes[to].messages) > 200 {
		kind = 11
	}
	switch {
	case uid == 0 || kind < 4:
		return w.append(c, to)
	case kind < 6:
		return w.store(c, from, uid, randomFlags(w.random))
	case kind < 7:
		return w.transfer(c, "COPY", from, to, uid)
	case kind < 9:
		return w.transfer(c, "MOVE", from, to, uid)
	case kind < 10:
		return w.rename(c, from)
	default:
		return w.expunge(c, from, uid)
	}
}

// answered notes that what was asked for is done.
func (w *worker) answered() {
	w.done[w.asked.kind]++
	w.asked = nil
}

func (w *worker) append(c *brittle, to string) error {
	w.made++
	m := seen{subject: fmt.Sprintf("%s-%d", w.name, w.made), flags: randomFlags(w.random)}
	w.asked = &asked{kind: "append", dest: to, message: m}
	uid, err := c.append(to, m.subject, m.flags, 1+w.random.IntN(300))
	if err != nil {
		return err
	}
	w.boxes[to].messages[uid] = m
	w.answered()
	return nil
}

func (w *worker) store(c *brittle, box string, uid int, flags string) error {
	if _, _, err := c.do("SELECT %s", box); err != nil {
		return err
	}
	m := w.boxes[box].messages[uid]
	m.flags = flags
	w.asked = &asked{kind: "store", box: box, uid: uid, message: m}
	if _, _, err := c.do("UID STORE %d FLAGS %s", uid, flags); err != nil {
		return err
	}
	w.boxes[box].messages[uid] = m
	w.answered()
	return nil
}

func (w *worker) transfer(c *brittle, command, from, to string, uid int) error {
	if _, _, err := c.do("SELECT %s", from); err != nil {
		return err
	}
	m := w.boxes[from].messages[uid]
	w.asked = &asked{kind: strings.ToLower(command), box: from, dest: to, uid: uid, message: m}
	lines, end, err := c.do("UID %s %d %s", command, uid, to)
	if err != nil {
		return err
	}
	code := copyCode.FindStringSubmatch(strings.Join(append(lines, end), "\n"))
	if code == nil || code[2] != strconv.Itoa(uid) {
		return fmt.Errorf("%w: %s of UID %d: %q %s", errRefused, command, uid, lines, end)
	}
	next, err := strconv.Atoi(code[3])
	if err != nil {
		return err
	}
	w.boxes[to].messages[next] = m
	if command == "MOVE" {
		delete(w.boxes[from].messages, uid)
	}
	w.answered()
	return nil
}

func (w *worker) expunge(c *brittle, box string, uid int) error {
	if err := w.store(c, box, uid, `(\Deleted)`); err != nil {
		return err
	}
	w.asked = &asked{kind: "expunge", box: box, uid: uid}
	if _, _, err := c.do("UID EXPUNGE %d", uid); err != nil {
		return err
	}
	delete(w.boxes[box].messages, uid)
	w.answered()
	return nil
}

// rename gives a mailbox a name that it had before, or a new one.
func (w *worker) rename(c *brittle, from string) error {
	if _, end, err := c.do("UNSELECT"); err != nil && !strings.HasPrefix(end, "BAD") { // BAD: none was selected
		return err
	}
	to, renamed := strings.CutSuffix(from, "x")
	if !renamed {
		to = from + "x"
	}
	w.asked = &asked{kind: "rename", box: from, dest: to}
	if _, _, err := c.do("RENAME %s %s", from, to); err != nil {
		return err
	}
	w.boxes[to] = w.boxes[from]
	delete(w.boxes, from)
	w.answered()
	return nil
}

// check compares all with what the worker knows, and takes over what of the change that was asked for last has come to pass.
func (w *worker) check() error {
	c, err := w.dial()
	if err != nil {
		return err
	}
	defer c.close()
	if w.asked != nil && w.asked.kind == "rename" {
		if err := w.renamed(c); err != nil {
			return err
		}
	}
	came, went := 0, 0
	for name, was := range w.boxes {
		is, err := c.look(name)
		if err != nil {
			return err
		}
		more, less, err := w.compare(name, was, is)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", name, w.user, err)
		}
		came, went = came+more, went+less
		w.boxes[name] = is
	}
	if a := w.asked; a != nil && a.kind == "move" && came != went {
		return fmt.Errorf("move of %s of %s: %d came and %d went", a.message.subject, w.user, came, went)
	}
	w.asked = nil
	return nil
}

// renamed finds out under which of two names a mailbox is.
func (w *worker) renamed(c *brittle) error {
	lines, _, err := c.do(`LIST "" "*"`)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, l := range lines {
		if m := listLine.FindStringSubmatch(l); m != nil {
			there[m[3]] = true
		}
	}
	from, to := w.asked.box, w.asked.dest
	if there[from] == there[to] {
		return fmt.Errorf("rename of %s to %s: %v and %v", from, to, there[from], there[to])
	}
	if there[to] {
		w.boxes[to] = w.boxes[from]
		delete(w.boxes, from)
	}
	return nil
}

// compare says how many messages came and went that may have, since they were asked for.
func (w *worker) compare(name string, was, is *seenBox) (came, went int, err error) {
	a := w.asked
	if a == nil {
		a = &asked{}
	}
	if is.validity != was.validity || is.next < was.next {
		return 0, 0, fmt.Errorf("UIDVALIDITY %d and UIDNEXT %d, after %d and %d", is.validity, is.next, was.validity, was.next)
	}
	for uid, m := range was.messages {
		now, there := is.messages[uid]
		mine := a.box == name && a.uid == uid
		switch {
		case !there && mine && (a.kind == "move" || a.kind == "expunge"):
			went++
		case !there:
			return 0, 0, fmt.Errorf("UID %d, %s, is lost", uid, m.subject)
		case now.subject != m.subject:
			return 0, 0, fmt.Errorf("UID %d is %s, was %s", uid, now.subject, m.subject)
		case now.flags != m.flags && !(mine && a.kind == "store" && now.flags == a.message.flags):
			return 0, 0, fmt.Errorf("UID %d, %s, has the flags %s, not %s", uid, m.subject, now.flags, m.flags)
		}
	}
	for uid, now := range is.messages {
		if _, known := was.messages[uid]; known {
			continue
		}
		if came++; came > 1 || a.dest != name || now.subject != a.message.subject || now.flags != a.message.flags || uid < was.next {
			return 0, 0, fmt.Errorf("UID %d, %s %s, is there and nobody was told", uid, now.subject, now.flags)
		}
	}
	return came, went, nil
}

// inboxOf follows the mail that comes over SMTP into INBOX, and that a client flags and moves to another mailbox.
type inboxOf struct {
	user    string
	dir     string // of the account
	dial    func() (*brittle, error)
	flagged map[string]bool // subjects, as answered
	moved   map[string]bool
	known   map[string]map[int]string // subjects by UID, by mailbox
	valid   map[string]int
	total   int // messages on disk when it was looked at last
}

// sort flags and moves what is in INBOX until the connection breaks.
func (s *inboxOf) sort() error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	for {
		box, err := c.look("INBOX")
		if err != nil {
			return err
		}
		n := 0
		for uid, m := range box.messages {
			if n++; n > 10 {
				break
			}
			if _, _, err := c.do(`UID STORE %d +FLAGS (\Flagged)`, uid); err != nil {
				return err
			}
			s.flagged[m.subject] = true
			if _, _, err := c.do("UID MOVE %d Sorted", uid); err != nil {
				return err
			}
			s.moved[m.subject] = true
		}
		if n == 0 {
			time.Sleep(20 * time.Millisecond) // for mail
		}
	}
}

// check wants each message that was taken to be in one of the two mailboxes, once.
func (s *inboxOf) check(taken map[string]bool, unanswered map[string]int) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	count := map[string]int{}
	for _, name := range []string{"INBOX", "Sorted"} {
		box, err := c.look(name)
		if err != nil {
			return err
		}
		if s.valid[name] != 0 && s.valid[name] != box.validity {
			return fmt.Errorf("%s has another UIDVALIDITY", name)
		}
		s.valid[name] = box.validity
		for uid, m := range box.messages {
			if was, ok := s.known[name][uid]; ok && was != m.subject {
				return fmt.Errorf("UID %d of %s is %s, was %s", uid, name, m.subject, was)
			}
			count[m.subject]++
			if name == "INBOX" && s.moved[m.subject] && unanswered[m.subject] == 0 {
				return fmt.Errorf("%s was moved and is in INBOX", m.subject)
			}
			if s.flagged[m.subject] && unanswered[m.subject] == 0 && m.flags != `(\Flagged)` {
				return fmt.Errorf("%s was flagged and is %s", m.subject, m.flags)
			}
		}
		for uid, subject := range s.known[name] {
			if _, there := box.messages[uid]; !there && name == "Sorted" {
				return fmt.Errorf("UID %d of %s, %s, is lost", uid, name, subject)
			}
		}
		s.known[name] = map[int]string{}
		for uid, m := range box.messages {
			s.known[name][uid] = m.subject
		}
	}
	for subject := range taken {
		if n := count[subject]; n < 1 || n > 1+unanswered[subject] {
			return fmt.Errorf("%s was taken and is there %d times; %d tries were not answered", subject, n, unanswered[subject])
		}
	}
	for subject, n := range count {
		if n > unanswered[subject] && !taken[subject] {
			return fmt.Errorf("%s is there %d times; %d tries were not answered", subject, n, unanswered[subject])
		}
	}
	return s.checkQuota(c)
}

// checkQuota compares what is counted with what is there, when a message has been stored: the count is made anew for that.
func (s *inboxOf) checkQuota(c *brittle) error {
	for info, err := os.Stat(filepath.Join(s.dir, "maildirsize")); err == nil && time.Since(info.ModTime()) < 3*time.Second; {
		time.Sleep(100 * time.Millisecond) // who has just begun does not count while another process may be writing to it
	}
	if _, err := c.append("Probe", "probe", "()", 1); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "maildirsize"))
	if err != nil {
		return err
	}
	_, lines, _ := strings.Cut(string(data), "\n")
	octets, messages := 0, 0
	for line := range strings.Lines(lines) {
		var o, m int
		if _, err := fmt.Sscan(line, &o, &m); err != nil {
			return fmt.Errorf("maildirsize: %q: %w", line, err)
		}
		octets, messages = octets+o, messages+m
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "*", "*"))
	if err != nil {
		return err
	}
	below, err := filepath.Glob(filepath.Join(s.dir, ".*", "*", "*"))
	if err != nil {
		return err
	}
	isOctets, isMessages := 0, 0
	for _, file := range append(files, below...) {
		sub := filepath.Base(filepath.Dir(file))
		if size := number(sizeInName, file); size > 0 && (sub == "new" || sub == "cur") {
			isOctets, isMessages = isOctets+size, isMessages+1
		}
	}
	if s.total = isMessages; octets != isOctets || messages != isMessages {
		return fmt.Errorf("%d octets in %d messages are counted, %d in %d are there", octets, messages, isOctets, isMessages)
	}
	return nil
}

// sender delivers letters to all recipients until the connection breaks.
type sender struct {
	h          *host
	name       string
	to         []string
	made       int
	retry      string
	taken      map[string]bool
	unanswered map[string]int
}

func (s *sender) send() error {
	d, err := dial(s.h)
	if err != nil {
		return nil // it is not up yet
	}
	defer d.conn.Close()
	for {
		subject := s.retry
		if s.retry = ""; subject == "" {
			s.made++
			subject = fmt.Sprintf("%s-%d", s.name, s.made)
		}
		if !d.toAll(subject, s.to) {
			s.retry = subject
			s.unanswered[subject]++
			return nil
		}
		s.taken[subject] = true
		time.Sleep(20 * time.Millisecond) // so that the mailboxes stay small
	}
}

func (q *quick) toAll(subject string, to []string) bool {
	if !q.ok("MAIL FROM:<x@burst.test>\r\n") {
		return false
	}
	for _, address := range to {
		if !q.ok("RCPT TO:<" + address + ">\r\n") {
			return false
		}
	}
	return q.ok("DATA\r\n") && q.ok("Subject: "+subject+"\r\n\r\n"+strings.Repeat("Line of "+subject+"\r\n", 50)+"end\r\n.\r\n")
}

// A server that is killed again and again, while clients deliver, store, flag, copy, move, rename and expunge, has after each
// start every message that it took, once, with the UIDs and flags that it told, and counts them right. One of the accounts is
// encrypted.
func TestKilledUnderLoadKeepsWhatItTold(t *testing.T) {
	t.Parallel()
	length := killFor
	if text := os.Getenv("MAILBRICKS_KILL_FOR"); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		require.NoError(t, err, "MAILBRICKS_KILL_FOR")
	}
	w := newWorld(t)
	h := w.newHost(2, "kill.test", "[policy]", `trusted_networks = ["127.0.0.0/8"]`, "[limits]", "connections_per_ip = 200")
	users := []string{h.user("ann"), h.user("bob")}
	for _, user := range users {
		h.must("quota", "set", user, "10G")
	}
	h.must("encrypt", "on", h.user("bob"), "secret")
	h.start()
	load := newLoad(t, h, users)
	end := time.Now().Add(length)
	kills := 0
	for ; time.Now().Before(end); kills++ {
		working := load.start()
		time.Sleep(killAfterMin + rand.N(killAfterMax-killAfterMin)) // the point of the kill is not known to anyone
		h.kill()
		require.NoError(t, working(), "before kill %d", kills+1)
		h.start()
		require.NoError(t, load.check(), "after kill %d", kills+1)
	}
	t.Logf("%d kills in %v: %s", kills, length, load)
	require.Positive(t, kills)
}

// account is the folder with the mail of an address.
func (h *host) account(user string) string {
	name, _, _ := strings.Cut(user, "@")
	return filepath.Join(h.dir, "data", "mail", h.domain, name)
}

// load are all clients.
type load struct {
	workers []*worker
	inboxes []*inboxOf
	senders []*sender
}

func newLoad(t *testing.T, h *host, users []string) *load {
	t.Helper()
	config := &tls.Config{RootCAs: h.ca.Pool(), ServerName: h.name}
	l := &load{}
	for i, user := range users {
		dial := func() (*brittle, error) { return dialBrittle(h.ip+":993", user, "secret", config) }
		c, err := dial()
		require.NoError(t, err)
		for _, name := range []string{"Sorted", "Probe"} {
			_, _, err = c.do("CREATE %s", name)
			require.NoError(t, err)
		}
		for n := range 3 {
			worker := &worker{user: user, name: fmt.Sprintf("w%d.%d", i, n), dial: dial, random: rand.New(rand.NewPCG(uint64(i), uint64(n))),
				boxes: map[string]*seenBox{}, done: map[string]int{}}
			for _, name := range []string{fmt.Sprintf("A%d", n), fmt.Sprintf("B%d", n)} {
				_, _, err := c.do("CREATE %s", name)
				require.NoError(t, err)
				worker.boxes[name], err = c.look(name)
				require.NoError(t, err)
			}
			l.workers = append(l.workers, worker)
		}
		c.close()
		l.inboxes = append(l.inboxes, &inboxOf{user: user, dir: h.account(user), dial: dial, flagged: map[string]bool{}, moved: map[string]bool{},
			known: map[string]map[int]string{}, valid: map[string]int{}})
	}
	for n := range 2 {
		l.senders = append(l.senders, &sender{h: h, name: fmt.Sprintf("s%d", n), to: users, taken: map[string]bool{}, unanswered: map[string]int{}})
	}
	return l
}

// start has all clients work, until the server is gone; the function that it gives waits for that.
func (l *load) start() func() error {
	var wg sync.WaitGroup
	var failed atomic.Value
	run := func(work func() error) {
		wg.Go(func() {
			if err := work(); errors.Is(err, errRefused) {
				failed.Store(err)
			}
		})
	}
	for _, w := range l.workers {
		run(w.work)
	}
	for _, s := range l.inboxes {
		run(s.sort)
	}
	for _, s := range l.senders {
		run(s.send)
	}
	return func() error {
		wg.Wait()
		err, _ := failed.Load().(error)
		return err
	}
}

// check looks at everything.
func (l *load) check() error {
	taken, unanswered := map[string]bool{}, map[string]int{}
	for _, s := range l.senders {
		for subject := range s.taken {
			taken[subject] = true
		}
		for subject, n := range s.unanswered {
			unanswered[subject] = n
		}
	}
	for _, s := range l.inboxes {
		if err := s.check(taken, unanswered); err != nil {
			return fmt.Errorf("%s: %w", s.user, err)
		}
	}
	for _, w := range l.workers {
		if err := w.check(); err != nil {
			return err
		}
	}
	return nil
}

// String counts what was answered.
func (l *load) String() string {
	done := map[string]int{}
	for _, w := range l.workers {
		for kind, n := range w.done {
			done[kind] += n
		}
	}
	for _, s := range l.senders {
		done["delivery"] += len(s.taken)
	}
	for _, s := range l.inboxes {
		done["sorted"] += len(s.moved)
		done["messages"] += s.total
	}
	return fmt.Sprint(done)
}

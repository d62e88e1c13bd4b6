package maildir

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mailbricks/mailbricks/internal/maildirpp"
)

// flags are the flags of a message as its file name has them: the five letters of Maildir, 26 keywords, and one letter
// that is kept because other programs use it. See https://cr.yp.to/proto/maildir.html.
type flags uint32

const (
	flagDraft    flags = 1 << iota // D
	flagFlagged                    // F
	flagReplied                    // R: \Answered
	flagSeen                       // S
	flagTrashed                    // T: \Deleted
	flagPassed                     // P: resent; no IMAP flag
	firstKeyword                   // a, and b to z behind it
)

// maxLetters is how many keywords have a letter of their own.
const maxLetters = 26

const flagLetters = "DFRSTP"

func keywordFlag(letter int) flags { return firstKeyword << letter }

// parseFlags reads the letters behind ":2,"; letters that nobody knows are left out.
func parseFlags(letters string) flags {
	var f flags
	for i := range len(letters) {
		c := letters[i]
		if at := strings.IndexByte(flagLetters, c); at >= 0 {
			f |= 1 << at
		} else if c >= 'a' && c <= 'z' {
			f |= keywordFlag(int(c - 'a'))
		}
	}
	return f
}

// String has the letters in the order that Maildir asks for: ASCII.
func (f flags) String() string { return string(f.appendTo(make([]byte, 0, 8))) }

func (f flags) appendTo(b []byte) []byte {
	const inOrder = "DFPRST"
	for i := range len(inOrder) {
		if at := strings.IndexByte(flagLetters, inOrder[i]); f&(1<<at) != 0 {
			b = append(b, inOrder[i])
		}
	}
	if f < firstKeyword {
		return b
	}
	for i := range maxLetters {
		if f&keywordFlag(i) != 0 {
			b = append(b, byte('a'+i))
		}
	}
	return b
}

// splitName cuts a file name in cur or new into what stays the same and its flags. Both separators are understood: a
// tree may come from a system that cannot have a colon in names. A semicolon that no flags follow is part of a name. The
// base has no separator, so that it is its own base wherever it is read again.
func splitName(name string) (base string, f flags) {
	i := infoIndex(name)
	if i < 0 {
		return name, 0
	}
	letters, ok := strings.CutPrefix(name[i+1:], "2,")
	if !ok { // another kind of information
		return name[:i], 0
	}
	return name[:i], parseFlags(letters)
}

// infoIndex is where the separator stands; -1: nowhere.
func infoIndex[T string | []byte](name T) int {
	for i := 1; i < len(name); i++ {
		switch name[i] {
		case ':':
			return i
		case ';':
			if i+2 < len(name) && name[i+1] == '2' && name[i+2] == ',' {
				return i
			}
		}
	}
	return -1
}

// withFlags is the file name of a message in cur.
func withFlags(base string, f flags) string {
	return base + maildirpp.InfoSeparator + "2," + f.String()
}

// isInfo says whether withFlags ends a name like this.
func isInfo(info string, f flags) bool {
	letters, ok := strings.CutPrefix(info, maildirpp.InfoSeparator+"2,")
	var buf [len(flagLetters) + maxLetters]byte
	return ok && letters == string(f.appendTo(buf[:0]))
}

// maxSize is the longest that a message may say it is, 4 TiB. What says more is not believed: one file must not keep the account
// from having room, nor make a sum of sizes none.
const maxSize = 1 << 42

// nameSize finds a size in the name of a file: key S is its length, W what it has with CRLF line ends.
func nameSize(base string, key byte) (int64, bool) {
	n, ok := saidSize(base, key)
	return n, ok && n <= maxSize
}

// saidSize is nameSize also for what cannot be.
func saidSize(base string, key byte) (int64, bool) {
	for {
		at := strings.IndexByte(base, ',')
		if at < 0 {
			return 0, false
		}
		base = base[at+1:]
		if len(base) < 2 || base[0] != key || base[1] != '=' {
			continue
		}
		digits, _, _ := strings.Cut(base[2:], ",")
		n, err := strconv.ParseInt(digits, 10, 64)
		return n, err == nil && n >= 0
	}
}

// crlfSize finds the size with CRLF line ends in the name of a file. One that cannot be, beside the length that the name has as
// well, is not believed.
func crlfSize(base string) (int64, bool) {
	w, ok := nameSize(base, 'W')
	if s, known := nameSize(base, 'S'); ok && known && (w < s || w > 2*s) {
		return 0, false
	}
	return w, ok
}

// maxBase is the longest name without flags: all flags must fit behind it.
const maxBase = maxFileName - len(maildirpp.InfoSeparator+"2,") - len(flagLetters) - maxLetters

// shortName is a name for a file whose own is too long, with the sizes that it has.
func (n *namer) shortName(base string) string {
	name := n.next()
	if seconds := nameSeconds(base); seconds > 0 { // it says when the message came
		_, rest, _ := strings.Cut(name, ".")
		name = fmt.Sprintf("%d.%s", seconds, rest)
	}
	for _, key := range []byte("SW") {
		if size, ok := nameSize(base, key); ok {
			name = fmt.Sprintf("%s,%c=%d", name, key, size)
		}
	}
	return name
}

// namer makes file names that nobody else makes.
type namer struct {
	host    string
	pid     int
	counter atomic.Uint64
}

func newNamer() *namer {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return &namer{host: cleanHost(host), pid: os.Getpid()}
}

// cleanHost keeps a host name out of the way of the rest of a file name.
func cleanHost(host string) string {
	host = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_' {
			return r
		}
		return '_'
	}, host)
	if len(host) > 64 {
		host = host[:64]
	}
	if host == "" {
		return "localhost"
	}
	return host
}

// next is a new name. Names sort as they were made within one process: seconds, microseconds and a counter come first.
func (n *namer) next() string {
	now := time.Now()
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	return fmt.Sprintf("%d.M%06dP%dQ%dR%x.%s", now.Unix(), now.Nanosecond()/1000, n.pid, n.counter.Add(1), random, n.host)
}

// withSizes is the name with the sizes that spare readers a look into the file.
func withSizes(name string, size, crlfSize int64) string {
	return fmt.Sprintf("%s,S=%d,W=%d", name, size, crlfSize)
}

// nameOrder compares names by when they were made, as far as they tell: seconds, then microseconds, then the delivery
// number, then the rest.
func nameOrder(a, b string) int { return keyOf(a).compare(keyOf(b)) }

// nameKey is what nameOrder compares.
type nameKey struct {
	seconds, micros, counter int64
	name                     string
}

func keyOf(name string) nameKey {
	return nameKey{nameSeconds(name), nameMicros(name), nameCounter(name), name}
}

func (k nameKey) compare(other nameKey) int {
	return cmp.Or(cmp.Compare(k.seconds, other.seconds), cmp.Compare(k.micros, other.micros),
		cmp.Compare(k.counter, other.counter), strings.Compare(k.name, other.name))
}

// sortByName sorts by nameOrder, reading each name once.
func sortByName[T any](list []T, name func(T) string) {
	type keyed struct {
		nameKey
		value T
	}
	keys := make([]keyed, len(list))
	for i, v := range list {
		keys[i] = keyed{keyOf(name(v)), v}
	}
	slices.SortFunc(keys, func(a, b keyed) int { return a.compare(b.nameKey) })
	for i := range keys {
		list[i] = keys[i].value
	}
}

func nameSeconds(name string) int64 { return leadingNumber(name) }
func nameMicros(name string) int64  { return deliveryPart(name, 'M') }
func nameCounter(name string) int64 { return deliveryPart(name, 'Q') }

// deliveryPart reads a number from the middle part of "seconds.M…P…Q….host".
func deliveryPart(name string, key byte) int64 {
	_, rest, _ := strings.Cut(name, ".")
	middle, _, _ := strings.Cut(rest, ".")
	if at := strings.IndexByte(middle, key); at >= 0 {
		return leadingNumber(middle[at+1:])
	}
	return 0
}

func leadingNumber(s string) int64 {
	var n int64
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9' && i < 18; i++ {
		n = n*10 + int64(s[i]-'0')
	}
	return n
}

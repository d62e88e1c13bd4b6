package maildir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// dovecotSample has the files of a mailbox that Dovecot 2.3.19 wrote, and what it said of the flags over IMAP: "logonly" was
// never large enough for an index, "both" has one and changes behind it, "rotated" has an index that is older than the log.
type dovecotSample struct {
	index, older, newer []byte // nil: there is none
	keywords            *keywords
	said                map[uint32][]string
}

func readDovecotSample(t testing.TB, name string) *dovecotSample {
	t.Helper()
	read := func(file string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", "dovecot-index", name, file))
		if !errors.Is(err, os.ErrNotExist) {
			require.NoError(t, err)
		}
		return data
	}
	s := &dovecotSample{index: read(dovecotIndexFile), older: read(dovecotOldLogFile), newer: read(dovecotLogFile),
		keywords: parseKeywords(read(keywordsFile)), said: map[uint32][]string{}}
	for _, line := range regexp.MustCompile(`UID (\d+) FLAGS \((.*)\)\)`).FindAllStringSubmatch(string(read("said")), -1) {
		uid, err := strconv.Atoi(line[1])
		require.NoError(t, err)
		s.said[uint32(uid)] = []string{}
		for _, flag := range strings.Fields(line[2]) {
			if s.wanted(mailbox.Flag(flag)) {
				s.said[uint32(uid)] = append(s.said[uint32(uid)], flag)
			}
		}
		slices.Sort(s.said[uint32(uid)])
	}
	require.NotEmpty(t, s.said)
	return s
}

func (s *dovecotSample) wanted(f mailbox.Flag) bool {
	letter, _ := s.keywords.find(f)
	return letter < 0 && !f.System()
}

// read gives what the files say.
func (s *dovecotSample) read() (*dovecotIndex, error) {
	uids := make([]uint32, 20)
	for i := range uids {
		uids[i] = uint32(i + 1)
	}
	x := newDovecotIndex(uids, s.wanted)
	if s.index != nil {
		if err := x.readIndex(bytes.NewReader(s.index)); err != nil {
			return x, err
		}
	}
	var logs [2]*dovecotLog
	for i, data := range [][]byte{s.older, s.newer} {
		if data == nil {
			continue
		}
		var err error
		if logs[i], err = parseDovecotLog(data); err != nil {
			return x, err
		}
	}
	return x, x.readLogs(logs[0], logs[1])
}

func (s *dovecotSample) check(t *testing.T, x *dovecotIndex) {
	t.Helper()
	some := 0
	for uid, want := range s.said {
		require.ElementsMatch(t, want, x.keywords(uid), "UID %d", uid)
		some += len(want)
	}
	require.Greater(t, some, 8)
	for uid := range x.sets {
		if _, ok := s.said[uid]; !ok {
			require.Contains(t, []uint32{2}, uid, "only that which was expunged")
		}
	}
}

func TestDovecotIndex(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"logonly", "both", "rotated"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := readDovecotSample(t, name)
			x, err := s.read()
			require.NoError(t, err)
			s.check(t, x)
			list, err := newUIDReader(openTestFile(t, filepath.Join("testdata", "dovecot-index", name, uidlistFile)))
			require.NoError(t, err)
			require.Equal(t, list.list.validity, x.validity)
		})
	}
}

func openTestFile(t *testing.T, path string) *os.File {
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// What is cut off the end of the log was not written yet: what is before it counts.
func TestDovecotLogEnds(t *testing.T) {
	t.Parallel()
	s := readDovecotSample(t, "both")
	whole := s.newer
	for _, tail := range [][]byte{nil, {0}, make([]byte, 8), make([]byte, 4096), {0x80, 0x80, 0x80, 0x86, 0, 4, 0, 0}} {
		s.newer = append(slices.Clone(whole), tail...)
		x, err := s.read()
		require.NoError(t, err)
		s.check(t, x)
	}
	s.newer = whole[:len(whole)-1]
	_, err := s.read()
	require.NoError(t, err)
	s.newer = append(slices.Clone(whole), 1, 0, 0, 0, 0, 4, 0, 0)
	x, err := s.read()
	require.ErrorIs(t, err, errDovecot)
	s.check(t, x)
}

// An index whose log is not there, or is that of another, counts as it is, and it is said that this may not be all.
func TestDovecotLogLost(t *testing.T) {
	t.Parallel()
	s, other := readDovecotSample(t, "both"), readDovecotSample(t, "logonly")
	for _, log := range [][]byte{nil, other.newer} {
		s.newer = log
		x, err := s.read()
		require.ErrorIs(t, err, errDovecot)
		require.NotEmpty(t, x.sets)
		require.NotContains(t, x.names, "Later", "which only the log has")
	}
	s = readDovecotSample(t, "rotated")
	s.older = nil
	_, err := s.read()
	require.ErrorIs(t, err, errDovecot)
	s.index = nil
	x, err := s.read()
	require.ErrorIs(t, err, errDovecot)
	require.Empty(t, x.sets)
}

func TestDovecotIndexRefused(t *testing.T) {
	t.Parallel()
	le := binary.LittleEndian
	for name, harm := range map[string]func(b []byte) []byte{
		"empty":            func([]byte) []byte { return []byte{} },
		"version":          func(b []byte) []byte { b[0]++; return b },
		"big-endian":       func(b []byte) []byte { b[12] = 0; return b },
		"corrupted":        func(b []byte) []byte { b[20] |= 1; return b },
		"small base":       func(b []byte) []byte { le.PutUint16(b[2:], 60); return b },
		"huge header":      func(b []byte) []byte { le.PutUint32(b[4:], 1<<31); return b },
		"small header":     func(b []byte) []byte { le.PutUint32(b[4:], 8); return b },
		"tiny record":      func(b []byte) []byte { le.PutUint32(b[8:], 4); return b },
		"record too small": func(b []byte) []byte { le.PutUint32(b[8:], 8); return b },
		"huge record":      func(b []byte) []byte { le.PutUint32(b[8:], 1<<30); return b },
		"many records":     func(b []byte) []byte { le.PutUint32(b[32:], 1<<31); return b },
		"cut short":        func(b []byte) []byte { return b[:len(b)-1] },
		"cut in header":    func(b []byte) []byte { return b[:200] },
		"UIDs":             func(b []byte) []byte { copy(b[len(b)-16:], []byte{0, 0, 0, 0}); return b },
		"extension":        func(b []byte) []byte { le.PutUint32(b[120:], 1<<30); return b },
		"names": func(b []byte) []byte {
			le.PutUint32(b[keywordsAt(b):], 1<<30)
			return b
		},
		"place of a name": func(b []byte) []byte {
			le.PutUint32(b[keywordsAt(b)+8:], 1<<30)
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := readDovecotSample(t, "both")
			s.index = harm(s.index)
			x, err := s.read()
			require.ErrorIs(t, err, errDovecot)
			require.False(t, x.hasIndex)
		})
	}
	for name, harm := range map[string]func(b []byte) []byte{
		"empty":      func([]byte) []byte { return []byte{} },
		"version":    func(b []byte) []byte { b[0]++; return b },
		"big-endian": func(b []byte) []byte { b[32] = 0; return b },
		"header":     func(b []byte) []byte { le.PutUint16(b[2:], 1<<15); return b },
		"shorter":    func(b []byte) []byte { return b[:100] },
	} {
		t.Run("log "+name, func(t *testing.T) {
			t.Parallel()
			s := readDovecotSample(t, "both")
			s.newer = harm(s.newer)
			_, err := s.read()
			require.ErrorIs(t, err, errDovecot)
		})
	}
}

// keywordsAt is where the number of keywords is.
func keywordsAt(b []byte) int {
	at := bytes.Index(b, []byte(dovecotKeywordsExt))
	return align8(at + len(dovecotKeywordsExt))
}

// A disk that cannot be read is not an index that is not understood.
func TestDovecotIndexUnreadable(t *testing.T) {
	t.Parallel()
	s, fault := readDovecotSample(t, "both"), errors.New("no disk")
	for _, n := range []int64{0, 100, 300, int64(len(s.index) - 3)} {
		x := newDovecotIndex([]uint32{1}, s.wanted)
		err := x.readIndex(iotest.TimeoutReader(bytes.NewReader(s.index[:n])))
		require.Error(t, err)
		err = x.readIndex(&failingReader{s.index[:n], fault})
		require.ErrorIs(t, err, fault)
		require.NotErrorIs(t, err, errDovecot)
	}
}

type failingReader struct {
	data []byte
	err  error
}

func (r *failingReader) Read(b []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, r.err
	}
	n := copy(b, r.data)
	r.data = r.data[n:]
	return n, nil
}

// logWith makes a log of these changes, all of them for the index of "logonly".
func logWith(changes ...[]byte) []byte {
	log := make([]byte, 40)
	log[0], log[1], log[2], log[8], log[32] = 1, 3, 40, 1, 1
	return append(log, slices.Concat(changes...)...)
}

// logChange makes one.
func logChange(kind uint32, body []byte) []byte {
	n := (dovecotLogRecord + len(body)) / 4
	b := []byte{0x80 | byte(n>>21), 0x80 | byte(n>>14)&0x7f | 0x80, 0x80 | byte(n>>7)&0x7f | 0x80, 0x80 | byte(n)&0x7f}
	return append(binary.LittleEndian.AppendUint32(b, kind), body...)
}

func logNumbers(numbers ...uint32) (b []byte) {
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// logKeyword gives a keyword to UIDs.
func logKeyword(name string, ranges ...uint32) []byte {
	b := append([]byte{0, 0, byte(len(name)), byte(len(name) >> 8)}, name...)
	return logChange(dovecotKeyword, append(append(b, make([]byte, -len(b)&3)...), logNumbers(ranges...)...))
}

func TestDovecotLogLimits(t *testing.T) {
	t.Parallel()
	read := func(uids int, changes ...[]byte) (*dovecotIndex, error) {
		all := make([]uint32, uids)
		for i := range all {
			all[i] = uint32(i + 1)
		}
		x := newDovecotIndex(all, func(f mailbox.Flag) bool { return f != "Not" })
		log, err := parseDovecotLog(logWith(changes...))
		require.NoError(t, err)
		return x, x.readLogs(nil, log)
	}
	known := logChange(dovecotAppend, logNumbers(1, 0, 2, 0, 3, 0))

	x, err := read(4, logChange(dovecotHeaderSet, append([]byte{24, 0, 4, 0}, logNumbers(77)...)), known,
		logKeyword("a", 1, 4), logKeyword("B", 3, 9), logKeyword("A", 0, 0), logKeyword("Not", 1, 2), logKeyword("no good", 1, 2),
		logKeyword(`\Seen`, 1, 2), logKeyword(strings.Repeat("x", mailbox.MaxKeyword+1), 1, 2),
		logChange(dovecotReset|0x10000000, logNumbers(2, 2)))
	require.NoError(t, err)
	require.EqualValues(t, 77, x.validity)
	for uid, want := range map[uint32][]string{1: {"a"}, 2: nil, 3: {"B", "a"}, 4: nil} {
		require.Equal(t, want, x.keywords(uid))
	}
	require.EqualValues(t, 2+2+2, x.size())

	many := [][]byte{known}
	for i := range maxKeywords {
		many = append(many, logKeyword("k"+strconv.Itoa(i), 1, 1))
	}
	x, err = read(1, many...)
	require.ErrorIs(t, err, errDovecot)
	require.Len(t, x.names, maxKeywords-maxLetters)
	require.Less(t, len(x.shared), 2*maxKeywords, "sets that nobody has are forgotten")

	many = [][]byte{known}
	for i := range maxDovecotNames + 1 {
		many = append(many, logKeyword("bad name"+strconv.Itoa(i), 1, 1))
	}
	_, err = read(1, many...)
	require.ErrorIs(t, err, errDovecot)

	x, err = read(1)
	require.NoError(t, err)
	x.changes = maxDovecotChanges - 1
	require.ErrorIs(t, x.eachRange(logNumbers(1, 1), func(uint32) {}), errDovecot)

	for _, bad := range [][]byte{logChange(dovecotKeyword, nil), logKeyword("", 1, 1), logChange(dovecotKeyword, []byte{0, 0, 9, 0}),
		logChange(dovecotKeyword, append([]byte{2, 0, 1, 0, 'x', 0, 0, 0}, logNumbers(1, 1)...))} {
		_, err = read(1, known, bad)
		require.ErrorIs(t, err, errDovecot)
	}
}

// Changes that belong together count only when all of them are there.
func TestDovecotLogBoundary(t *testing.T) {
	t.Parallel()
	known, change := logChange(dovecotAppend, logNumbers(1, 0)), logKeyword("x", 1, 1)
	for n, want := range map[uint32][]string{uint32(12 + len(change)): {"x"}, uint32(16 + len(change)): nil} {
		log, err := parseDovecotLog(logWith(known, logChange(dovecotBoundary, logNumbers(n)), change))
		require.NoError(t, err)
		x := newDovecotIndex([]uint32{1}, func(mailbox.Flag) bool { return true })
		require.NoError(t, x.readLogs(nil, log))
		require.Equal(t, want, x.keywords(1))
	}
}

func FuzzDovecotIndex(f *testing.F) {
	for _, name := range []string{"logonly", "both", "rotated"} {
		s := readDovecotSample(f, name)
		f.Add(s.index, s.older, s.newer)
	}
	f.Fuzz(func(t *testing.T, index, older, newer []byte) {
		s := &dovecotSample{index, older, newer, &keywords{}, nil}
		x, err := s.read()
		if err != nil {
			require.ErrorIs(t, err, errDovecot)
		}
		require.LessOrEqual(t, len(x.names), maxKeywords-maxLetters)
		for uid := range x.sets {
			require.True(t, uid >= 1 && uid <= 20)
			got := x.keywords(uid)
			require.NotEmpty(t, got)
			for _, name := range got {
				_, err := mailbox.CleanFlags([]mailbox.Flag{mailbox.Flag(name)})
				require.NoError(t, err)
			}
		}
	})
}

package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// maxFile is the largest file that is read, in octets.
const maxFile = 64 << 20

// table is one of the files: its entries in order, with the comments between them.
type table struct {
	name    string // of the file, for errors
	entries []entry
}

// entry is a line of a file with the lines that continue it, or a comment, which has no key.
type entry struct {
	raw  string // as it stands in the file, with its line ends; empty when it was changed
	line int    // where it stands, from 1
	key  string
	rest string
}

// format is how a file's lines are made up.
type format struct {
	name string
	// split takes a line apart.
	split func(text string) (key, rest string, err error)
	// join puts it together.
	join func(key, rest string) string
	// continued says that an indented line continues the one before it.
	continued bool
}

var accountsFormat = format{
	name: "accounts.cf",
	split: func(text string) (string, string, error) {
		key, rest, ok := strings.Cut(text, "|")
		if !ok {
			return "", "", errors.New("no | between address and password hash")
		}
		return strings.TrimSpace(key), strings.TrimSpace(rest), nil
	},
	join: func(key, rest string) string { return key + "|" + rest },
}

var aliasesFormat = format{
	name: "aliases.cf",
	split: func(text string) (string, string, error) {
		at := strings.IndexAny(text, " \t")
		if at < 0 {
			return "", "", errors.New("no target behind the alias")
		}
		return text[:at], strings.TrimSpace(text[at:]), nil
	},
	join:      func(key, rest string) string { return key + " " + rest },
	continued: true,
}

var regexpFormat = format{name: "regexp.cf", split: splitRegexp, join: aliasesFormat.join, continued: true}

var quotasFormat = format{
	name: "quotas.cf",
	split: func(text string) (string, string, error) {
		at := strings.LastIndexByte(text, ':')
		if at < 0 {
			return "", "", errors.New("no : between address and quota")
		}
		return strings.TrimSpace(text[:at]), strings.TrimSpace(text[at+1:]), nil
	},
	join: func(key, rest string) string { return key + ":" + rest },
}

// splitRegexp takes "/pattern/flags targets" apart; the key is all up to the blank.
func splitRegexp(text string) (string, string, error) {
	if !strings.HasPrefix(text, "/") {
		return "", "", errors.New("no / at the start of the line")
	}
	end := 1
	for ; end < len(text) && text[end] != '/'; end++ {
		if text[end] == '\\' {
			end++
		}
	}
	if end >= len(text) {
		return "", "", errors.New("no / at the end of the regular expression")
	}
	blank := strings.IndexAny(text[end:], " \t")
	if blank < 0 {
		return "", "", errors.New("no target behind the regular expression")
	}
	return text[:end+blank], strings.TrimSpace(text[end+blank:]), nil
}

// readTable reads a file; one that is not there is empty.
func readTable(fsys durable.FS, dir string, f format) (*table, error) {
	data, err := durable.ReadFile(fsys, filepath.Join(dir, f.name), maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", f.name, err)
	}
	return parseTable(string(data), f)
}

func parseTable(data string, f format) (*table, error) {
	t := &table{name: f.name}
	line := 0
	for raw := range strings.Lines(data) {
		line++
		text := strings.TrimSpace(raw)
		switch {
		case text == "" || text[0] == '#':
			t.entries = append(t.entries, entry{raw: raw, line: line})
			continue
		case f.continued && (raw[0] == ' ' || raw[0] == '\t') && len(t.entries) > 0 && t.entries[len(t.entries)-1].key != "":
			last := &t.entries[len(t.entries)-1]
			last.raw += raw
			last.rest += " " + text
			continue
		}
		key, rest, err := f.split(text)
		if err == nil && (key == "" || rest == "") {
			err = errors.New("half of the line is missing")
		}
		if err != nil {
			return nil, t.errorAt(line, err)
		}
		t.entries = append(t.entries, entry{raw: raw, line: line, key: key, rest: rest})
	}
	return t, nil
}

func (t *table) errorAt(line int, err error) error {
	return fmt.Errorf("%s line %d: %w", t.name, line, err)
}

// text is the file's content.
func (t *table) text(f format) []byte {
	var b strings.Builder
	for _, e := range t.entries {
		raw := e.raw
		if raw == "" {
			raw = f.join(e.key, e.rest)
		}
		b.WriteString(raw)
		if !strings.HasSuffix(raw, "\n") {
			b.WriteString("\n")
		}
	}
	return []byte(b.String())
}

// set gives key a new value, in its place or at the end.
func (t *table) set(same func(key string) bool, key, rest string) {
	for i := range t.entries {
		if e := &t.entries[i]; e.key != "" && same(e.key) {
			e.raw, e.rest = "", rest
			return
		}
	}
	t.entries = append(t.entries, entry{key: key, rest: rest})
}

// remove takes out the entries with this key and says whether there were any.
func (t *table) remove(same func(key string) bool) bool {
	kept := t.entries[:0]
	for _, e := range t.entries {
		if e.key == "" || !same(e.key) {
			kept = append(kept, e)
		}
	}
	removed := len(kept) < len(t.entries)
	t.entries = kept
	return removed
}

package imapd

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/internal/mimetext"
	"github.com/mailbricks/mailbricks/mailbox"
)

// Limits of one SEARCH.
const (
	maxSearchKeys  = 500
	maxSearchDepth = 50
)

// searchRequest is a parsed SEARCH.
type searchRequest struct {
	charset string
	// extended says that the answer is an ESEARCH response (RFC 4731) with the given parts.
	extended             bool
	min, max, all, count bool
	keys                 []searchKey // all of them must match
	n                    int         // keys so far, nested ones included
}

// search is SEARCH and UID SEARCH (RFC 3501 §6.4.4, §6.4.8; RFC 4731).
func (c *conn) search(ctx context.Context) error {
	var req searchRequest
	if !c.dec.SP() || !c.searchRequest(&req) || !c.dec.End() {
		return c.dec.Err()
	}
	if !mimetext.KnownCharset(req.charset) {
		return no(codeBadCharset, "Unknown character set")
	}
	hits, err := c.findAll(ctx, &req)
	if err != nil {
		return err
	}
	if req.extended {
		c.writeESearch(&req, hits)
	} else {
		c.writeSearch(hits)
	}
	return nil
}

// searchRequest reads [RETURN SP list SP] [CHARSET SP astring SP] search-key *(SP search-key). The two words are no keys,
// so that they are told from them by name.
func (c *conn) searchRequest(req *searchRequest) bool {
	req.charset = "UTF-8"
	charset := false // was read
	for first := true; ; first = false {
		if word, can := c.searchWord(); can && first && word == "RETURN" {
			if !c.dec.SP() || !c.searchReturn(req) || !c.dec.SP() {
				return false
			}
			continue
		} else if can && len(req.keys) == 0 && !charset && word == "CHARSET" {
			charset = true
			if !c.dec.SP() || !c.dec.AString(&req.charset) || !c.dec.SP() {
				return false
			}
			continue
		} else if !c.searchKeyNamed(req, word, 0, &req.keys) {
			return false
		}
		if !c.dec.Accept(' ') {
			return true
		}
	}
}

// searchWord reads the word that a key starts with; it is not ok where the key starts with a number, "*" or "(".
func (c *conn) searchWord() (word string, ok bool) {
	if c.dec.HasNumSet() || c.dec.Has('(') {
		return "", false
	}
	return word, c.dec.Name(&word)
}

// searchReturn reads the options of RFC 4731 §3.1.
func (c *conn) searchReturn(req *searchRequest) bool {
	req.extended = true
	if !c.dec.List(func() bool {
		var option string
		if !c.dec.Keyword(&option) {
			return false
		}
		switch option {
		case "MIN":
			req.min = true
		case "MAX":
			req.max = true
		case "ALL":
			req.all = true
		case "COUNT":
			req.count = true
		default:
			return c.dec.Fail("unknown RETURN option")
		}
		return true
	}) {
		return false
	}
	if !req.min && !req.max && !req.count { // RFC 4731 §3.1: () means ALL
		req.all = true
	}
	return true
}

// searchKey reads one search-key and puts it at the end of keys.
func (c *conn) searchKey(req *searchRequest, depth int, keys *[]searchKey) bool {
	word, _ := c.searchWord()
	return c.searchKeyNamed(req, word, depth, keys)
}

// searchKeyNamed is searchKey behind the key's first word, which is empty where a set or a list follows.
func (c *conn) searchKeyNamed(req *searchRequest, word string, depth int, keys *[]searchKey) bool {
	if c.dec.Err() != nil {
		return false
	}
	if req.n++; req.n > maxSearchKeys || depth > maxSearchDepth {
		return c.dec.Fail("search is too complex")
	}
	var key searchKey
	if word == "" {
		if !c.searchSetOrList(req, depth, &key) {
			return false
		}
	} else if !c.searchKeyArgs(req, word, depth, &key) {
		return false
	}
	*keys = append(*keys, key)
	return true
}

// searchSetOrList reads a sequence set or keys in parentheses.
func (c *conn) searchSetOrList(req *searchRequest, depth int, key *searchKey) bool {
	if c.dec.Has('(') {
		var sub []searchKey
		if !c.dec.List(func() bool { return c.searchKey(req, depth+1, &sub) }) {
			return false
		}
		if len(sub) == 0 {
			return c.dec.Fail("expected a search key")
		}
		*key = allKeys(sub)
		return true
	}
	var set wire.NumSet
	if !c.dec.NumSet(&set) {
		return false
	}
	set = set.Resolve(uint32(len(c.sel.uids)))
	*key = searchKey{cost: costNothing, match: func(m *candidate) bool { return set.Contains(uint32(m.seq)) }}
	return true
}

// searchKeyArgs reads the arguments of the key word. Extensions add their keys here.
func (c *conn) searchKeyArgs(req *searchRequest, word string, depth int, key *searchKey) bool {
	switch word {
	case "ALL":
		*key = searchKey{cost: costNothing, match: func(*candidate) bool { return true }}
	case "UID":
		return c.searchUID(key)
	case "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN":
		*key = flagKey(mailbox.Flag(`\`+word), true)
	case "UNANSWERED", "UNDELETED", "UNDRAFT", "UNFLAGGED", "UNSEEN":
		*key = flagKey(mailbox.Flag(`\`+word[2:]), false)
	case "KEYWORD", "UNKEYWORD":
		var flag string
		if !c.dec.SP() || !c.dec.Atom(&flag) { // RFC 3501 §9: flag-keyword
			return false
		}
		*key = flagKey(mailbox.Flag(flag), word == "KEYWORD")
	case "RECENT", "OLD":
		*key = c.recentKey(word == "RECENT")
	case "NEW":
		*key = allKeys([]searchKey{c.recentKey(true), flagKey(mailbox.Seen, false)})
	case "NOT":
		return c.searchNot(req, depth, key)
	case "OR":
		return c.searchOr(req, depth, key)
	case "LARGER", "SMALLER":
		return c.searchSize(word, key)
	case "BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE":
		return c.searchDate(word, key)
	default:
		return c.searchText(req, word, key)
	}
	return true
}

func (c *conn) searchUID(key *searchKey) bool {
	var set wire.NumSet
	if !c.dec.SP() || !c.dec.NumSet(&set) {
		return false
	}
	var largest mailbox.UID
	if n := len(c.sel.uids); n > 0 {
		largest = c.sel.uids[n-1]
	}
	set = set.Resolve(uint32(largest))
	*key = searchKey{cost: costNothing, match: func(m *candidate) bool { return set.Contains(uint32(m.meta.UID)) }}
	return true
}

func flagKey(f mailbox.Flag, on bool) searchKey {
	return searchKey{cost: costMeta, match: func(m *candidate) bool { return mailbox.HasFlag(m.meta.Flags, f) == on }}
}

func (c *conn) recentKey(on bool) searchKey {
	sel := c.sel
	return searchKey{cost: costNothing, match: func(m *candidate) bool { return sel.isRecent(m.meta.UID) == on }}
}

func (c *conn) searchNot(req *searchRequest, depth int, key *searchKey) bool {
	var sub []searchKey
	if !c.dec.SP() || !c.searchKey(req, depth+1, &sub) {
		return false
	}
	*key = searchKey{cost: sub[0].cost, listing: sub[0].listing, match: func(m *candidate) bool { return !sub[0].match(m) }}
	return true
}

func (c *conn) searchOr(req *searchRequest, depth int, key *searchKey) bool {
	var sub []searchKey
	if !c.dec.SP() || !c.searchKey(req, depth+1, &sub) || !c.dec.SP() || !c.searchKey(req, depth+1, &sub) {
		return false
	}
	slices.SortStableFunc(sub, byCost)
	*key = searchKey{cost: sub[1].cost, listing: sub[0].listing || sub[1].listing, match: func(m *candidate) bool {
		return sub[0].match(m) || sub[1].match(m)
	}}
	return true
}

func (c *conn) searchSize(word string, key *searchKey) bool {
	var n int64
	if !c.dec.SP() || !c.dec.Number64(&n) {
		return false
	}
	*key = searchKey{cost: costMeta, match: func(m *candidate) bool { return m.meta.Size > n }}
	if word == "SMALLER" {
		key.match = func(m *candidate) bool { return m.meta.Size < n }
	}
	return true
}

// searchDate compares days, without regard to time and zone (RFC 3501 §6.4.4).
func (c *conn) searchDate(word string, key *searchKey) bool {
	var day time.Time
	if !c.dec.SP() || !c.dec.Date(&day) {
		return false
	}
	relation, sent := strings.CutPrefix(word, "SENT")
	compare := func(t time.Time) bool {
		switch n := dayOf(t).Compare(day); relation {
		case "BEFORE":
			return n < 0
		case "ON":
			return n == 0
		default:
			return n >= 0
		}
	}
	*key = searchKey{cost: costMeta, match: func(m *candidate) bool { return compare(m.meta.InternalDate) }}
	if sent {
		*key = fieldKey("date", func(m *candidate) bool {
			t, ok := m.sentDate()
			return ok && compare(t)
		})
	}
	return true
}

// dayOf is the day that t shows in its own zone.
func dayOf(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// searchText reads the keys that look for a string.
func (c *conn) searchText(req *searchRequest, word string, key *searchKey) bool {
	field := ""
	switch word {
	case "BCC", "CC", "FROM", "SUBJECT", "TO":
		field = word
	case "HEADER":
		if !c.dec.SP() || !c.dec.AString(&field) {
			return false
		}
	case "BODY", "TEXT":
	default:
		return c.dec.Fail("unknown search key")
	}
	var needle string
	if !c.dec.SP() || !c.dec.AString(&needle) {
		return false
	}
	text := mimetext.DecodeCharset([]byte(needle), req.charset)
	if !utf8.ValidString(text) && mimetext.KnownCharset(req.charset) {
		return c.dec.Fail("string is not in its character set")
	}
	matcher := mimetext.NewMatcher(text)
	switch isBody := word == "BODY" || word == "TEXT"; {
	case isBody && text == "": // it is in any message, also in one without text
		*key = searchKey{cost: costNothing, match: func(*candidate) bool { return true }}
	case isBody:
		*key = searchKey{cost: costBody, listing: true, match: func(m *candidate) bool { return m.textContains(word == "TEXT", matcher) }}
	case text == "": // RFC 3501 §6.4.4: any message that has the field
		*key = fieldKey(field, func(m *candidate) bool { return m.hasField(field) })
	default:
		*key = fieldKey(field, func(m *candidate) bool { return m.fieldContains(field, matcher) })
	}
	return true
}

// fieldKey looks at the fields of one name.
func fieldKey(name string, match func(*candidate) bool) searchKey {
	if mimeindex.Listed(name) {
		return searchKey{cost: costSummary, listing: true, match: match}
	}
	return searchKey{cost: costHeader, match: match}
}

// allKeys matches what all keys match, the cheap ones first; no keys match all messages.
func allKeys(keys []searchKey) searchKey {
	slices.SortStableFunc(keys, byCost)
	all := searchKey{match: func(m *candidate) bool {
		for _, key := range keys {
			if !key.match(m) {
				return false
			}
		}
		return true
	}}
	for _, key := range keys {
		all.cost, all.listing = key.cost, all.listing || key.listing
	}
	return all
}

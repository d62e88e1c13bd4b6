package imapd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/internal/mimetext"
	"github.com/mailbricks/mailbricks/mailbox"
)

// searchKey decides on one message.
type searchKey struct {
	cost cost
	// listing says that a summary spares it some reading.
	listing bool
	match   func(*candidate) bool
}

// cost is what a key needs of a message.
type cost int

const (
	costNothing cost = iota // number and UID
	costMeta                // what the store knows
	costSummary             // fields that a summary may have, else the header
	costHeader              // the header
	costBody                // the whole message
)

func byCost(a, b searchKey) int { return cmp.Compare(a.cost, b.cost) }

// candidate is a message that may match.
type candidate struct {
	ctx  context.Context
	seq  int
	meta mailbox.Meta
	message
	err error // what kept the message from being read; it then does not match
}

// findAll gives the numbers that match: UIDs for UID SEARCH, else sequence numbers.
func (c *conn) findAll(ctx context.Context, req *searchRequest) (hits []uint32, err error) {
	cheap, dear := splitKeys(req.keys)
	uids := c.sel.uids
	told := time.Now()
	var m candidate
	found := make([]mailbox.Meta, 0, min(len(uids), metaChunk))
	for from := 0; from < len(uids); from += metaChunk {
		chunk := uids[from:min(from+metaChunk, len(uids))]
		if cheap.cost == costNothing && dear == nil {
			for i, uid := range chunk {
				m.seq, m.meta.UID = from+i+1, uid
				if cheap.match(&m) {
					hits = append(hits, c.number(m.seq, uid))
				}
			}
			continue
		}
		if err := c.stillSearching(ctx, &told); err != nil {
			return nil, err
		}
		metas, err := c.sel.box.Messages(ctx, chunk)
		if err != nil {
			return nil, err
		}
		found = found[:0]
		for _, meta := range metas {
			if m.seq, m.meta = c.sel.seq(meta.UID), meta; cheap.match(&m) {
				found = append(found, meta)
			}
		}
		matched := found
		if dear != nil {
			if matched, err = c.findAmong(ctx, *dear, found, &told); err != nil {
				return nil, err
			}
		}
		for _, meta := range matched {
			hits = append(hits, c.number(c.sel.seq(meta.UID), meta.UID))
		}
	}
	return hits, nil
}

// splitKeys puts the keys that need no more of a message than its Meta apart from the others. No others is nil.
func splitKeys(keys []searchKey) (cheap searchKey, dear *searchKey) {
	slices.SortStableFunc(keys, byCost)
	n := 0
	for n < len(keys) && keys[n].cost <= costMeta {
		n++
	}
	if n < len(keys) {
		rest := allKeys(keys[n:])
		dear = &rest
	}
	return allKeys(keys[:n]), dear
}

// findAmong gives the messages that match a key for which something of them must be read.
func (c *conn) findAmong(ctx context.Context, key searchKey, metas []mailbox.Meta, told *time.Time) (found []mailbox.Meta, err error) {
	listing := key.listing && c.sel.summarizer() != nil
	for chunk := range slices.Chunk(metas, summaryChunk) {
		var have summaries
		if listing {
			have = c.summaries(ctx, uidsOf(chunk))
		}
		for _, meta := range chunk {
			if err := c.stillSearching(ctx, told); err != nil {
				return nil, err
			}
			matched, err := c.matches(ctx, key, meta, have.of(meta.UID))
			if err != nil {
				return nil, err
			}
			if matched {
				found = append(found, meta)
			}
		}
	}
	return found, nil
}

func uidsOf(metas []mailbox.Meta) []mailbox.UID {
	uids := make([]mailbox.UID, len(metas))
	for i, meta := range metas {
		uids[i] = meta.UID
	}
	return uids
}

// stillSearching says whether a search is to go on. From time to time it tells the client, which keeps the connection alive
// and finds out whether there still is one: a client that has left is not searched for.
func (c *conn) stillSearching(ctx context.Context, told *time.Time) error {
	if now := time.Now(); now.Sub(*told) >= c.set.keepAlive {
		*told = now
		c.enc.Raw("* OK Still searching\r\n")
		if err := c.enc.Flush(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// number is what SEARCH tells of a message.
func (c *conn) number(seq int, uid mailbox.UID) uint32 {
	if c.uidMode {
		return uint32(uid)
	}
	return uint32(seq)
}

// matches decides on one message. One that is gone does not match; one that cannot be read fails the search, since the
// client would take silence for an answer.
func (c *conn) matches(ctx context.Context, key searchKey, meta mailbox.Meta, summary []byte) (bool, error) {
	m := candidate{ctx: ctx, seq: c.sel.seq(meta.UID), meta: meta, message: message{box: c.sel.box, uid: meta.UID}}
	defer m.close()
	m.summarize(summary, meta.Size)
	matched := key.match(&m)
	if errors.Is(m.err, mailbox.ErrExpunged) {
		return false, nil
	}
	return matched, m.err
}

// try notes an error of reading.
func (m *candidate) try(err error) bool {
	if err != nil && m.err == nil {
		m.err = err
	}
	return m.err == nil
}

// headerWith gives a header that has all fields of a name: the message's own, or those that the summary has of it.
func (m *candidate) headerWith(name string) (header mimeindex.Header, ok bool) {
	if m.summarized && m.sum.Has(name) {
		return m.sum.Fields(), true
	}
	ok = m.try(m.withoutSummary(func() error { return m.readHeader(m.ctx) }))
	return m.header, ok
}

// sentDate is what the Date field says: the last one, as in ENVELOPE.
func (m *candidate) sentDate() (t time.Time, ok bool) {
	header, ok := m.headerWith("date")
	if !ok {
		return time.Time{}, false
	}
	value, has := "", false
	for v := range header.Values("date") {
		value, has = v, true
	}
	if !has {
		return time.Time{}, false
	}
	return mimeindex.ParseDate(value)
}

func (m *candidate) hasField(name string) bool {
	header, ok := m.headerWith(name)
	if !ok {
		return false
	}
	_, has := header.Get(name)
	return has
}

// fieldContains looks into all fields of a name.
func (m *candidate) fieldContains(name string, matcher *mimetext.Matcher) bool {
	header, ok := m.headerWith(name)
	if !ok {
		return false
	}
	for f := range header.Fields() {
		if !f.Is(name) {
			continue
		}
		for text := range fieldTexts(f) {
			if contains(matcher, text) {
				return true
			}
		}
	}
	return false
}

func contains(matcher *mimetext.Matcher, text string) bool {
	matcher.Reset()
	_, _ = io.WriteString(matcher, text) // it never fails
	return matcher.Found()
}

// textContains looks into the text of all parts and the headers of those inside the message, with withHeader into the
// message's own header, too (RFC 3501 §6.4.4: BODY, TEXT).
func (m *candidate) textContains(withHeader bool, matcher *mimetext.Matcher) bool {
	if !m.try(m.withoutSummary(m.withText)) {
		return false
	}
	found := false
	m.root.Walk(func(_ []int, part *mimeindex.Part) bool {
		if part != m.root || withHeader {
			found = m.headerContains(part, matcher)
		}
		if !found && isText(part) {
			found = m.bodyContains(part, matcher)
		}
		return !found && m.err == nil
	})
	return found
}

// withText opens the message and finds its structure.
func (m *candidate) withText() error {
	if err := m.open(m.ctx); err != nil {
		return err
	}
	return m.parse(m.ctx)
}

func isText(part *mimeindex.Part) bool {
	return len(part.Children) == 0 && (part.Is("text", "") || part.Is("message", ""))
}

// headerContains looks into the header of a part, field by field.
func (m *candidate) headerContains(part *mimeindex.Part, matcher *mimetext.Matcher) bool {
	header := make(mimeindex.Header, min(part.HeaderSize(), mimeindex.DefaultHeaderBytes))
	n, err := m.content.ReadAt(header, part.HeaderOffset())
	if n < len(header) {
		return m.try(errors.Join(err, io.ErrUnexpectedEOF))
	}
	for f := range header.Fields() {
		if f.Name == "" {
			if contains(matcher, string(bytes.TrimRight(f.Raw, "\r\n"))) {
				return true
			}
			continue
		}
		for text := range fieldTexts(f) {
			if contains(matcher, f.Name+": "+text) {
				return true
			}
		}
	}
	return false
}

func (m *candidate) bodyContains(part *mimeindex.Part, matcher *mimetext.Matcher) bool {
	body := io.NewSectionReader(m.content, part.BodyOffset(), part.BodySize())
	matcher.Reset()
	_, err := io.Copy(untilFound{matcher}, mimetext.NewReader(part, body))
	if errors.Is(err, errFound) {
		return true
	}
	return m.try(err) && matcher.Found()
}

// errFound ends the reading of a text in which the string was found.
var errFound = errors.New("imapd: found")

type untilFound struct{ *mimetext.Matcher }

func (u untilFound) Write(p []byte) (int, error) {
	n, err := u.Matcher.Write(p)
	if err == nil && u.Found() {
		err = errFound
	}
	return n, err
}

// writeSearch writes a SEARCH response (RFC 3501 §7.2.5).
func (c *conn) writeSearch(hits []uint32) {
	c.enc.Raw("* SEARCH")
	for _, n := range hits {
		c.enc.SP().Number(int64(n))
	}
	c.enc.CRLF()
}

// writeESearch writes an ESEARCH response (RFC 4731 §3.1): parts that have no value are left out.
func (c *conn) writeESearch(req *searchRequest, hits []uint32) {
	c.enc.Raw("* ESEARCH (TAG ").String(c.tag).Raw(")")
	if c.uidMode {
		c.enc.Raw(" UID")
	}
	if n := len(hits); n > 0 {
		if req.min {
			c.enc.Raw(" MIN ").Number(int64(hits[0]))
		}
		if req.max {
			c.enc.Raw(" MAX ").Number(int64(hits[n-1]))
		}
		if req.all {
			var set wire.NumSet
			for _, n := range hits {
				set.Add(n)
			}
			c.enc.Raw(" ALL ").NumSet(set)
		}
	}
	if req.count {
		c.enc.Raw(" COUNT ").Number(int64(len(hits)))
	}
	c.enc.CRLF()
}

package imapd

import (
	"context"
	"errors"
	"slices"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/mailbox"
)

// maxFetchItems is how many data items one FETCH may name.
const maxFetchItems = 1000

// fetchItem is a data item of FETCH (RFC 3501 §6.4.5).
type fetchItem struct {
	// name is the item as it stands in the response, such as BODY[1.HEADER]<0>, with field names as the client gave them.
	name string
	kind fetchKind
	// section is what a fetchSection asks for.
	section section
}

type fetchKind int

const (
	fetchUID fetchKind = iota
	fetchFlags
	fetchInternalDate
	fetchSize
	fetchEnvelope
	fetchBody
	fetchBodyStructure
	fetchSection
)

// fetchRequest is a parsed FETCH.
type fetchRequest struct {
	items []fetchItem
	// metas and content say that something needs the store's Meta, or the message itself. listing says that a summary has
	// something of the latter, tree that its tree of parts is of use.
	metas, content, listing, tree bool
	// flags says that FLAGS is among the items, seen that reading sets \Seen.
	flags, seen bool
}

// fetch is FETCH and UID FETCH (RFC 3501 §6.4.5, §6.4.8).
func (c *conn) fetch(ctx context.Context) error {
	var set wire.NumSet
	var req fetchRequest
	if !c.dec.SP() || !c.dec.NumSet(&set) || !c.dec.SP() || !c.fetchItems(&req) || !c.dec.End() {
		return c.dec.Err()
	}
	if c.uidMode && !slices.ContainsFunc(req.items, func(it fetchItem) bool { return it.kind == fetchUID }) {
		req.items = append([]fetchItem{{name: "UID", kind: fetchUID}}, req.items...)
	}
	req.seen = req.seen && !c.sel.readOnly
	spans, err := c.messages(set)
	if err != nil {
		return err
	}
	return c.fetchAll(ctx, spans, req)
}

// messages finds the messages that a command names.
func (c *conn) messages(set wire.NumSet) ([]span, error) {
	if c.uidMode {
		return c.sel.byUID(set), nil
	}
	spans, valid := c.sel.bySeq(set)
	if !valid {
		return nil, bad("No message has this number")
	}
	return spans, nil
}

// fetchItems reads a macro, an item or a list of items.
func (c *conn) fetchItems(req *fetchRequest) bool {
	if c.dec.Has('(') {
		if !c.dec.List(func() bool { return c.fetchItem(req, false) }) {
			return false
		}
		if len(req.items) == 0 {
			return c.dec.Fail("expected a FETCH item")
		}
		return true
	}
	return c.fetchItem(req, true)
}

// fetchItem reads one item, or a macro where it may stand. Extensions add their items here.
func (c *conn) fetchItem(req *fetchRequest, macro bool) bool {
	var name string
	if !c.dec.Name(&name) {
		return false
	}
	if len(req.items) >= maxFetchItems {
		return c.dec.Fail("too many FETCH items")
	}
	switch name {
	case "UID":
		req.add(fetchItem{name: name, kind: fetchUID})
	case "FLAGS":
		req.add(fetchItem{name: name, kind: fetchFlags})
	case "INTERNALDATE":
		req.add(fetchItem{name: name, kind: fetchInternalDate})
	case "RFC822.SIZE":
		req.add(fetchItem{name: name, kind: fetchSize})
	case "ENVELOPE":
		req.add(fetchItem{name: name, kind: fetchEnvelope})
	case "BODYSTRUCTURE":
		req.add(fetchItem{name: name, kind: fetchBodyStructure})
	case "RFC822":
		req.add(fetchItem{name: name, kind: fetchSection})
	case "RFC822.HEADER":
		req.add(fetchItem{name: name, kind: fetchSection, section: section{spec: mimeindex.HeaderText, peek: true}})
	case "RFC822.TEXT":
		req.add(fetchItem{name: name, kind: fetchSection, section: section{spec: mimeindex.Text}})
	case "BODY", "BODY.PEEK":
		return c.fetchBodyItem(req, name == "BODY.PEEK")
	default:
		if macro {
			return c.fetchMacro(req, name)
		}
		return c.dec.Fail("unknown FETCH item")
	}
	return true
}

// fetchMacro is a word for several items (RFC 3501 §6.4.5).
func (c *conn) fetchMacro(req *fetchRequest, name string) bool {
	switch name {
	case "ALL", "FULL", "FAST":
	default:
		return c.dec.Fail("unknown FETCH item")
	}
	req.add(fetchItem{name: "FLAGS", kind: fetchFlags})
	req.add(fetchItem{name: "INTERNALDATE", kind: fetchInternalDate})
	req.add(fetchItem{name: "RFC822.SIZE", kind: fetchSize})
	if name != "FAST" {
		req.add(fetchItem{name: "ENVELOPE", kind: fetchEnvelope})
	}
	if name == "FULL" {
		req.add(fetchItem{name: "BODY", kind: fetchBody})
	}
	return true
}

func (r *fetchRequest) add(it fetchItem) {
	r.items = append(r.items, it)
	switch it.kind {
	case fetchUID:
	case fetchFlags, fetchInternalDate, fetchSize:
		r.metas = true
		r.flags = r.flags || it.kind == fetchFlags
	case fetchSection:
		r.metas = r.metas || !it.section.peek
		r.seen = r.seen || !it.section.peek
		r.content = true
		r.tree = r.tree || len(it.section.path) > 0
		r.listing = r.listing || r.tree || it.section.listed()
	default:
		r.content, r.listing = true, true
		r.tree = r.tree || it.kind == fetchBody
	}
}

// fetchAll answers for the messages of spans. Messages that are gone are passed over, and so are those that cannot be read.
func (c *conn) fetchAll(ctx context.Context, spans []span, req fetchRequest) error {
	var outcome fetchOutcome
	size := metaChunk
	if req.listing = req.listing && c.sel.summarizer() != nil; req.listing {
		size, req.metas = summaryChunk, true
	}
	for chunk := range slices.Chunk(c.sel.collect(spans), size) {
		if err := c.fetchChunk(ctx, chunk, req, &outcome); err != nil {
			return err
		}
	}
	return outcome.reply(c.uidMode)
}

// fetchOutcome collects what went wrong.
type fetchOutcome struct {
	missing bool
	failed  error
}

// reply follows RFC 2180 §4.1.3: a number that names nothing any more is a NO, a UID is not (RFC 3501 §6.4.8).
func (o *fetchOutcome) reply(uidMode bool) error {
	switch {
	case o.failed != nil:
		return &reply{kind: "NO", code: codeUnavailable, text: "Some messages cannot be read now", err: o.failed}
	case o.missing && uidMode:
		return ok(codeExpungeIssued, "Some messages are gone")
	case o.missing:
		return no(codeExpungeIssued, "Some messages are gone")
	}
	return nil
}

// fetchChunk answers for messages with ascending UIDs, which need not stand in a row.
func (c *conn) fetchChunk(ctx context.Context, uids []mailbox.UID, req fetchRequest, outcome *fetchOutcome) error {
	var metas []mailbox.Meta
	if req.metas {
		var err error
		if metas, err = c.sel.box.Messages(ctx, uids); err != nil {
			return err
		}
	}
	var listing summaries
	if req.listing {
		listing = c.summaries(ctx, uids)
	}
	seq := 0
	for _, uid := range uids {
		seq = c.sel.seqAfter(seq, uid)
		if err := c.broken(); err != nil {
			return err
		}
		meta := mailbox.Meta{UID: uid}
		if req.metas {
			if len(metas) == 0 || metas[0].UID != uid {
				outcome.missing = true
				continue
			}
			meta, metas = metas[0], metas[1:]
		}
		err := c.fetchOne(ctx, fetched{seq: seq, meta: meta, summary: listing.of(uid)}, req)
		switch {
		case errors.Is(err, mailbox.ErrExpunged):
			outcome.missing = true
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			outcome.failed = err
		}
	}
	return nil
}

// fetched is a message that is answered for.
type fetched struct {
	seq     int
	meta    mailbox.Meta
	summary []byte // nil: none is known
	seen    bool   // reading it has changed its flags
}

// fetchOne answers for one message. All that can fail is done before the first octet is written.
func (c *conn) fetchOne(ctx context.Context, f fetched, req fetchRequest) error {
	var m *message
	if req.content {
		m = &message{box: c.sel.box, uid: f.meta.UID, cache: &c.sel.parsed}
		defer m.close()
		m.summarize(f.summary, f.meta.Size)
		if err := m.prepare(ctx, req.items); err != nil {
			return err
		}
	}
	f.seen = req.seen && !mailbox.HasFlag(f.meta.Flags, mailbox.Seen) && c.setSeen(ctx, &f.meta)
	c.writeFetch(f, m, req)
	return nil
}

// setSeen sets \Seen and says whether it did. That it cannot is no reason to withhold the message.
func (c *conn) setSeen(ctx context.Context, meta *mailbox.Meta) bool {
	metas, err := c.sel.box.SetFlags(ctx, []mailbox.UID{meta.UID},
		mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
	if err != nil || len(metas) != 1 {
		c.log.Debug("imapd: cannot set \\Seen", "uid", meta.UID, "err", err)
		return false
	}
	*meta = metas[0]
	return true
}

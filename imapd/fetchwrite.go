package imapd

import (
	"bytes"
	"io"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/mailbox"
)

// writeFetch writes a FETCH response (RFC 3501 §7.4.2). m is prepared, or nil where no item needs the message.
func (c *conn) writeFetch(f fetched, m *message, req fetchRequest) {
	if req.flags || f.seen {
		c.announceKeywords(f.meta.Flags)
		c.sel.tell(f.meta)
	}
	c.enc.Raw("* ").Number(int64(f.seq)).Raw(" FETCH (")
	if f.seen && !req.flags { // RFC 3501 §6.4.5
		c.flags(f.meta).SP()
	}
	for i := range req.items {
		if i > 0 {
			c.enc.SP()
		}
		if it := &req.items[i]; it.kind == fetchSection {
			c.writeSection(m, it, m.sections[i])
		} else {
			c.writeItem(f.meta, m, it.kind)
		}
	}
	c.enc.Raw(")\r\n")
}

func (c *conn) writeItem(meta mailbox.Meta, m *message, kind fetchKind) {
	switch kind {
	case fetchUID:
		c.enc.Raw("UID ").Number(int64(meta.UID))
	case fetchFlags:
		c.flags(meta)
	case fetchInternalDate:
		c.enc.Raw("INTERNALDATE ").DateTime(meta.InternalDate)
	case fetchSize:
		c.enc.Raw("RFC822.SIZE ").Number(meta.Size)
	case fetchEnvelope:
		c.enc.Raw("ENVELOPE ")
		if m.summarized {
			_, _ = c.enc.Write(m.sum.Envelope) // the encoder keeps the error
			return
		}
		c.scratch = m.envelope().Append(c.scratch[:0])
		_, _ = c.enc.Write(c.scratch)
	case fetchBody:
		c.writeStructure("BODY ", m, mimeindex.Basic)
	case fetchBodyStructure:
		c.writeStructure("BODYSTRUCTURE ", m, mimeindex.Extended)
	}
}

func (c *conn) writeStructure(name string, m *message, format mimeindex.BodyFormat) {
	c.enc.Raw(name)
	if m.summarized && format == mimeindex.Extended {
		_, _ = c.enc.Write(m.sum.Structure) // the encoder keeps the error
		return
	}
	c.scratch = m.root.AppendBody(c.scratch[:0], format)
	_, _ = c.enc.Write(c.scratch)
}

// flags writes FLAGS with \Recent where the message is.
func (c *conn) flags(meta mailbox.Meta) *wire.Encoder {
	c.enc.Raw("FLAGS (")
	recent := c.sel.isRecent(meta.UID)
	if recent {
		c.enc.Raw(`\Recent`)
	}
	for i, f := range meta.Flags {
		if i > 0 || recent {
			c.enc.SP()
		}
		c.enc.Flag(string(f))
	}
	return c.enc.Raw(")")
}

// writeSection writes the octets of a section, or NIL where the message has none such.
func (c *conn) writeSection(m *message, it *fetchItem, data sectionData) {
	c.enc.Raw(it.name).SP()
	if !data.found {
		c.enc.Raw("NIL")
		return
	}
	off, n := it.section.cut(data.n)
	c.enc.LiteralHeader(n)
	var content io.ReaderAt = m.content
	if data.bytes != nil {
		content = bytes.NewReader(data.bytes)
	}
	if err := c.enc.Copy(content, data.off+off, n); err != nil {
		c.log.Warn("imapd: message cannot be read to its end", "uid", m.uid, "err", err)
	}
}

// cut applies the limits of a partial FETCH to n octets. What lies behind the end is empty (RFC 3501 §6.4.5).
func (s *section) cut(n int64) (off, length int64) {
	if !s.partial {
		return 0, n
	}
	off = min(s.off, n)
	return off, min(s.n, n-off)
}

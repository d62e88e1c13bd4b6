package imapd

import (
	"context"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/mailbox"
)

// maxFlags is how many flags one command may name.
const maxFlags = 500

// storeChunk is how many messages a store is told to change at a time. Each time may cost a sync, so that it is more than
// metaChunk; the answers of so many are in memory, some 2 MB.
const storeChunk = 10_000

// flag reads a flag. Of those with a backslash only the ones of RFC 3501 §2.3.2 can be set.
func (c *conn) flag(flags *[]mailbox.Flag) bool {
	var name string
	if !c.dec.Flag(&name) {
		return false
	}
	f := mailbox.Flag(name)
	if f.System() {
		i := slices.IndexFunc(systemFlags(), f.Is)
		if i < 0 {
			return c.dec.Fail("unknown system flag")
		}
		f = systemFlags()[i]
	}
	if len(*flags) >= maxFlags {
		return c.dec.Fail("too many flags")
	}
	if !mailbox.HasFlag(*flags, f) {
		*flags = append(*flags, f)
	}
	return true
}

func (c *conn) flagList(flags *[]mailbox.Flag) bool {
	return c.dec.List(func() bool { return c.flag(flags) })
}

// storeCommand is STORE and UID STORE (RFC 3501 §6.4.6, §6.4.8).
func (c *conn) storeCommand(ctx context.Context) error {
	var set wire.NumSet
	var change mailbox.FlagChange
	var silent bool
	if !c.dec.SP() || !c.dec.NumSet(&set) || !c.dec.SP() || !c.storeFlags(&change, &silent) || !c.dec.End() {
		return c.dec.Err()
	}
	if c.sel.readOnly {
		return no(codeReadOnly, "Mailbox is read-only")
	}
	spans, err := c.messages(set)
	if err != nil {
		return err
	}
	// What others did before this is told first: the answers, or their absence for .SILENT, then say all there is to say.
	if err := c.syncOrLeave(false); err != nil {
		return err
	}
	var outcome fetchOutcome
	for chunk := range slices.Chunk(c.sel.collect(spans), storeChunk) {
		metas, err := c.sel.box.SetFlags(ctx, chunk, change)
		if err != nil {
			if silent { // after a NO the client does not know what was changed: the end of the command tells it
				c.sel.told = c.sel.told[:0]
			}
			return err
		}
		outcome.missing = outcome.missing || len(metas) < len(chunk)
		c.tellStored(metas, silent)
	}
	return outcome.reply(c.uidMode)
}

// storeFlags reads store-att-flags. UNCHANGEDSINCE (RFC 7162) will stand in front of them.
func (c *conn) storeFlags(change *mailbox.FlagChange, silent *bool) bool {
	change.Op = mailbox.ReplaceFlags
	if c.dec.Accept('+') {
		change.Op = mailbox.AddFlags
	} else if c.dec.Accept('-') {
		change.Op = mailbox.RemoveFlags
	}
	var name string
	if !c.dec.Name(&name) {
		return false
	}
	name, *silent = strings.CutSuffix(name, ".SILENT")
	if name != "FLAGS" {
		return c.dec.Fail("expected FLAGS")
	}
	if !c.dec.SP() {
		return false
	}
	if c.dec.Has('(') {
		return c.flagList(&change.Flags)
	}
	if !c.flag(&change.Flags) {
		return false
	}
	for c.dec.Accept(' ') {
		if !c.flag(&change.Flags) {
			return false
		}
	}
	return true
}

// tellStored answers with the new flags.
func (c *conn) tellStored(metas []mailbox.Meta, silent bool) {
	for _, m := range metas {
		c.sel.tell(m)
		if !silent {
			c.writeFlags(c.sel.seq(m.UID), m)
		}
	}
}

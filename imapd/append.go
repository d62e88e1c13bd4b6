package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailbox"
)

// appendLimit is the capability of RFC 7889.
func (c *conn) appendLimit() string {
	if c.set.maxAppend < 0 {
		return "APPENDLIMIT"
	}
	return "APPENDLIMIT=" + strconv.FormatInt(c.set.maxAppend, 10)
}

// appendCommand is APPEND (RFC 3501 §6.3.11). The message is only asked for once nothing speaks against it.
func (c *conn) appendCommand(ctx context.Context) error {
	var name string
	var opts mailbox.AppendOptions
	var lit wire.Literal
	if !c.dec.SP() || !c.dec.Mailbox(&name) || !c.dec.SP() || !c.appendOptions(&opts) || !c.dec.AnnouncedLiteral(&lit) {
		return c.dec.Err()
	}
	if serving.Over(lit.Size, c.set.maxAppend) {
		return no(codeTooBig, "Message is too large")
	}
	if lit.Size == 0 { // RFC 9051 §6.3.12: a zero-length message cannot be stored
		return no(codeCannot, "Message is empty")
	}
	box, err := c.store.Open(ctx, name) // first: TRYCREATE helps the client more than OVERQUOTA
	if err != nil {
		return toDestination(name, err)
	}
	opts.Size = lit.Size
	r, err := c.appendTo(ctx, box, opts)
	if closeErr := box.Close(); closeErr != nil {
		c.log.Warn("imapd: closing a mailbox failed", "mailbox", name, "err", closeErr)
	}
	if err != nil {
		return toDestination(name, err)
	}
	return r
}

// appendOptions reads [flag-list SP] [date-time SP].
func (c *conn) appendOptions(opts *mailbox.AppendOptions) bool {
	if c.dec.Has('(') && (!c.flagList(&opts.Flags) || !c.dec.SP()) {
		return false
	}
	if c.dec.Has('"') {
		var t time.Time
		if !c.dec.DateTime(&t) || !c.dec.SP() {
			return false
		}
		opts.InternalDate = t
	}
	return true
}

// appendTo takes the message, opts.Size octets on the wire, from the client and puts it into box. The command must end behind it.
func (c *conn) appendTo(ctx context.Context, box mailbox.Mailbox, opts mailbox.AppendOptions) (*reply, error) {
	if may := c.set.MayAppend; may != nil {
		if err := may(ctx, &c.Session, opts.Size); err != nil {
			return nil, err
		}
	}
	literal, err := c.dec.OpenLiteral()
	if err != nil {
		return nil, err
	}
	// The store sees the end of the message only once the end of the command was seen, so that nothing is stored of a
	// command that is then answered by BAD.
	message := &commandEnd{r: literal, end: func() error {
		if err := c.dec.EndLiteral(literal); err != nil {
			return err
		}
		if !c.dec.End() {
			return c.dec.Err()
		}
		return nil
	}}
	opts.Size = -1 // making bare LFs CRLF, as the store's contract asks, may change it
	uid, err := box.Append(ctx, mimeindex.CRLFReader(message), opts)
	if !message.ended { // the store stopped early: what is left is the client's message, not commands
		_ = c.dec.EndLiteral(literal) // if it fails the decoder is broken, which ends the session
	}
	if err != nil {
		if message.err != nil && message.err != io.EOF {
			return nil, message.err
		}
		return nil, err
	}
	status, err := box.Status(ctx)
	if err != nil { // stored all the same
		c.log.Warn("imapd: no APPENDUID", "err", err)
		return ok("", "APPEND completed"), nil
	}
	return ok(fmt.Sprintf("APPENDUID %d %d", status.UIDValidity, uid), "APPEND completed"), nil // RFC 4315 §3
}

// commandEnd reads r, and calls end before it tells of r's end.
type commandEnd struct {
	r     io.Reader
	end   func() error
	ended bool
	err   error
}

func (e *commandEnd) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.r.Read(p)
	if errors.Is(err, io.EOF) {
		e.ended = true
		if endErr := e.end(); endErr != nil {
			err = endErr
		}
	}
	e.err = err
	return n, err
}

package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/mailbricks/mailbricks/mailbox"
)

// readAhead is the longest message that is kept in memory, in octets.
const readAhead = 64 << 10

// metaBatch is how many messages a store is asked about at once.
const metaBatch = 200

// storeReader reads a store.
type storeReader struct {
	store mailbox.Store
	opts  ExportOptions

	begun bool
	infos []mailbox.Info // still to come
	name  string
	box   mailbox.Mailbox // open now, or nil
	uids  []mailbox.UID   // still to come
	metas []mailbox.Meta  // still to come, before uids
	open  mailbox.Content // of the message given last
	buf   []byte          // for content
}

// FromStore reads the mail of an account: the mailboxes with these names or, if none is named, all, each sorted by UID. Next
// fails with mailbox.ErrNoMailbox for a name without a mailbox. Messages and mailboxes that go meanwhile are left out, and what
// comes to a mailbox after it was begun. Closing the Reader does not close the store.
func FromStore(store mailbox.Store, names ...string) Reader {
	return OutOfStore(store, ExportOptions{Mailboxes: names})
}

// ExportOptions are for OutOfStore. The zero value is good.
type ExportOptions struct {
	// Mailboxes are the names of the only ones that are read; empty: all are.
	Mailboxes []string
	// Unreadable is told of each message, or whole mailbox, that cannot be read and is left out for that, where it is, and why;
	// nil: the first one ends the reading. What cannot be read for another reason than its files, such as that the account is
	// locked, ends it always.
	Unreadable func(where string, err error)
}

// OutOfStore is FromStore with options.
func OutOfStore(store mailbox.Store, opts ExportOptions) Reader {
	return &storeReader{store: store, opts: opts}
}

// Count is how many messages FromStore would give now. Mailboxes that cannot be read have none: who reads them is told.
func Count(ctx context.Context, store mailbox.Store, names ...string) (int, error) {
	r := &storeReader{store: store, opts: ExportOptions{Mailboxes: names, Unreadable: func(string, error) {}}}
	if _, err := r.begin(ctx); err != nil {
		return 0, err
	}
	n := 0
	for _, info := range r.infos {
		uids, err := uidsIn(ctx, store, info.Name)
		if err != nil && !errors.Is(err, mailbox.ErrNoMailbox) && !r.leaveOut(ctx, err) {
			return 0, err
		}
		n += len(uids)
	}
	return n, nil
}

// uidsIn are those of a mailbox.
func uidsIn(ctx context.Context, store mailbox.Store, name string) ([]mailbox.UID, error) {
	box, err := store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	uids, _, err := box.UIDs(ctx)
	return uids, errors.Join(err, box.Close())
}

// Close implements Reader.
func (r *storeReader) Close() error {
	err := r.closeContent()
	if r.box != nil {
		err = errors.Join(err, r.box.Close())
		r.box = nil
	}
	return err
}

func (r *storeReader) closeContent() error {
	if r.open == nil {
		return nil
	}
	c := r.open
	r.open = nil
	return c.Close()
}

// Next implements Reader.
func (r *storeReader) Next(ctx context.Context) (Entry, error) {
	if err := r.closeContent(); err != nil {
		return Entry{}, err
	}
	if !r.begun {
		r.begun = true
		return r.begin(ctx)
	}
	for {
		if r.box != nil {
			if e, ok, err := r.nextMessage(ctx); ok || err != nil {
				return e, err
			}
		}
		if len(r.infos) == 0 {
			return Entry{}, io.EOF
		}
		info := r.infos[0]
		r.infos = r.infos[1:]
		e, ok, err := r.enter(ctx, info)
		if err != nil && r.leaveOut(ctx, err) {
			r.leaveOutRest(info.Name, err)
			continue
		}
		if ok || err != nil {
			return e, err
		}
	}
}

// begin lists the mailboxes and gives what belongs to the account.
func (r *storeReader) begin(ctx context.Context) (Entry, error) {
	infos, err := r.store.List(ctx)
	if err != nil {
		return Entry{}, fmt.Errorf("archive: list: %w", err)
	}
	slices.SortFunc(infos, func(a, b mailbox.Info) int { return strings.Compare(a.Name, b.Name) })
	account := &Account{}
	wanted := map[string]bool{}
	for _, name := range r.opts.Mailboxes {
		clean, err := mailbox.CleanName(name)
		if err != nil {
			return Entry{}, err
		}
		wanted[clean] = true
	}
	found := map[string]bool{}
	for _, info := range infos {
		switch {
		case len(wanted) > 0 && !wanted[info.Name]:
		case info.NonExistent || info.NoSelect:
			if info.Subscribed && len(wanted) == 0 {
				account.Subscriptions = append(account.Subscriptions, info.Name)
			}
		default:
			found[info.Name] = true
			r.infos = append(r.infos, info)
		}
	}
	for name := range wanted {
		if !found[name] {
			return Entry{}, fmt.Errorf("%w: %.100q", mailbox.ErrNoMailbox, name)
		}
	}
	if len(wanted) == 0 {
		if account.Annotations, err = annotations(ctx, r.store, ""); err != nil {
			return Entry{}, err
		}
	}
	return Entry{Account: account}, nil
}

func annotations(ctx context.Context, store mailbox.Store, name string) ([]mailbox.Annotation, error) {
	a, ok := store.(mailbox.Annotator)
	if !ok {
		return nil, nil
	}
	list, err := a.Annotations(ctx, name)
	switch {
	case errors.Is(err, mailbox.ErrNoMailbox) || err == nil && len(list) == 0:
		return nil, nil // if it is gone, opening it tells
	case err != nil:
		return nil, fmt.Errorf("archive: annotations of %.100q: %w", name, err)
	}
	return list, nil
}

// enter opens a mailbox; ok is false if it is gone.
func (r *storeReader) enter(ctx context.Context, info mailbox.Info) (e Entry, ok bool, err error) {
	if r.box != nil {
		err := r.box.Close()
		r.box = nil
		if err != nil {
			return Entry{}, false, err
		}
	}
	notes, err := annotations(ctx, r.store, info.Name)
	if err != nil {
		return Entry{}, false, err
	}
	r.box, err = r.store.Open(ctx, info.Name)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		r.box = nil
		return Entry{}, false, nil
	}
	if err != nil {
		r.box = nil
		return Entry{}, false, fmt.Errorf("archive: mailbox %.100q: %w", info.Name, err)
	}
	status, err := r.box.Status(ctx)
	if err == nil {
		r.uids, _, err = r.box.UIDs(ctx)
	}
	if err != nil {
		return Entry{}, false, fmt.Errorf("archive: mailbox %.100q: %w", info.Name, err)
	}
	r.name, r.metas = info.Name, nil
	return Entry{Mailbox: &Mailbox{
		Name: info.Name, ID: status.ID, UIDValidity: status.UIDValidity, UIDNext: status.UIDNext, ModSeq: status.ModSeq,
		Uses: info.Uses, Subscribed: info.Subscribed, Annotations: notes,
	}}, true, nil
}

// nextMessage gives the next message that is still there; ok is false at the mailbox's end.
func (r *storeReader) nextMessage(ctx context.Context) (e Entry, ok bool, err error) {
	for {
		for len(r.metas) == 0 {
			if len(r.uids) == 0 {
				return Entry{}, false, nil
			}
			n := min(metaBatch, len(r.uids))
			r.metas, err = r.box.Messages(ctx, r.uids[:n])
			if err != nil && r.leaveOut(ctx, err) {
				r.leaveOutRest(r.name, err)
				return Entry{}, false, nil
			}
			if err != nil {
				return Entry{}, false, fmt.Errorf("archive: mailbox %.100q: %w", r.name, err)
			}
			r.uids = r.uids[n:]
		}
		meta := r.metas[0]
		r.metas = r.metas[1:]
		where := fmt.Sprintf("mailbox %.100q, UID %d", r.name, meta.UID)
		r.open, err = r.box.Content(ctx, meta.UID)
		if errors.Is(err, mailbox.ErrExpunged) {
			r.open = nil
			continue
		}
		var content io.Reader
		if err == nil {
			content, err = r.content()
		} else {
			r.open = nil
		}
		if err != nil && r.leaveOut(ctx, err) {
			if err := r.closeContent(); err != nil {
				return Entry{}, false, err
			}
			r.opts.Unreadable(where, err)
			continue
		}
		if err != nil {
			return Entry{}, false, fmt.Errorf("archive: %s: %w", where, err)
		}
		return Entry{Message: &Message{
			UID: meta.UID, ModSeq: meta.ModSeq, Flags: meta.Flags, InternalDate: meta.InternalDate, SaveDate: meta.SaveDate,
			Size: r.open.Size(), Content: content, Where: where,
		}}, true, nil
	}
}

// content is what is in the open message. Where unreadable messages are left out it is read once before, as there is no way back
// once a writer has begun with it.
func (r *storeReader) content() (io.Reader, error) {
	size := r.open.Size()
	content := io.NewSectionReader(r.open, 0, size)
	if r.opts.Unreadable == nil {
		return content, nil
	}
	if size <= readAhead {
		if cap(r.buf) < int(size) {
			r.buf = make([]byte, readAhead)
		}
		_, err := io.ReadFull(content, r.buf[:size])
		return bytes.NewReader(r.buf[:size]), err
	}
	n, err := io.Copy(io.Discard, content)
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return io.NewSectionReader(r.open, 0, size), err
}

// leaveOutRest leaves out what is still to come of a mailbox.
func (r *storeReader) leaveOutRest(name string, err error) {
	r.uids, r.metas = nil, nil
	r.opts.Unreadable(fmt.Sprintf("mailbox %.100q", name), err)
}

// leaveOut says whether a message or mailbox is left out as it cannot be read.
func (r *storeReader) leaveOut(ctx context.Context, err error) bool {
	return r.opts.Unreadable != nil && ctx.Err() == nil && !errors.Is(err, mailbox.ErrLocked) && !errors.Is(err, mailbox.ErrNoMailbox) &&
		!errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE)
}

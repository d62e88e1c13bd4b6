package archive

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

// ImportOptions are for IntoStore. The zero value is good.
type ImportOptions struct {
	// Under is a mailbox that all others come below, such as "Old account"; empty: they come where they were.
	Under string
	// Again has messages put in that are there already.
	Again bool
	// TempDir is as in Options.
	TempDir string
	// Imported is told of each message that was put in, with its UID in the archive (0 if that is not known) and its new
	// one; nil: nobody is.
	Imported func(name string, from, to mailbox.UID)
}

// storeWriter puts mail into a store.
type storeWriter struct {
	store mailbox.Store
	opts  ImportOptions

	infos map[string]mailbox.Info // as they were, and what was made since
	name  string
	box   mailbox.Mailbox // open now, or nil
	known []known         // what is in it, sorted by size and date
	spool spool
}

// known is a message that was there before.
type known struct {
	size, date int64
	uid        mailbox.UID
	used       bool // it stands for one of the archive already
}

func (k known) compare(other known) int {
	return cmp.Or(cmp.Compare(k.size, other.size), cmp.Compare(k.date, other.date), cmp.Compare(k.uid, other.uid))
}

// IntoStore puts mail into an account. Mailboxes that are missing are made, with the first of their uses that no mailbox of the
// account has yet; subscriptions and annotations are added where there are none, and messages that are not there already (see the
// package comment) get new UIDs. Flags of messages that are there stay. Each message is stored when Write returns; Finish does
// nothing. Keywords that no store can have are left out. Closing the Writer does not close the store.
func IntoStore(store mailbox.Store, opts ImportOptions) Writer {
	return &storeWriter{store: store, opts: opts}
}

// Finish implements Writer.
func (w *storeWriter) Finish() error { return nil }

// Close implements Writer.
func (w *storeWriter) Close() error {
	w.spool.Close()
	if w.box == nil {
		return nil
	}
	box := w.box
	w.box = nil
	return box.Close()
}

// Write implements Writer.
func (w *storeWriter) Write(ctx context.Context, e Entry) (bool, error) {
	if err := w.begin(ctx); err != nil {
		return false, err
	}
	switch {
	case e.Account != nil:
		return true, w.account(ctx, e.Account)
	case e.Mailbox != nil:
		return true, w.enter(ctx, e.Mailbox)
	case e.Message != nil:
		return w.message(ctx, e.Message)
	}
	return false, nil
}

func (w *storeWriter) begin(ctx context.Context) error {
	if w.infos != nil {
		return nil
	}
	infos, err := w.store.List(ctx)
	if err != nil {
		return err
	}
	w.infos = make(map[string]mailbox.Info, len(infos))
	for _, info := range infos {
		w.infos[info.Name] = info
	}
	return nil
}

// target is the mailbox that one of the archive becomes.
func (w *storeWriter) target(name string) (string, error) {
	if w.opts.Under != "" {
		name = w.opts.Under + mailbox.Delimiter + name
	}
	return mailbox.CleanName(name)
}

func (w *storeWriter) account(ctx context.Context, a *Account) error {
	if w.opts.Under == "" {
		if err := w.annotate(ctx, "", a.Annotations); err != nil {
			return err
		}
	}
	for _, name := range a.Subscriptions {
		name, err := w.target(name)
		if err != nil {
			return err
		}
		if err := w.subscribe(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (w *storeWriter) subscribe(ctx context.Context, name string) error {
	organizer, ok := w.store.(mailbox.Organizer)
	if !ok || w.infos[name].Subscribed {
		return nil
	}
	return organizer.Subscribe(ctx, name, true)
}

// annotate adds annotations that are not there.
func (w *storeWriter) annotate(ctx context.Context, name string, list []mailbox.Annotation) error {
	annotator, ok := w.store.(mailbox.Annotator)
	if !ok || len(list) == 0 {
		return nil
	}
	have, err := annotator.Annotations(ctx, name)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(slices.Clone(list), func(a mailbox.Annotation) bool {
		return slices.ContainsFunc(have, func(h mailbox.Annotation) bool { return h.Entry == a.Entry })
	})
	if len(list) == 0 {
		return nil
	}
	return annotator.Annotate(ctx, name, list)
}

// enter opens a mailbox, and makes it if need be.
func (w *storeWriter) enter(ctx context.Context, m *Mailbox) error {
	if w.box != nil {
		err := w.box.Close()
		w.box = nil
		if err != nil {
			return err
		}
	}
	name, err := w.target(m.Name)
	if err != nil {
		return err
	}
	box, err := w.store.Open(ctx, name)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		if err = w.create(ctx, name, m.Uses); err == nil {
			box, err = w.store.Open(ctx, name)
		}
	}
	if err != nil {
		return err
	}
	w.name, w.box = name, box
	if m.Subscribed {
		if err := w.subscribe(ctx, name); err != nil {
			return err
		}
	}
	if err := w.annotate(ctx, name, m.Annotations); err != nil {
		return err
	}
	return w.learn(ctx)
}

// create makes a mailbox, with a use that none has yet.
func (w *storeWriter) create(ctx context.Context, name string, uses []mailbox.Use) error {
	organizer, ok := w.store.(mailbox.Organizer)
	if !ok {
		return fmt.Errorf("%w: %.100q, and this store makes none", mailbox.ErrNoMailbox, name)
	}
	info := mailbox.Info{Name: name}
	for _, use := range uses {
		if !w.used(use) {
			info.Uses = []mailbox.Use{use}
			break
		}
	}
	use := mailbox.Use("")
	if len(info.Uses) > 0 {
		use = info.Uses[0]
	}
	if err := organizer.Create(ctx, name, use); err != nil {
		return err
	}
	w.infos[name] = info
	return nil
}

func (w *storeWriter) used(use mailbox.Use) bool {
	for _, info := range w.infos {
		if slices.Contains(info.Uses, use) {
			return true
		}
	}
	return false
}

// learn looks at what is in the mailbox.
func (w *storeWriter) learn(ctx context.Context) error {
	w.known = w.known[:0]
	if w.opts.Again {
		return nil
	}
	uids, _, err := w.box.UIDs(ctx)
	if err != nil {
		return err
	}
	w.known = slices.Grow(w.known, len(uids))
	for batch := range slices.Chunk(uids, metaBatch) {
		metas, err := w.box.Messages(ctx, batch)
		if err != nil {
			return err
		}
		for _, m := range metas {
			w.known = append(w.known, known{size: m.Size, date: m.InternalDate.Unix(), uid: m.UID})
		}
	}
	slices.SortFunc(w.known, known.compare)
	return nil
}

// alike are the messages that were there with this size and date.
func (w *storeWriter) alike(m *Message) []known {
	from, _ := slices.BinarySearchFunc(w.known, known{size: m.Size, date: m.InternalDate.Unix()}, known.compare)
	to := from
	for to < len(w.known) && w.known[to].size == m.Size && w.known[to].date == m.InternalDate.Unix() {
		to++
	}
	return w.known[from:to]
}

func (w *storeWriter) message(ctx context.Context, m *Message) (bool, error) {
	if w.box == nil {
		return false, fmt.Errorf("%w: message without a mailbox", ErrFormat)
	}
	content := io.Reader(&exact{m.Content, m.Size})
	if alike := w.alike(m); len(alike) > 0 && !m.InternalDate.IsZero() {
		w.spool.reset()
		w.spool.dir, w.spool.max = w.opts.TempDir, m.Size
		hash := sha256.New()
		if _, err := io.Copy(io.MultiWriter(&w.spool, hash), content); err != nil {
			return false, err
		}
		if there, err := w.present(ctx, alike, hash.Sum(nil)); there || err != nil {
			return false, err
		}
		content = w.spool.reader()
	}
	flags := cleanFlags(m.Flags)
	uid, err := w.box.Append(ctx, content, mailbox.AppendOptions{Flags: flags, InternalDate: m.InternalDate, Size: m.Size})
	if err != nil {
		return false, err
	}
	if w.opts.Imported != nil {
		w.opts.Imported(w.name, m.UID, uid)
	}
	return true, nil
}

// cleanFlags leaves out what no store takes.
func cleanFlags(flags []mailbox.Flag) []mailbox.Flag {
	var out []mailbox.Flag
	for _, f := range flags {
		if clean, err := mailbox.CleanFlags([]mailbox.Flag{f}); err == nil && !mailbox.HasFlag(out, f) {
			out = append(out, clean...)
		}
	}
	return out
}

// present says whether one of the messages has this content, and marks it used.
func (w *storeWriter) present(ctx context.Context, alike []known, sum []byte) (bool, error) {
	for i := range alike {
		if alike[i].used {
			continue
		}
		c, err := w.box.Content(ctx, alike[i].uid)
		if errors.Is(err, mailbox.ErrExpunged) {
			alike[i].used = true
			continue
		}
		if err != nil {
			return false, err
		}
		hash := sha256.New()
		_, err = io.Copy(hash, io.NewSectionReader(c, 0, c.Size()))
		if err := errors.Join(err, c.Close()); err != nil {
			return false, err
		}
		if bytes.Equal(hash.Sum(nil), sum) {
			alike[i].used = true
			return true, nil
		}
	}
	return false, nil
}

package archive

import (
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

// IntoStore puts mail into an account. Mailboxes that are missing are made, with the first of their uses that the store knows
// and no mailbox of the account has yet; subscriptions and annotations are added where there are none, and messages that are not there already (see the
// package comment) get new UIDs. Flags of messages that are there stay. Each message is stored when Write returns; Finish does
// nothing. Keywords that the store refuses are left out. Closing the Writer does not close the store.
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

// create makes a mailbox, with the first use that none has yet and that the store knows.
func (w *storeWriter) create(ctx context.Context, name string, uses []mailbox.Use) error {
	organizer, ok := w.store.(mailbox.Organizer)
	if !ok {
		return fmt.Errorf("%w: %.100q, and this store makes none", mailbox.ErrNoMailbox, name)
	}
	uses = slices.DeleteFunc(slices.Clone(uses), func(use mailbox.Use) bool { return use == "" || w.used(use) })
	info := mailbox.Info{Name: name}
	for _, use := range append(uses, "") {
		err := organizer.Create(ctx, name, use)
		if errors.Is(err, mailbox.ErrNotAllowed) && use != "" { // this store does not know it
			continue
		}
		if err != nil {
			return err
		}
		if use != "" {
			info.Uses = []mailbox.Use{use}
		}
		break
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

func (w *storeWriter) message(ctx context.Context, m *Message) (bool, error) {
	if w.box == nil {
		return false, fmt.Errorf("%w: message without a mailbox", ErrFormat)
	}
	content := io.Reader(&exact{m.Content, m.Size})
	w.spool.reset()
	w.spool.dir, w.spool.max = w.opts.TempDir, m.Size
	if alike := w.alike(m); len(alike) > 0 && !m.InternalDate.IsZero() {
		hash := sha256.New()
		if _, err := io.Copy(io.MultiWriter(&w.spool, hash), content); err != nil {
			return false, err
		}
		if there, err := w.present(ctx, alike, hash.Sum(nil)); there || err != nil {
			return false, err
		}
	}
	uid, err := w.put(ctx, content, m)
	if err != nil {
		return false, err
	}
	if w.opts.Imported != nil {
		w.opts.Imported(w.name, m.UID, uid)
	}
	return true, nil
}

// put stores a message: what the spool has of it, and then the rest. Keywords that this store refuses are left out.
func (w *storeWriter) put(ctx context.Context, rest io.Reader, m *Message) (mailbox.UID, error) {
	flags := cleanFlags(m.Flags)
	system, keywords := split(flags)
	opts := mailbox.AppendOptions{Flags: flags, InternalDate: m.InternalDate, Size: m.Size}
	content := rest
	if w.spool.size > 0 {
		content = io.MultiReader(w.spool.reader(), rest)
	} else if len(keywords) > 0 { // it may be needed once more
		content = io.TeeReader(rest, &w.spool)
	}
	uid, err := w.box.Append(ctx, content, opts)
	if !errors.Is(err, mailbox.ErrFlags) || len(keywords) == 0 {
		return uid, err
	}
	opts.Flags = system
	if uid, err = w.box.Append(ctx, io.MultiReader(w.spool.reader(), rest), opts); err != nil {
		return 0, err
	}
	for _, keyword := range keywords {
		change := mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{keyword}}
		if _, err := w.box.SetFlags(ctx, []mailbox.UID{uid}, change); err != nil && !errors.Is(err, mailbox.ErrFlags) {
			return 0, err
		}
	}
	return uid, nil
}

func split(flags []mailbox.Flag) (system, keywords []mailbox.Flag) {
	for _, f := range flags {
		if f.System() {
			system = append(system, f)
		} else {
			keywords = append(keywords, f)
		}
	}
	return system, keywords
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

package mailboxtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// lens changes what a mailbox tells, everywhere in the same way.
type lens struct {
	*box
	meta   func(*mailbox.Meta)
	status func(*mailbox.Status)
}

func (l *lens) metas(metas []mailbox.Meta) {
	for i := range metas {
		if l.meta != nil {
			metas[i].Flags = slices.Clone(metas[i].Flags)
			l.meta(&metas[i])
		}
	}
}

func (l *lens) Status(ctx context.Context) (mailbox.Status, error) {
	st, err := l.box.Status(ctx)
	if err == nil && l.status != nil {
		l.status(&st)
	}
	return st, err
}

func (l *lens) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	metas, err := l.box.Messages(ctx, uids)
	l.metas(metas)
	return metas, err
}

func (l *lens) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	metas, err := l.box.SetFlags(ctx, uids, change)
	l.metas(metas)
	return metas, err
}

func (l *lens) Changes(ctx context.Context, since mailbox.ModSeq) (mailbox.Changes, error) {
	c, err := l.box.Changes(ctx, since)
	l.metas(c.Changed)
	c.Changed = slices.DeleteFunc(c.Changed, func(m mailbox.Meta) bool { return m.ModSeq <= since })
	return c, err
}

func key(b *box, what string, uid mailbox.UID) string { return what + b.id + "/" + string(rune(uid)) }

func lastPlusOne(b *box) func(*mailbox.Status) {
	return func(st *mailbox.Status) {
		uids, _, _ := b.UIDs(context.Background())
		st.UIDNext = 1
		if len(uids) > 0 {
			st.UIDNext = uids[len(uids)-1] + 1
		}
	}
}

func standsStill(b *box) func(*mailbox.Meta) {
	return func(m *mailbox.Meta) {
		m.ModSeq = mailbox.ModSeq(b.account.first(key(b, "modseq", m.UID), int64(m.ModSeq)))
	}
}

func lowerCase(m *mailbox.Meta) {
	for i, f := range m.Flags {
		if !f.System() {
			m.Flags[i] = mailbox.Flag(strings.ToLower(string(f)))
		}
	}
}

func sameValidity(b *box) func(*mailbox.Status) {
	return func(st *mailbox.Status) {
		st.UIDValidity = uint32(b.account.first("validity"+b.name, int64(st.UIDValidity)))
	}
}

type lostFlag struct{ *box }

func (b *lostFlag) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	if len(uids) == 0 || b.account.count("flags")%2 != 0 {
		return b.box.SetFlags(ctx, uids, change)
	}
	metas, err := b.box.SetFlags(ctx, uids, mailbox.FlagChange{Op: mailbox.AddFlags})
	for i := range metas {
		if change.UnchangedSince == 0 || metas[i].ModSeq <= change.UnchangedSince {
			metas[i].Flags = change.Apply(metas[i].Flags)
			metas[i].ModSeq++
		}
	}
	return metas, err
}

type heedless struct{ *box }

func (b *heedless) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	change.UnchangedSince = 0
	return b.box.SetFlags(ctx, uids, change)
}

type racyFlags struct{ *box }

func (b *racyFlags) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	if len(uids) != 1 || change.UnchangedSince != 0 {
		return b.box.SetFlags(ctx, uids, change)
	}
	metas, err := b.Messages(ctx, uids)
	if err != nil || len(metas) == 0 {
		return nil, err
	}
	runtime.Gosched()
	return b.box.SetFlags(ctx, uids, mailbox.FlagChange{Flags: change.Apply(metas[0].Flags)})
}

type racyMove struct{ *box }

func (b *racyMove) Move(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	copied, err := b.Copy(ctx, uids, dest)
	if err != nil {
		return copied, err
	}
	time.Sleep(50 * time.Microsecond)
	_, err = b.Expunge(ctx, copied.Source)
	return copied, err
}

type wrongModSeq struct{ *box }

func (b *wrongModSeq) Changes(ctx context.Context, since mailbox.ModSeq) (mailbox.Changes, error) {
	c, err := b.box.Changes(ctx, since)
	for i := range c.Changed {
		c.Changed[i].ModSeq = c.ModSeq
	}
	return c, err
}

// goesBack tells modseqs that are two less for each restart.
type goesBack struct{ *box }

func (b *goesBack) less() mailbox.ModSeq { return mailbox.ModSeq(2 * b.account.get("restarts")) }

func (b *goesBack) Status(ctx context.Context) (mailbox.Status, error) {
	st, err := b.box.Status(ctx)
	st.ModSeq -= min(st.ModSeq, b.less())
	return st, err
}

func (b *goesBack) UIDs(ctx context.Context) ([]mailbox.UID, mailbox.ModSeq, error) {
	uids, seq, err := b.box.UIDs(ctx)
	return uids, seq - min(seq, b.less()), err
}

func (b *goesBack) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	metas, err := b.box.Messages(ctx, uids)
	b.metas(metas)
	return metas, err
}

func (b *goesBack) metas(metas []mailbox.Meta) {
	for i := range metas {
		metas[i].ModSeq -= min(metas[i].ModSeq, b.less())
	}
}

func (b *goesBack) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	if change.UnchangedSince != 0 {
		change.UnchangedSince += b.less()
	}
	metas, err := b.box.SetFlags(ctx, uids, change)
	b.metas(metas)
	return metas, err
}

func (b *goesBack) Changes(ctx context.Context, since mailbox.ModSeq) (mailbox.Changes, error) {
	c, err := b.box.Changes(ctx, since+b.less())
	c.ModSeq -= min(c.ModSeq, b.less())
	b.metas(c.Changed)
	return c, err
}

type missedExpunge struct{ *box }

func (b *missedExpunge) Changes(ctx context.Context, since mailbox.ModSeq) (mailbox.Changes, error) {
	c, err := b.box.Changes(ctx, since)
	c.Expunged = slices.DeleteFunc(c.Expunged, func(uid mailbox.UID) bool { return uid%3 == 0 })
	return c, err
}

// ghost tells now and then of a message that is gone.
type ghost struct{ *box }

func (b *ghost) Changes(ctx context.Context, since mailbox.ModSeq) (mailbox.Changes, error) {
	c, err := b.box.Changes(ctx, since)
	if err == nil && c.ModSeq > since && len(c.Expunged) > 0 && b.account.count("changes")%7 == 0 {
		uid := c.Expunged[len(c.Expunged)-1]
		c.Expunged = c.Expunged[:len(c.Expunged)-1]
		c.Changed = append(c.Changed, mailbox.Meta{UID: uid, ModSeq: c.ModSeq})
		slices.SortFunc(c.Changed, func(x, y mailbox.Meta) int { return int(x.UID) - int(y.UID) })
	}
	return c, err
}

type doubled struct{ *box }

func (b *doubled) Copy(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	copied, err := b.box.Copy(ctx, uids, dest)
	if len(copied.Source) > 0 {
		_, _ = b.box.Copy(ctx, copied.Source[:1], dest)
	}
	return copied, err
}

type halfCopy struct{ *box }

func (b *halfCopy) Copy(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	copied, err := b.box.Copy(ctx, uids, dest)
	for n := len(uids) - 1; err != nil && n > 0; n-- {
		if _, half := b.box.Copy(ctx, uids[:n], dest); half == nil {
			break
		}
	}
	return copied, err
}

type neighbour struct{ *box }

func (b *neighbour) Expunge(ctx context.Context, uids []mailbox.UID) ([]mailbox.UID, error) {
	there, _, err := b.UIDs(ctx)
	if err != nil {
		return nil, err
	}
	for _, uid := range uids {
		if i, ok := slices.BinarySearch(there, uid); !ok && len(there) > 0 {
			uids = append(uids[:len(uids):len(uids)], there[min(i, len(there)-1)])
		}
	}
	return b.box.Expunge(ctx, uids)
}

type shortAppend struct{ *box }

func (b *shortAppend) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	opts.Size = -1
	return b.box.Append(ctx, r, opts)
}

type cutContent struct{ *box }

func (b *cutContent) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	c, err := b.box.Content(ctx, uid)
	return &cut{c, b, uid}, err
}

type cut struct {
	mailbox.Content
	b   *cutContent
	uid mailbox.UID
}

func (c *cut) ReadAt(p []byte, off int64) (int, error) {
	if metas, err := c.b.Messages(context.Background(), []mailbox.UID{c.uid}); err != nil || len(metas) == 0 {
		return 0, mailbox.ErrExpunged
	}
	return c.Content.ReadAt(p, off)
}

// oldDate gives copies the save dates of their sources.
type oldDate struct{ *box }

func (b *oldDate) Copy(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	before, err := b.Messages(ctx, uids)
	if err != nil {
		return mailbox.Copied{}, err
	}
	copied, err := b.box.Copy(ctx, uids, dest)
	for i, uid := range copied.Dest {
		b.account.first("saved in "+dest+string(rune(uid)), before[i].SaveDate.UnixNano())
	}
	return copied, err
}

func (b *oldDate) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	metas, err := b.box.Messages(ctx, uids)
	for i, m := range metas {
		if at := b.account.get("saved in " + b.name + string(rune(m.UID))); at != 0 {
			metas[i].SaveDate = time.Unix(0, at)
		}
	}
	return metas, err
}

type countedExpunge struct{ *box }

func (b *countedExpunge) Expunge(ctx context.Context, uids []mailbox.UID) ([]mailbox.UID, error) {
	gone, err := b.box.Expunge(ctx, uids)
	b.account.note("expunged", func(n int64) int64 { return n + int64(len(gone)) })
	return gone, err
}

type oneSummary struct{ *box }

func (b *oneSummary) Summaries(ctx context.Context, uids []mailbox.UID) ([]mailbox.Summary, error) {
	all, err := b.box.Summaries(ctx, uids)
	for i := range all {
		all[i].Data = all[0].Data
	}
	return all, err
}

// sleepy wakes only for what comes and goes.
type sleepy struct{ *box }

func (b *sleepy) Watch(wake chan<- struct{}) func() {
	return forward(b.box, wake, func() bool {
		_, seq, _ := b.UIDs(context.Background())
		c, err := b.Changes(context.Background(), seq-1)
		return err != nil || len(c.Expunged) > 0 || fresh(c)
	})
}

// forward watches a mailbox and passes on the wake-ups that are to pass.
func forward(b *box, wake chan<- struct{}, pass func() bool) (stop func()) {
	inner, done := make(chan struct{}, 1), make(chan struct{})
	stopInner := b.Watch(inner)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-inner:
			}
			if !pass() {
				continue
			}
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}()
	return sync.OnceFunc(func() {
		stopInner()
		close(done)
	})
}

// fresh says whether a message has no flags, as one that has just come.
func fresh(c mailbox.Changes) bool {
	return slices.ContainsFunc(c.Changed, func(m mailbox.Meta) bool { return len(m.Flags) == 0 })
}

type restless struct{ *box }

func (b *restless) Watch(wake chan<- struct{}) func() {
	b.box.Watch(wake)
	return func() {}
}

func loseLast(a *account) {
	b, err := a.Store().Open(context.Background(), mailbox.Inbox)
	if err != nil {
		return
	}
	if uids, _, err := b.UIDs(context.Background()); err == nil && len(uids) > 0 {
		_, _ = b.Expunge(context.Background(), uids[len(uids)-1:])
	}
}

func loseFlag(a *account) {
	b, err := a.Store().Open(context.Background(), mailbox.Inbox)
	if err != nil {
		return
	}
	uids, _, _ := b.UIDs(context.Background())
	_, _ = b.SetFlags(context.Background(), uids, mailbox.FlagChange{Op: mailbox.RemoveFlags, Flags: []mailbox.Flag{mailbox.Seen, "Kw"}})
}

type cString struct{ *box }

func (b *cString) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	data, err := io.ReadAll(r)
	if err != nil || opts.Size >= 0 && int64(len(data)) != opts.Size {
		return b.box.Append(ctx, bytes.NewReader(nil), mailbox.AppendOptions{Size: 1})
	}
	data, _, _ = bytes.Cut(data, []byte{0})
	opts.Size = -1
	return b.box.Append(ctx, bytes.NewReader(data), opts)
}

// byName looks for the mailbox by its name whenever it is used.
type byName struct{ *box }

func (b *byName) Status(ctx context.Context) (mailbox.Status, error) {
	m, err := b.session.Open(ctx, b.name)
	if err != nil {
		return mailbox.Status{}, err
	}
	return m.(*byName).box.Status(ctx)
}

type alwaysRecent struct{ *box }

func (b *alwaysRecent) TakeRecent(ctx context.Context) (mailbox.UID, error) { return 1, nil }

type guessedUID struct{ *box }

func (b *guessedUID) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	if _, err := b.box.Append(ctx, r, opts); err != nil {
		return 0, err
	}
	time.Sleep(100 * time.Microsecond)
	uids, _, err := b.UIDs(ctx)
	if len(uids) == 0 {
		return 1, err
	}
	return uids[len(uids)-1], err
}

type noFile struct{ *box }

func (b *noFile) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	if b.account.get(key(b.box, "lost", uid)) != 0 {
		return nil, errors.New("no such file")
	}
	return b.box.Content(ctx, uid)
}

type staysPut struct{ *box }

func (b *staysPut) Move(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	if dest != b.name {
		return b.box.Move(ctx, uids, dest)
	}
	metas, err := b.Messages(ctx, uids)
	st, _ := b.Status(ctx)
	out := mailbox.Copied{UIDValidity: st.UIDValidity}
	for _, m := range metas {
		out.Source, out.Dest = append(out.Source, m.UID), append(out.Dest, m.UID)
	}
	return out, err
}

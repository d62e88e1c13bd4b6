package mailboxtest_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
)

// This file has the bugs of stores, and the one of mailboxes that needs most room.

func idOfName(name string) string { return "n" + hex.EncodeToString([]byte(name)) }

type namedIDs struct{ *session }

func (s *namedIDs) List(ctx context.Context) ([]mailbox.Info, error) {
	infos, err := s.session.List(ctx)
	for i := range infos {
		if infos[i].ID != "" {
			infos[i].ID = idOfName(infos[i].Name)
		}
	}
	return infos, err
}

type losesChild struct{ *session }

func (s *losesChild) Rename(ctx context.Context, from, to string) error {
	if err := s.session.Rename(ctx, from, to); err != nil {
		return err
	}
	infos, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, i := range infos {
		if mailbox.IsBelow(i.Name, to) && !i.NoSelect && !i.NonExistent {
			return s.Delete(ctx, i.Name)
		}
	}
	return nil
}

type unsubscribes struct{ *session }

func (s *unsubscribes) Delete(ctx context.Context, name string) error {
	if err := s.session.Delete(ctx, name); err != nil {
		return err
	}
	return s.Subscribe(ctx, name, false)
}

type oneUse struct{ *session }

func (s *oneUse) List(ctx context.Context) ([]mailbox.Info, error) {
	infos, err := s.session.List(ctx)
	n := 0
	for i := range infos {
		if len(infos[i].Uses) > 0 {
			if n++; n > 1 {
				infos[i].Uses = nil
			}
		}
	}
	return infos, err
}

type fullForEver struct{ *session }

func (s *fullForEver) Quota(ctx context.Context) (mailbox.Quota, error) {
	q, err := s.session.Quota(ctx)
	q.Used.Messages += s.account.get("expunged")
	return q, err
}

// inherits has one place for the annotations of a mailbox and those below it.
type inherits struct{ *session }

func (s *inherits) top(ctx context.Context, name string) string {
	top, _, below := strings.Cut(name, mailbox.Delimiter)
	if b, err := s.Open(ctx, top); below && err == nil {
		_ = b.Close()
		return top
	}
	return name
}

func (s *inherits) Annotations(ctx context.Context, name string) ([]mailbox.Annotation, error) {
	return s.session.Annotations(ctx, s.top(ctx, name))
}

func (s *inherits) Annotate(ctx context.Context, name string, changes []mailbox.Annotation) error {
	return s.session.Annotate(ctx, s.top(ctx, name), changes)
}

type oneByOne struct{ *session }

func (s *oneByOne) Annotate(ctx context.Context, name string, changes []mailbox.Annotation) error {
	for _, c := range changes {
		if err := s.session.Annotate(ctx, name, []mailbox.Annotation{c}); err != nil {
			return err
		}
	}
	return nil
}

type forgetful struct{ *session }

func (s *forgetful) WatchAccount(wake chan<- struct{}) mailbox.AccountWatch {
	return &oneName{s.session.WatchAccount(wake)}
}

type oneName struct{ mailbox.AccountWatch }

func (w *oneName) Changed() []string {
	names := w.AccountWatch.Changed()
	return names[:min(1, len(names))]
}

type exactNames struct{ *session }

func (s *exactNames) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	if name != mailbox.Inbox && strings.EqualFold(name, mailbox.Inbox) {
		return nil, mailbox.ErrNoMailbox
	}
	return s.session.Open(ctx, name)
}

type createsAgain struct{ *session }

func (s *createsAgain) Create(ctx context.Context, name string, use mailbox.Use) error {
	err := s.session.Create(ctx, name, use)
	if errors.Is(err, mailbox.ErrExists) {
		return nil
	}
	return err
}

type cleaned struct{ *session }

func (s *cleaned) Create(ctx context.Context, name string, use mailbox.Use) error {
	return s.session.Create(ctx, strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, name), use)
}

type wholeInbox struct{ *session }

func (s *wholeInbox) Rename(ctx context.Context, from, to string) error {
	if err := s.session.Rename(ctx, from, to); err != nil || !strings.EqualFold(from, mailbox.Inbox) {
		return err
	}
	infos, err := s.List(ctx)
	for _, i := range infos {
		if mailbox.IsBelow(i.Name, mailbox.Inbox) && err == nil {
			err = s.session.Rename(ctx, i.Name, to+i.Name[len(mailbox.Inbox):])
		}
	}
	return err
}

type emptyIsNone struct{ *session }

func (s *emptyIsNone) Annotate(ctx context.Context, name string, changes []mailbox.Annotation) error {
	changes = slices.Clone(changes)
	for i := range changes {
		if len(changes[i].Value) == 0 {
			changes[i].Value = nil
		}
	}
	return s.session.Annotate(ctx, name, changes)
}

type endsAll struct{ *session }

func (s *endsAll) Close() error {
	s.account.life.Add(1)
	return s.session.Close()
}

type inboxOnly struct{ *session }

func (s *inboxOnly) WatchAccount(wake chan<- struct{}) mailbox.AccountWatch {
	return &inboxWatch{s.session.WatchAccount(wake)}
}

type inboxWatch struct{ mailbox.AccountWatch }

func (w *inboxWatch) Changed() []string {
	return slices.DeleteFunc(w.AccountWatch.Changed(), func(name string) bool { return name != mailbox.Inbox })
}

// reusing gives a message the UID after the largest that is there: the store's UIDs are real, and those that it shows are
// shown.
type reusing struct{ *box }

// shown gives the UID that a real one is shown as, and shows new ones.
func (b *reusing) shown(ctx context.Context) (toShown, toReal map[mailbox.UID]mailbox.UID, err error) {
	uids, _, err := b.box.UIDs(ctx)
	if err != nil {
		return nil, nil, err
	}
	toShown, toReal = map[mailbox.UID]mailbox.UID{}, map[mailbox.UID]mailbox.UID{}
	last := mailbox.UID(0)
	for _, uid := range uids {
		s := mailbox.UID(b.account.first(key(b.box, "shown", uid), int64(last)+1))
		toShown[uid], toReal[s], last = s, uid, s
	}
	return toShown, toReal, nil
}

func (b *reusing) real(ctx context.Context, uids []mailbox.UID) []mailbox.UID {
	_, toReal, err := b.shown(ctx)
	var out []mailbox.UID
	for _, uid := range uids {
		if real, ok := toReal[uid]; ok && err == nil {
			out = append(out, real)
		}
	}
	return out
}

// metas shows what is there.
func (b *reusing) metas(ctx context.Context, metas []mailbox.Meta) []mailbox.Meta {
	toShown, _, _ := b.shown(ctx)
	for i := range metas {
		metas[i].UID = toShown[metas[i].UID]
	}
	return metas
}

func (b *reusing) list(ctx context.Context, uids []mailbox.UID) []mailbox.UID {
	toShown, _, _ := b.shown(ctx)
	out := make([]mailbox.UID, len(uids))
	for i, uid := range uids {
		out[i] = toShown[uid]
	}
	return out
}

func (b *reusing) Status(ctx context.Context) (mailbox.Status, error) {
	st, err := b.box.Status(ctx)
	if err == nil {
		lastPlusOne(b.box)(&st)
		uids, _, _ := b.box.UIDs(ctx)
		if shown := b.list(ctx, uids); len(shown) > 0 {
			st.UIDNext = shown[len(shown)-1] + 1
		}
	}
	return st, err
}

func (b *reusing) UIDs(ctx context.Context) ([]mailbox.UID, mailbox.ModSeq, error) {
	uids, seq, err := b.box.UIDs(ctx)
	return b.list(ctx, uids), seq, err
}

func (b *reusing) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	metas, err := b.box.Messages(ctx, b.real(ctx, uids))
	return b.metas(ctx, metas), err
}

func (b *reusing) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	uid, err := b.box.Append(ctx, r, opts)
	if err != nil {
		return 0, err
	}
	return b.list(ctx, []mailbox.UID{uid})[0], nil
}

func (b *reusing) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	real := b.real(ctx, []mailbox.UID{uid})
	if len(real) == 0 {
		return nil, mailbox.ErrExpunged
	}
	return b.box.Content(ctx, real[0])
}

func (b *reusing) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	metas, err := b.box.SetFlags(ctx, b.real(ctx, uids), change)
	return b.metas(ctx, metas), err
}

func (b *reusing) Expunge(ctx context.Context, uids []mailbox.UID) ([]mailbox.UID, error) {
	real := b.real(ctx, uids)
	shown := b.list(ctx, real)
	_, err := b.box.Expunge(ctx, real)
	return shown, err
}

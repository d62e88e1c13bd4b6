package mailboxtest_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// lockedAppend holds the account's lock while it reads.
type lockedAppend struct{ *box }

func (b *lockedAppend) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	b.account.lock.Lock()
	defer b.account.lock.Unlock()
	return b.box.Append(ctx, r, opts)
}

func (b *lockedAppend) Status(ctx context.Context) (mailbox.Status, error) {
	b.account.lock.Lock()
	defer b.account.lock.Unlock()
	return b.box.Status(ctx)
}

// earlyQuota looks at the quota before it reads a message, and not again.
type earlyQuota struct{ *box }

func (b *earlyQuota) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	used := b.account.Used()
	if !b.account.limit.Allows(mailbox.Usage{Octets: used.Octets + opts.Size, Messages: used.Messages + 1}) {
		return 0, mailbox.ErrQuota
	}
	return b.box.Append(ctx, r, opts)
}

// exactTime keeps more of a date than whole seconds.
type exactTime struct{ *box }

func (b *exactTime) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	uid, err := b.box.Append(ctx, r, opts)
	if err == nil && !opts.InternalDate.IsZero() {
		b.account.first(key(b.box, "nanoseconds", uid), int64(opts.InternalDate.Nanosecond()))
	}
	return uid, err
}

func (b *exactTime) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	metas, err := b.box.Messages(ctx, uids)
	for i, m := range metas {
		metas[i].InternalDate = m.InternalDate.Add(time.Duration(b.account.get(key(b.box, "nanoseconds", m.UID))))
	}
	return metas, err
}

// exactNow does so where it takes the date from the clock.
type exactNow struct{ *box }

func (b *exactNow) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	uid, err := b.box.Append(ctx, r, opts)
	if err == nil && opts.InternalDate.IsZero() {
		b.account.first(key(b.box, "nanoseconds", uid), 1000)
	}
	return uid, err
}

func (b *exactNow) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	return (&exactTime{b.box}).Messages(ctx, uids)
}

// quietEnd wakes nobody when the mailbox is deleted.
type quietEnd struct{ *box }

func (b *quietEnd) Watch(wake chan<- struct{}) func() {
	return forward(b.box, wake, func() bool {
		_, err := b.Status(context.Background())
		return !errors.Is(err, mailbox.ErrNoMailbox)
	})
}

// exactDest takes the name of INBOX as it is written.
type exactDest struct{ *box }

func (b *exactDest) Copy(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	if dest != mailbox.Inbox && strings.EqualFold(dest, mailbox.Inbox) {
		return mailbox.Copied{}, mailbox.ErrNoMailbox
	}
	return b.box.Copy(ctx, uids, dest)
}

func (b *exactDest) Move(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	if dest != mailbox.Inbox && strings.EqualFold(dest, mailbox.Inbox) {
		return mailbox.Copied{}, mailbox.ErrNoMailbox
	}
	return b.box.Move(ctx, uids, dest)
}

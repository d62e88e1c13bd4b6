package maildir

import (
	"context"
	"sync"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// deliveries is how many recipients of one message are served at the same time: with more, syncs no longer gain by sharing a
// commit of the file system.
const deliveries = 16

// deliverAll stores the letter for several recipients, with an outcome for each. The file is written and synced once, into
// the tmp of the first mailbox that takes it, and linked into new of the others; only then does it go into new of the first.
// So every name that anybody sees is of a file that is on disk, and each recipient waits for the sync of its own folder.
// Where no link can be made, for whatever reason, the recipient gets a file of its own.
func (l *letter) deliverAll(ctx context.Context, rcpts []mailbricks.Recipient, results mailbricks.Results) {
	parcels := make([]*parcel, len(rcpts))
	someAtOnce(len(rcpts), func(i int) { parcels[i], results[i] = l.parcel(ctx, rcpts[i].Address) })
	defer func() {
		for _, p := range parcels {
			if p != nil {
				p.close()
			}
		}
	}()
	s := share(parcels)
	someAtOnce(len(parcels), func(i int) {
		switch p := parcels[i]; {
		case p == nil:
		case p.base != "":
			results[i] = p.settle(s)
		default:
			results[i] = p.deliver()
		}
	})
}

// share brings one file into new of all mailboxes where that can be done; their parcels have a base then.
func share(parcels []*parcel) *staged {
	var plain []*parcel
	for _, p := range parcels {
		if p != nil && !p.account.vault.encrypted() {
			plain = append(plain, p)
		}
	}
	for len(plain) > 1 {
		first := plain[0]
		plain = plain[1:]
		s, err := first.stage()
		if durable.IsDiskFull(err) {
			return nil // the others find out for themselves
		}
		if err != nil {
			continue
		}
		if !first.account.vault.encrypted() { // it may have become so, and the file with it
			for _, p := range plain {
				p.link(s)
			}
		}
		_ = first.place(s) // if not, it is delivered as if it were alone
		return s
	}
	return nil
}

// link gives what was staged elsewhere a name in new of this parcel's mailbox, if that can be done.
func (p *parcel) link(s *staged) {
	if p.junk {
		var err error
		if p.folder, err = p.account.useFolder(mailbox.UseJunk); err != nil {
			return
		}
	}
	p.base = withSizes(p.maildir.names.next(), s.size, s.crlf)
	if err := p.account.fs().Link(s.temp, p.path()); err != nil {
		p.base = ""
	}
}

// someAtOnce calls do for each of n, some of them at the same time.
func someAtOnce(n int, do func(int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, deliveries)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wg.Wait()
}

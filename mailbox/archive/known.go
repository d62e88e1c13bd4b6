package archive

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

// known is a message that was there before.
type known struct {
	size, date int64
	uid        mailbox.UID
	used       bool // it stands for one of the archive already
}

func (k known) compare(other known) int {
	return cmp.Or(cmp.Compare(k.size, other.size), cmp.Compare(k.date, other.date), cmp.Compare(k.uid, other.uid))
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

package maildir

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// Status implements mailbox.Reader.
func (s *session) Status(ctx context.Context) (mailbox.Status, error) {
	if err := s.current(ctx); err != nil {
		return mailbox.Status{}, err
	}
	if err := s.learnSizes(); err != nil {
		return mailbox.Status{}, err
	}
	var out mailbox.Status
	guid := ""
	err := s.f.read(func(st *state) {
		guid = st.guid
		out = mailbox.Status{
			UIDValidity: st.validity,
			UIDNext:     mailbox.UID(st.next),
			ModSeq:      mailbox.ModSeq(st.modseq),
			Messages:    st.entries.len(),
			Unseen:      st.counts.unseen,
			Deleted:     st.counts.deleted,
			Recent:      st.entries.from(st.recent),
			Size:        st.counts.size,
		}
		for uid, l := range s.f.learned {
			if e := st.entries.find(uid); e != nil {
				out.Size += max(l.size, 0) - max(e.size, 0)
			}
		}
		for uid := range s.f.guesses {
			if at := st.entries.find(uid); at != nil {
				if e := s.f.learnedOf(*at); e.size < 0 && s.f.guessed(&e) {
					out.Size += e.size
				}
			}
		}
		out.Keywords = st.keywordsUsed()
	})
	if err == nil {
		out.ID = s.f.account.id(s.f.folderName(), guid)
	}
	return out, err
}

// keywordsUsed are the keywords that messages have.
func (s *state) keywordsUsed() []mailbox.Flag {
	var all flags
	for i, n := range s.counts.letters {
		if n > 0 {
			all |= keywordFlag(i)
		}
	}
	var names []string
	for set := range s.counts.sets.uses {
		names = append(names, set.names...)
	}
	return s.keywords.decode(all, newKeywordSet(names))
}

// UIDs implements mailbox.Reader.
func (s *session) UIDs(ctx context.Context) ([]mailbox.UID, mailbox.ModSeq, error) {
	if err := s.current(ctx); err != nil {
		return nil, 0, err
	}
	var uids []mailbox.UID
	var seq mailbox.ModSeq
	err := s.f.read(func(st *state) {
		uids = st.entries.uids()
		seq = mailbox.ModSeq(st.modseq)
	})
	return uids, seq, err
}

// Changes implements mailbox.Reader.
func (s *session) Changes(ctx context.Context, since mailbox.ModSeq) (mailbox.Changes, error) {
	if err := s.current(ctx); err != nil {
		return mailbox.Changes{}, err
	}
	var out mailbox.Changes
	var changed []entry
	var kw *keywords
	tooOld := false
	err := s.f.read(func(st *state) {
		tooOld = uint64(since) < st.base
		out.ModSeq, kw = mailbox.ModSeq(st.modseq), st.keywords
		if tooOld || uint64(since) >= st.modseq {
			return
		}
		for e := range st.changedSince(uint64(since)) {
			changed = append(changed, s.f.learnedOf(*e))
		}
		for _, e := range slices.Backward(st.expunged) {
			if e.modseq <= uint64(since) {
				break
			}
			out.Expunged = append(out.Expunged, mailbox.UID(e.uid))
		}
	})
	if err == nil && tooOld {
		err = mailbox.ErrTooOld
	}
	if err != nil {
		return mailbox.Changes{}, err
	}
	slices.Sort(out.Expunged)
	out.Expunged = slices.Compact(out.Expunged)
	out.Changed, err = s.metas(changed, kw)
	return out, err
}

// changedSince gives the messages that came or changed after a modseq, UIDs ascending.
func (s *state) changedSince(since uint64) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		if since < s.newsBase {
			for e := range s.entries.all() {
				if e.modseq > since && !yield(e) {
					return
				}
			}
			return
		}
		var uids []uint32
		for _, e := range slices.Backward(s.news) {
			if e.modseq <= since {
				break
			}
			uids = append(uids, e.uid)
		}
		slices.Sort(uids)
		for _, uid := range slices.Compact(uids) {
			if e := s.entries.find(uid); e != nil && !yield(e) {
				return
			}
		}
	}
}

// Messages implements mailbox.Reader.
func (s *session) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	if err := s.use(ctx); err != nil {
		return nil, err
	}
	entries, kw, err := s.entries(uids)
	if err != nil {
		return nil, err
	}
	return s.metas(entries, kw)
}

// entries gives the messages with these UIDs that are there, ascending.
func (s *session) entries(uids []mailbox.UID) ([]entry, *keywords, error) {
	sorted := uids
	if !slices.IsSorted(sorted) {
		sorted = slices.Sorted(slices.Values(uids))
	}
	var kw *keywords
	out := make([]entry, 0, len(uids))
	err := s.f.read(func(st *state) {
		kw = st.keywords
		for i, uid := range sorted {
			if i > 0 && sorted[i-1] == uid {
				continue
			}
			if e := st.entries.find(uint32(uid)); e != nil {
				out = append(out, s.f.learnedOf(*e))
			}
		}
	})
	return out, kw, err
}

// metas makes what callers see, looking at files for what is not known yet. Messages whose files are gone are left out.
func (s *session) metas(entries []entry, kw *keywords) ([]mailbox.Meta, error) {
	entries, err := s.learnAll(entries)
	if err != nil {
		return nil, err
	}
	out := make([]mailbox.Meta, 0, len(entries))
	cache := map[flags][]mailbox.Flag{} // most messages have the same few flags
	for i := range entries {
		e := &entries[i]
		list, ok := cache[e.flags]
		if !ok || e.extra != nil {
			list = kw.decode(e.flags, e.extra)
			if e.extra == nil {
				cache[e.flags] = list
			}
		}
		out = append(out, mailbox.Meta{
			UID: mailbox.UID(e.uid), ModSeq: mailbox.ModSeq(e.modseq), Flags: list,
			InternalDate: time.Unix(e.date, 0), SaveDate: e.saveDate(), Size: e.size,
		})
	}
	return out, nil
}

// Content implements mailbox.Reader.
func (s *session) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	if err := s.use(ctx); err != nil {
		return nil, err
	}
	entries, _, err := s.entries([]mailbox.UID{uid})
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: UID %d", mailbox.ErrExpunged, uid)
	}
	if err := s.f.account.loadKeys(); err != nil { // another process may have encrypted the account
		return nil, err
	}
	e := &entries[0]
	var c mailbox.Content
	err = s.withFile(e, func(path string) error {
		c, err = openContent(s.f.fs(), path, e.size)
		if err == nil {
			err = s.f.unpacked(e.base, c)
		}
		if err == nil && c.Size() != e.size {
			s.f.note(e.uid, learned{size: c.Size(), date: e.date, wrong: e.size >= 0}) // the name may be wrong
			if e.size >= 0 {
				s.f.summaries.doubt(*e, c.Size())
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

package maildir

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/mailbox"
)

// Summaries implements mailbox.Summarizer. Messages are opened only once, when nobody has made their summaries yet.
func (s *session) Summaries(ctx context.Context, uids []mailbox.UID) ([]mailbox.Summary, error) {
	if err := s.use(ctx); err != nil {
		return nil, err
	}
	entries, _, err := s.entries(uids)
	if err != nil {
		return nil, err
	}
	log := s.f.summaries
	have := log.have(entries)
	var missing []entry
	for i := range entries {
		if _, ok := have[entries[i].uid]; !ok {
			missing = append(missing, entries[i])
		}
	}
	for some := range slices.Chunk(missing, summaryBatch) {
		if err := s.summarize(ctx, some, have); err != nil {
			return nil, err
		}
	}
	out := make([]mailbox.Summary, 0, len(entries))
	for i := range entries {
		if data, ok := have[entries[i].uid]; ok {
			out = append(out, mailbox.Summary{UID: mailbox.UID(entries[i].uid), Data: data})
		}
	}
	return out, nil
}

// summarize makes the summaries of messages, unless someone else just did, and puts them into have.
func (s *session) summarize(ctx context.Context, entries []entry, have map[uint32][]byte) error {
	log := s.f.summaries
	select {
	case log.making <- struct{}{}:
		defer func() { <-log.making }()
	case <-ctx.Done():
		return ctx.Err()
	}
	made := log.have(entries)
	var missing []entry
	for _, e := range entries {
		if data, ok := made[e.uid]; ok {
			have[e.uid] = data
		} else {
			missing = append(missing, e)
		}
	}
	list, err := s.makeSummaries(ctx, missing)
	for _, sum := range list {
		have[sum.entry.uid] = sum.data
	}
	log.keep(list, nil)
	return err
}

// makeSummaries reads messages, on all processors. Those that are gone are left out.
func (s *session) makeSummaries(ctx context.Context, entries []entry) ([]summary, error) {
	made := make([][]byte, len(entries))
	errs := make([]error, min(runtime.GOMAXPROCS(0), len(entries)))
	var wg sync.WaitGroup
	for worker := range errs {
		wg.Go(func() {
			for i := worker; i < len(entries) && errs[worker] == nil; i += len(errs) {
				if errs[worker] = ctx.Err(); errs[worker] == nil {
					made[i], errs[worker] = s.summary(&entries[i])
				}
			}
		})
	}
	wg.Wait()
	var list []summary
	for i, data := range made {
		if data != nil {
			list = append(list, summary{&entries[i], data})
		}
	}
	return list, errors.Join(errs...)
}

// summary reads a message; nil if it is gone, cannot be read, or is packed.
func (s *session) summary(e *entry) (data []byte, err error) {
	err = s.withFile(e, func(path string) error {
		file, err := s.f.fs().OpenFile(path, os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		if how, err := packedHow(e.base, info.Size(), file); err != nil || how != "" {
			return err // who asks for its content is told
		}
		data, err = mailbox.Summarize(file)
		return err
	})
	if errors.Is(err, mailbox.ErrExpunged) {
		return nil, nil
	}
	if isBadMessage(err) {
		s.f.account.maildir.logger().Debug("maildir: message cannot be read", "folder", s.f.dir(), "uid", e.uid, "error", err)
		return nil, nil
	}
	return data, err
}

// newcomers has messages that came summarized before somebody asks, if somebody lists this mailbox.
func (l *summaryLog) newcomers(first uint32, count int) {
	if count > maxNewcomers {
		return
	}
	l.mu.Lock()
	if !l.used && !l.asked { // the log tells what those before this process did
		info, err := statOrNil(l.f.fs(), filepath.Join(l.f.dir(), summariesFile))
		l.used, l.asked = err == nil && info != nil, true
	}
	start := l.used && !l.busy
	l.busy = l.busy || start
	if l.upTo == 0 {
		l.upTo = first
	}
	l.mu.Unlock()
	if start {
		l.f.account.maildir.background(l.summarizeNewcomers)
	}
}

func (l *summaryLog) summarizeNewcomers() {
	s := &session{f: l.f}
	for {
		l.mu.Lock()
		from := l.upTo
		l.mu.Unlock()
		var some []entry
		err := l.f.read(func(st *state) { some = st.entries.some(from, summaryBatch) })
		if err == nil && len(some) > 0 {
			err = s.summarize(context.Background(), some, map[uint32][]byte{})
		}
		l.mu.Lock()
		done := err != nil || len(some) == 0
		if len(some) > 0 {
			l.upTo = some[len(some)-1].uid + 1
		}
		if done {
			l.busy = false
		}
		l.mu.Unlock()
		if done {
			return
		}
	}
}

// doubt has the summary of a message made again that is not as long as was known, unless it is of a message of this size.
func (l *summaryLog) doubt(e entry, size int64) {
	l.f.account.maildir.background(func() {
		data, ok := l.have([]entry{e})[e.uid]
		if !ok { // it is made when somebody asks
			return
		}
		if sum, err := mimeindex.ReadSummary(data); err == nil && sum.Size == size {
			return
		}
		if made, err := (&session{f: l.f}).summary(&e); err == nil && made != nil {
			l.keep([]summary{{&e, made}}, nil)
		}
	})
}

// carry gives messages that were copied the summaries that they have here: placed[i] in to is from[i].
func (s *session) carry(to *folder, from, placed []mailbox.UID) {
	entries, _, err := s.entries(from)
	if err != nil || to.summaries == nil {
		return
	}
	copies, _, err := (&session{f: to}).entries(placed)
	if err != nil || len(copies) != len(placed) {
		return
	}
	at := map[uint32]int{}
	for i, uid := range from {
		at[uint32(uid)] = i
	}
	for some := range slices.Chunk(entries, summaryBatch) {
		var list []summary
		have := s.f.summaries.have(some)
		for uid, data := range have {
			list = append(list, summary{&copies[at[uid]], data})
		}
		slices.SortFunc(list, func(a, b summary) int { return cmp.Compare(a.entry.uid, b.entry.uid) })
		to.summaries.keep(list, nil)
	}
}

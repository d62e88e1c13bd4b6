package maildir_test

import (
	"context"
	"errors"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// faultOps are the operations that are tried. A new ability of the store gets its rows here.
func faultOps() []faultOp {
	return slices.Concat(deliveryFaults(), messageFaults(), organizerFaults(), upkeepFaults(), backupFaults(), keyFaults())
}

func deliveryFaults() []faultOp {
	return []faultOp{
		{name: "delivery", do: func(w *faultWorld) error { return w.deliver("", "new", ann) }},
		{name: "delivery to an open folder", open: []string{"INBOX"}, do: func(w *faultWorld) error {
			if err := w.deliver("", "new", ann); err != nil {
				return err
			}
			w.done()
			_, _, err := w.boxes["INBOX"].UIDs(context.Background())
			return err
		}},
		{name: "delivery to three", all: true, pieces: true, do: func(w *faultWorld) error {
			return w.deliver("", "new", faultUsers()...)
		}},
		{name: "delivery to Junk", do: func(w *faultWorld) error { return w.deliver("policy", "new", ann) }},
		{name: "delivery under a quota", limit: 1 << 20, do: func(w *faultWorld) error { return w.deliver("", "new", ann) }},
		{name: "take-in of a delivery", prepare: func(w *faultWorld) error { return w.deliver("", "new", ann) },
			do: func(w *faultWorld) error {
				b, err := w.box("INBOX")
				if err != nil {
					return err
				}
				_, err = b.(mailbox.RecentKeeper).TakeRecent(context.Background())
				return err
			}},
	}
}

func messageFaults() []faultOp {
	inbox, both := []string{"INBOX"}, []string{"INBOX", "Work"}
	return []faultOp{
		{name: "append", open: inbox, do: func(w *faultWorld) error { return w.append("INBOX", "new", mailbox.Seen) }},
		{name: "append of several", open: inbox, pieces: true, do: func(w *faultWorld) error {
			return errors.Join(w.appendOnce("INBOX", "new"), w.appendOnce("INBOX", "newer"), w.appendOnce("INBOX", "newest"))
		}},
		{name: "append with a new keyword", open: inbox, do: func(w *faultWorld) error { return w.append("INBOX", "new", "New") }},
		{name: "append to a closed folder", do: func(w *faultWorld) error { return w.append("Work", "new") }},
		{name: "flags", open: inbox, do: func(w *faultWorld) error {
			return w.setFlags("INBOX", mailbox.AddFlags, []mailbox.Flag{mailbox.Flagged, mailbox.Answered}, 2)
		}},
		{name: "flags of several", open: inbox, pieces: true, do: func(w *faultWorld) error {
			return w.setFlags("INBOX", mailbox.ReplaceFlags, []mailbox.Flag{mailbox.Deleted}, 1, 2, 3)
		}},
		{name: "keywords", open: inbox, pieces: true, do: func(w *faultWorld) error {
			return w.setFlags("INBOX", mailbox.ReplaceFlags, []mailbox.Flag{"New", "Newer"}, 2, 4)
		}},
		{name: "expunge", open: inbox, do: func(w *faultWorld) error { return w.expunge("INBOX", 2) }},
		{name: "expunge of several", open: inbox, pieces: true, do: func(w *faultWorld) error { return w.expunge("INBOX", 1, 3, 4) }},
		{name: "copy", open: inbox, do: func(w *faultWorld) error { return w.copy("INBOX", "Work", 2) }},
		{name: "copy of several", open: both, pieces: true, do: func(w *faultWorld) error { return w.copy("INBOX", "Work", 1, 2, 3) }},
		{name: "copy within", open: inbox, do: func(w *faultWorld) error { return w.copy("INBOX", "INBOX", 2) }},
		{name: "move", strict: true, open: inbox, do: func(w *faultWorld) error { return w.move("INBOX", "Work", 2) }},
		{name: "move of several", strict: true, open: both, pieces: true, do: func(w *faultWorld) error { return w.move("INBOX", "Work", 1, 2, 3) }},
		{name: "move within", strict: true, open: inbox, do: func(w *faultWorld) error { return w.move("INBOX", "INBOX", 2) }},
		{name: "compaction", open: inbox, do: func(w *faultWorld) error { return maildir.Compact(w.boxes["INBOX"]) }},
	}
}

func organizerFaults() []faultOp {
	organize := func(do func(context.Context, mailbox.Organizer) error) func(*faultWorld) error {
		return func(w *faultWorld) error {
			return w.organize(func(o mailbox.Organizer) error { return do(context.Background(), o) })
		}
	}
	return []faultOp{
		{name: "create", do: organize(func(ctx context.Context, o mailbox.Organizer) error { return o.Create(ctx, "New/Box", "") })},
		{name: "create with a use", do: organize(func(ctx context.Context, o mailbox.Organizer) error {
			return o.Create(ctx, "New", mailbox.UseSent)
		})},
		{name: "rename", do: organize(func(ctx context.Context, o mailbox.Organizer) error { return o.Rename(ctx, "Work/Sub", "Sub") })},
		{name: "rename with children", open: []string{"Work"}, do: organize(func(ctx context.Context, o mailbox.Organizer) error {
			return o.Rename(ctx, "Work", "Play")
		})},
		{name: "rename INBOX", pieces: true, do: organize(func(ctx context.Context, o mailbox.Organizer) error {
			err := o.Rename(ctx, "INBOX", "Old")
			if !errors.Is(err, mailbox.ErrExists) {
				return err
			}
			b, err := o.(mailbox.Store).Open(ctx, "INBOX") // a client that goes on where it was refused
			if err != nil {
				return err
			}
			defer b.Close()
			uids, _, err := b.UIDs(ctx)
			if err == nil {
				_, err = b.Move(ctx, uids, "Old")
			}
			return err
		})},
		{name: "delete", do: organize(func(ctx context.Context, o mailbox.Organizer) error { return o.Delete(ctx, "Work/Sub") })},
		{name: "subscribe", do: organize(func(ctx context.Context, o mailbox.Organizer) error { return o.Subscribe(ctx, "Work", true) })},
		{name: "unsubscribe", do: organize(func(ctx context.Context, o mailbox.Organizer) error {
			return o.Subscribe(ctx, "Work/Sub", false)
		})},
	}
}

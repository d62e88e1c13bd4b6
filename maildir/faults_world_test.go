package maildir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

type faultMode = fs.FileMode

// faultUsers are the accounts; operations are those of the first.
func faultUsers() []string { return []string{ann, "bob@example.com", "cid@example.com"} }

// faultWorld is a process that works on the accounts.
type faultWorld struct {
	fs      *crashfs.FS
	m       *maildir.Maildir
	store   mailbox.Store
	users   []string // whose accounts facts looks at
	boxes   map[string]mailbox.Mailbox
	answers bool
	note    string          // see faultOp.verify
	has     map[string]bool // recipients that have got the message: a sender tries only the others again
}

// startWorld begins a process, so many hours after the first.
func startWorld(fsys *crashfs.FS, under durable.FS, limit int64, hours int) *faultWorld {
	m := maildir.New("/mail", maildir.AccountsFunc(func(_ context.Context, address string) (maildir.Account, error) {
		if address != dan && !slices.Contains(faultUsers(), address) {
			return maildir.Account{}, maildir.ErrNoAccount
		}
		return maildir.Account{Limit: mailbox.Limit{Octets: limit}}, nil
	}))
	m.Folders = []maildir.Folder{{Name: "Junk", Use: mailbox.UseJunk}}
	m.PollInterval, m.Linger = -1, -1
	m.ServerKey = bytes.Repeat([]byte("k"), maildir.ServerKeySize)
	maildir.Cheap(m)
	maildir.SetFS(m, under)
	maildir.SetClock(m, func() time.Time { return time.Date(2020, 1, 1, hours, 0, 10, 0, time.UTC) })
	return &faultWorld{fs: fsys, m: m, users: []string{ann}, boxes: map[string]mailbox.Mailbox{}, has: map[string]bool{}}
}

// done says that the caller has been told that the operation is done, before it returns.
func (w *faultWorld) done() { w.answers = true }

// stop ends the process as far as it still lives.
func (w *faultWorld) stop() {
	for _, b := range w.boxes {
		_ = b.Close()
	}
	if w.store != nil {
		_ = w.store.Close()
	}
	_ = w.m.Close()
}

func (w *faultWorld) session() (mailbox.Store, error) {
	if w.store != nil {
		return w.store, nil
	}
	s, err := w.m.Store(context.Background(), mailbricks.Identity{User: ann})
	if err == nil {
		w.store = s
	}
	return s, err
}

// box opens a mailbox, once.
func (w *faultWorld) box(name string) (mailbox.Mailbox, error) {
	if b := w.boxes[name]; b != nil {
		return b, nil
	}
	s, err := w.session()
	if err != nil {
		return nil, err
	}
	b, err := s.Open(context.Background(), name)
	if err == nil {
		w.boxes[name] = b
	}
	return b, err
}

func (w *faultWorld) organizer() (mailbox.Organizer, error) {
	s, err := w.session()
	if err != nil {
		return nil, err
	}
	return s.(mailbox.Organizer), nil
}

func (w *faultWorld) append(name, body string, flags ...mailbox.Flag) error {
	b, err := w.box(name)
	if err != nil {
		return err
	}
	text := "Subject: " + body + "\r\n\r\n" + body + "\r\n"
	_, err = b.Append(context.Background(), strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text)), Flags: flags})
	return err
}

// appendOnce is append for what is not there yet.
func (w *faultWorld) appendOnce(name, body string) error {
	if w.has[body] {
		return nil
	}
	err := w.append(name, body)
	w.has[body] = err == nil
	return err
}

func (w *faultWorld) deliver(quarantine string, body string, to ...string) error {
	env := &mailbricks.Envelope{From: "zoe@example.org", Quarantine: quarantine}
	to = slices.DeleteFunc(slices.Clone(to), func(address string) bool { return w.has[body+address] })
	for _, address := range to {
		env.Recipients = append(env.Recipients, mailbricks.Recipient{Address: address})
	}
	err := w.m.Handle(context.Background(), env, mailbricks.NewMessage([]byte("Subject: "+body+"\r\n\r\n"+body+"\r\n")))
	for i, one := range mailbricks.ResultsOf(err, len(to)) {
		if one == nil {
			w.has[body+to[i]] = true
			continue
		}
		if code := mailbricks.ReplyTo(one).Code; code != 451 && code != 452 {
			return errNotTemporary{err}
		}
	}
	return err
}

// errNotTemporary is a failure that has the sender give up.
type errNotTemporary struct{ error }

func (w *faultWorld) setFlags(name string, op mailbox.FlagOp, flags []mailbox.Flag, uids ...mailbox.UID) error {
	b, err := w.box(name)
	if err != nil {
		return err
	}
	metas, err := b.SetFlags(context.Background(), uids, mailbox.FlagChange{Op: op, Flags: flags})
	if err == nil && len(metas) != len(uids) {
		return fmt.Errorf("flags of %d messages are set, not of %d", len(metas), len(uids))
	}
	return err
}

func (w *faultWorld) expunge(name string, uids ...mailbox.UID) error {
	b, err := w.box(name)
	if err != nil {
		return err
	}
	_, err = b.Expunge(context.Background(), uids)
	return err
}

func (w *faultWorld) copy(from, to string, uids ...mailbox.UID) error {
	b, err := w.box(from)
	if err != nil {
		return err
	}
	_, err = b.Copy(context.Background(), uids, to)
	return err
}

func (w *faultWorld) move(from, to string, uids ...mailbox.UID) error {
	b, err := w.box(from)
	if err != nil {
		return err
	}
	_, err = b.Move(context.Background(), uids, to)
	return err
}

// faultBase is the account that all operations begin with.
func faultBase(t testing.TB) *crashfs.FS {
	fsys := crashfs.New()
	w := startWorld(fsys, fsys, 0, 0)
	require.NoError(t, errors.Join(
		w.append("INBOX", "one", mailbox.Seen),
		w.append("INBOX", "two", "Kw"),
		w.deliver("", "three", ann),
		w.append("INBOX", "four"),
		w.organize(func(o mailbox.Organizer) error { return o.Create(context.Background(), "Work", "") }),
		w.organize(func(o mailbox.Organizer) error { return o.Create(context.Background(), "Work/Sub", mailbox.UseArchive) }),
		w.organize(func(o mailbox.Organizer) error { return o.Subscribe(context.Background(), "Work/Sub", true) }),
		w.append("Work", "five", mailbox.Flagged),
		w.append("Work", "six"),
		w.append("Work/Sub", "seven", "Other"),
		w.deliver("", "for bob", faultUsers()[1]),
		w.deliver("", "for cid", faultUsers()[2]),
	))
	w.stop()
	// One more process finds what there is, so that no later one has anything to write down first.
	w = startWorld(fsys, fsys, 0, 0)
	w.users = faultUsers()
	_, err := w.facts()
	require.NoError(t, err)
	w.stop()
	return fsys.Clone()
}

func (w *faultWorld) organize(do func(mailbox.Organizer) error) error {
	o, err := w.organizer()
	if err != nil {
		return err
	}
	return do(o)
}

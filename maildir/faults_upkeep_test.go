package maildir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/retention"
	"github.com/mailbricks/mailbricks/maildir"
)

// upkeepFaults are what is done for an administrator, and the derived log.
func upkeepFaults() []faultOp {
	return []faultOp{
		{name: "annotations", do: func(w *faultWorld) error {
			return w.annotate(mailbox.Annotation{Entry: "/private/comment", Value: []byte("new")},
				mailbox.Annotation{Entry: "/private/vendor/x", Value: []byte("newer")})
		}},
		{name: "annotations of the account", do: func(w *faultWorld) error {
			s, err := w.session()
			if err != nil {
				return err
			}
			return s.(mailbox.Annotator).Annotate(context.Background(), "", []mailbox.Annotation{{Entry: "/shared/admin", Value: []byte("new")}})
		}},
		{name: "summaries", open: []string{"INBOX"}, silent: true, do: summarize, verify: summariesAreRight},
		{name: "compaction of summaries", open: []string{"INBOX"}, prepare: summarize, silent: true, do: func(w *faultWorld) error {
			_ = maildir.CompactSummaries(w.boxes["INBOX"]) // nobody waits for it
			return nil
		}, verify: func(w *faultWorld, told bool, note string) error {
			if err := summarize(w); err != nil {
				return err
			}
			if err := maildir.CompactSummaries(w.boxes["INBOX"]); err != nil { // which removes what is left of earlier ones
				return err
			}
			return summariesAreRight(w, told, note)
		}},
		{name: "retention", pieces: true, do: func(w *faultWorld) error {
			s, err := w.session()
			if err != nil {
				return err
			}
			_, err = retention.Policy{
				Rules: []retention.Rule{{Mailbox: "Work", Age: time.Hour}},
				Now:   time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
			}.Apply(context.Background(), s)
			return err
		}},
		{name: "purge", prepare: func(w *faultWorld) error { return w.deliver("", "for dan", dan) }, do: func(w *faultWorld) error {
			return w.m.Purge(context.Background(), dan)
		}, verify: danIsGone},
	}
}

// dan has an account that goes.
const dan = "dan@example.com"

// danIsGone wants nothing of an account that was purged, and a purge that was cut to go on.
func danIsGone(w *faultWorld, told bool, _ string) error {
	for try := 0; ; try++ {
		left := ""
		for e := range w.fs.Walk() {
			if strings.Contains(e.Name, "/dan") || strings.Contains(e.Name, "-dan") {
				left = e.Name
			}
		}
		if left == "" {
			return nil
		}
		if told || try > 0 {
			return fmt.Errorf("%s is left of an account that was purged", left)
		}
		if err := w.m.Purge(context.Background(), dan); err != nil {
			return err
		}
	}
}

func (w *faultWorld) annotate(notes ...mailbox.Annotation) error {
	s, err := w.session()
	if err != nil {
		return err
	}
	return s.(mailbox.Annotator).Annotate(context.Background(), "Work", notes)
}

func summarize(w *faultWorld) error {
	_, err := summariesOf(w)
	return err
}

func summariesOf(w *faultWorld) ([]mailbox.Summary, error) {
	b, err := w.box("INBOX")
	if err != nil {
		return nil, err
	}
	uids, _, err := b.UIDs(context.Background())
	if err != nil {
		return nil, err
	}
	return b.(mailbox.Summarizer).Summaries(context.Background(), uids)
}

// summariesAreRight compares the log with the messages, and looks for what is left of earlier logs.
func summariesAreRight(w *faultWorld, _ bool, _ string) error {
	list, err := summariesOf(w)
	if err != nil {
		return err
	}
	for _, s := range list {
		c, err := w.boxes["INBOX"].Content(context.Background(), s.UID)
		if err != nil {
			return err
		}
		want, err := mailbox.Summarize(io.NewSectionReader(c, 0, c.Size()))
		if err = errors.Join(err, c.Close()); err != nil {
			return err
		}
		if !bytes.Equal(s.Data, want) {
			return fmt.Errorf("the summary of UID %d is not its own", s.UID)
		}
	}
	logs := map[string]int{}
	for e := range w.fs.Walk() {
		if dir, name, ok := strings.Cut(e.Name, "/mailbricks-summaries."); ok && !strings.HasSuffix(name, "lock") {
			logs[dir]++
		}
	}
	for dir, n := range logs {
		if n > 1 {
			return fmt.Errorf("%s has %d logs of summaries", dir, n)
		}
	}
	return nil
}

// backupFaults are those of backup, restore and check.
func backupFaults() []faultOp {
	backup := func(w *faultWorld) error {
		_, err := w.m.Backup(context.Background(), ann, "/backup", maildir.BackupOptions{})
		return err
	}
	restore := func(opts maildir.RestoreOptions) func(w *faultWorld) error {
		return func(w *faultWorld) error {
			_, err := w.m.Restore(context.Background(), ann, "/backup", opts)
			return err
		}
	}
	since := func(w *faultWorld) error {
		return errors.Join(backup(w), w.append("INBOX", "since"), w.expunge("INBOX", 2),
			w.setFlags("INBOX", mailbox.AddFlags, []mailbox.Flag{mailbox.Flagged}, 3), w.expunge("Work", 1, 2))
	}
	check := func(opts maildir.CheckOptions) func(w *faultWorld) error {
		return func(w *faultWorld) error {
			_, err := w.m.Check(context.Background(), ann, opts)
			return err
		}
	}
	unfinished := func(name string) bool { return strings.Contains(name, "/..restoring-") }
	return []faultOp{
		{name: "backup", prepare: since, do: backup, verify: backupIsWhole},
		{name: "restore", prepare: since, do: restore(maildir.RestoreOptions{}), stays: unfinished},
		{name: "restore of what is missing", prepare: since, pieces: true, do: restore(maildir.RestoreOptions{Merge: true})},
		{name: "check with repair", prepare: damageAccount, pieces: true, silent: true, do: check(maildir.CheckOptions{Repair: true})},
		{name: "rebuild", do: check(maildir.CheckOptions{Rebuild: true})},
	}
}

// backupIsWhole wants a backup to be one of the two that there were: it is restored.
func backupIsWhole(w *faultWorld, told bool, _ string) error {
	if _, err := w.m.Restore(context.Background(), ann, "/backup", maildir.RestoreOptions{}); err != nil {
		return fmt.Errorf("the backup is not whole: %w", err)
	}
	f, err := w.facts()
	if err != nil {
		return err
	}
	bodies := 0
	for body, n := range f.bodies {
		if strings.HasPrefix(body, ann+" ") {
			bodies += n
		}
	}
	sinceThen := f.bodies[ann+" Subject: since\r\n\r\nsince\r\n"]
	if old, now := bodies == 7 && sinceThen == 0, bodies == 5 && sinceThen == 1; !now && (told || !old) {
		return fmt.Errorf("the backup has %d messages, %d of them since", bodies, sinceThen)
	}
	_, err = w.m.Backup(context.Background(), ann, "/backup", maildir.BackupOptions{}) // which removes what is left of the one that was cut
	return err
}

// damageAccount has a file that is no message, a file in tmp that nobody finishes, and a damaged list of special uses.
func damageAccount(w *faultWorld) error {
	var errs []error
	for name, text := range map[string]string{
		"cur/.what": "what is this\n", "tmp/left": "Subject: left\r\n\r\n", "mailbricks-special-use": "what is this\n",
	} {
		f, err := w.fs.OpenFile("/mail/example.com/ann/"+name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write([]byte(text))
		errs = append(errs, err, f.Close())
	}
	return errors.Join(errs...)
}

package main

import (
	"context"
	"fmt"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/smtpd"
)

// minFreeFiles is how many files there must be room for on a disk that counts them, so that those of the server itself can
// be written. Mail is refused below it as below limits.free_space.
const minFreeFiles = 1000

// hasRoom says whether there is room for a message of size octets, 0 if that is not known, on each disk that it would be
// written to, and limits.free_space beside it. A message may be there twice, in the spool and in the mailbox or queue.
func hasRoom(c *config, size int64) (bool, error) {
	need := uint64(c.limits.freeSpace)
	if size > 0 {
		need += 2 * uint64(size)
	}
	for _, dir := range [...]string{c.path("mail"), c.path("queue"), c.path("state", "spool")} { // each may be a disk of its own
		free, err := freeSpace(dir)
		if err != nil {
			return false, err
		}
		if free.octets < need || free.files < minFreeFiles {
			return false, nil
		}
	}
	return true, nil
}

// space is what is free on a disk.
type space struct {
	octets uint64
	files  uint64 // the largest number if the disk does not count them
}

var errNoRoom = &mailbricks.Reply{Code: 452, Enhanced: "4.3.1", Text: "Insufficient system storage, please try again later"}

// room refuses new mail while a disk is nearly full.
func room(c *config) smtpd.Check {
	return smtpd.Check{Name: "space", Mail: func(_ context.Context, tx *smtpd.Transaction) error {
		return roomFor(c, tx.Envelope.Size)
	}}
}

// roomToAppend is room for what IMAP clients store.
func roomToAppend(c *config) func(context.Context, *imapd.Session, int64) error {
	return func(_ context.Context, _ *imapd.Session, size int64) error { return roomFor(c, size) }
}

func roomFor(c *config, size int64) error {
	ok, err := hasRoom(c, size)
	if err == nil && !ok {
		err = errNoRoom
	}
	return err
}

// taken says whether mail of so many octets, 0 if that is not known, would be stored or sent on for one of the targets of an
// address. Only if none would have it, as all are accounts here without room, it is refused before it comes: where one of
// several is full, the others get the mail and the sender a notification for the one.
func (a *app) taken(ctx context.Context, targets []string, size int64) error {
	var refusal error
	for _, target := range targets {
		if !a.dir.IsAccount(target) {
			return nil
		}
		err := a.store.Accepts(ctx, target, size)
		if err == nil {
			return nil
		}
		if refusal == nil || mailbricks.IsTemporary(err) { // there may be room after all
			refusal = err
		}
	}
	return refusal
}

// What can fail beside keys; see watchedKeys.
const (
	failedRoom  = "new mail is refused for now"
	failedFiles = "changes to account files are not in force"
)

// checkRoom looks whether mail is taken, and has a line in the log when that changes.
func (a *app) checkRoom() {
	c, w := a.config(), &a.watched
	ok, err := hasRoom(c, 0)
	if err == nil && !ok {
		err = fmt.Errorf("a disk under %s has less than limits.free_space left, or less than %d files", c.dataDir, minFreeFiles)
	}
	had := w.fails(failedRoom)
	switch {
	case w.news(failedRoom, err):
		a.log.Warn("no room: "+failedRoom, "error", err)
	case had && err == nil:
		a.log.Warn("there is room for new mail again")
	}
}

// checkFiles looks whether the account files can be read as they are now: else what was read before stays in force.
func (a *app) checkFiles() {
	err := a.dir.Reload()
	if a.watched.news(failedFiles, err) {
		a.log.Error("account files not reloaded, the old ones stay in force", "error", err)
	}
}

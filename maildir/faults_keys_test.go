package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// keyFaults are those of encryption. Clients see the same mail before and after.
func keyFaults() []faultOp {
	inbox := []string{"INBOX"}
	return []faultOp{
		{name: "encryption on", do: encryptAll, verify: allIs(true, faultPassword)},
		{name: "encryption off", prepare: encryptAll, do: func(w *faultWorld) error {
			err := w.m.DisableEncryption(context.Background(), ann, maildir.Secret{})
			if errors.Is(err, maildir.ErrNotEncrypted) {
				return nil
			}
			return errors.Join(err, w.m.FinishEncryption(context.Background(), ann, nil))
		}, verify: allIs(false, faultPassword)},
		{name: "key rotation", prepare: encryptAll, do: func(w *faultWorld) error {
			var err error
			if w.note, err = w.m.RotateKey(context.Background(), ann, maildir.Secret{}); err != nil {
				return err
			}
			return w.m.FinishEncryption(context.Background(), ann, nil)
		}, verify: allIs(true, faultPassword)},
		{name: "password change", prepare: encryptAll, do: func(w *faultWorld) error {
			return w.m.SetPassword(context.Background(), ann, maildir.Secret{Password: faultPassword}, newPassword)
		}, verify: allIs(true, newPassword, faultPassword)},
		{name: "encrypted delivery", prepare: encryptAll, do: func(w *faultWorld) error { return w.deliver("", "new", ann) }},
		{name: "encrypted append", prepare: encryptAll, open: inbox, do: func(w *faultWorld) error {
			return w.append("INBOX", "new", mailbox.Seen, "New")
		}},
		{name: "encrypted flags", prepare: encryptAll, open: inbox, pieces: true, do: func(w *faultWorld) error {
			return w.setFlags("INBOX", mailbox.AddFlags, []mailbox.Flag{mailbox.Flagged, "New"}, 1, 3)
		}},
		{name: "encrypted move", strict: true, prepare: encryptAll, open: inbox, pieces: true, do: func(w *faultWorld) error {
			return w.move("INBOX", "Work", 2, 3)
		}},
		{name: "encrypted expunge", prepare: encryptAll, open: inbox, do: func(w *faultWorld) error { return w.expunge("INBOX", 2) }},
		{name: "encrypted rename", prepare: encryptAll, do: func(w *faultWorld) error {
			return w.organize(func(o mailbox.Organizer) error { return o.Rename(context.Background(), "Work", "Play") })
		}},
		{name: "encrypted create and delete", prepare: encryptAll, pieces: true, do: func(w *faultWorld) error {
			return w.organize(func(o mailbox.Organizer) error {
				err := o.Create(context.Background(), "New", "")
				if errors.Is(err, mailbox.ErrExists) {
					err = nil
				}
				if err == nil {
					err = o.Delete(context.Background(), "Work/Sub")
				}
				if errors.Is(err, mailbox.ErrNoMailbox) {
					err = nil
				}
				return err
			})
		}},
		{name: "encrypted compaction", prepare: encryptAll, open: inbox, do: func(w *faultWorld) error {
			return maildir.Compact(w.boxes["INBOX"])
		}},
	}
}

const (
	faultPassword = "a password"
	newPassword   = "another password"
)

func encryptAll(w *faultWorld) error {
	note, err := w.m.EnableEncryption(context.Background(), ann, faultPassword)
	if err != nil && !errors.Is(err, maildir.ErrEncrypted) {
		return err
	}
	if err == nil {
		w.note = note
	}
	return w.m.FinishEncryption(context.Background(), ann, nil)
}

// allIs lets a conversion go on, and wants all files to be as they should be and the first of the secrets to open the keys if
// the caller was told so, or else one of them.
func allIs(sealed bool, secrets ...string) func(*faultWorld, bool, string) error {
	return func(w *faultWorld, told bool, note string) error {
		ctx := context.Background()
		status, err := w.m.Encryption(ctx, ann)
		if err != nil {
			return err
		}
		if told && (status.On != sealed || status.Left) {
			return fmt.Errorf("it was done, but encryption is %+v", status)
		}
		if status.On {
			if err := w.m.FinishEncryption(ctx, ann, nil); err != nil {
				return fmt.Errorf("conversion does not go on: %w", err)
			}
			if status, err = w.m.Encryption(ctx, ann); err != nil || status.Left {
				return fmt.Errorf("conversion is not at its end: %+v, %w", status, err)
			}
		}
		for e := range w.fs.Walk() {
			if !e.Under("/mail/example.com/ann") || e.Dir {
				continue
			}
			clear := strings.Contains(string(e.Data), "Subject: ") || strings.Contains(string(e.Data), "Work")
			if status.On && clear || !status.On && isSealed(e.Data) {
				return fmt.Errorf("encryption is %+v, but %s is not so", status, e.Name)
			}
		}
		if !status.On {
			return nil
		}
		return opens(w, told, note, secrets)
	}
}

func opens(w *faultWorld, told bool, note string, secrets []string) error {
	for i, secret := range secrets {
		err := w.m.SetPassword(context.Background(), ann, maildir.Secret{Password: secret}, secret)
		if err == nil {
			break
		}
		if told || i == len(secrets)-1 {
			return fmt.Errorf("password %d does not open it: %w", i+1, err)
		}
	}
	if told && note != "" {
		if err := w.m.SetPassword(context.Background(), ann, maildir.Secret{Recovery: note}, secrets[0]); err != nil {
			return fmt.Errorf("the recovery key that was shown does not open it: %w", err)
		}
	}
	return nil
}

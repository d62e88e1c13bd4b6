package mailbox

import (
	"context"
	"errors"
)

// Names every store knows.
const (
	// Inbox is the mailbox that always exists. Its name is not case-sensitive; stores and servers write it like this.
	Inbox = "INBOX"
	// Delimiter stands between the levels of a mailbox name.
	Delimiter = "/"
)

// The errors that callers decide on, compared with errors.Is. Any other error is a temporary failure of the store.
var (
	// ErrNoMailbox: no mailbox has this name.
	ErrNoMailbox = errors.New("mailbox: no such mailbox")
	// ErrExists: a mailbox of this name exists already.
	ErrExists = errors.New("mailbox: mailbox exists already")
	// ErrName: the name cannot be a mailbox's.
	ErrName = errors.New("mailbox: invalid mailbox name")
	// ErrNotAllowed: what was asked is never possible with this mailbox, such as deleting INBOX.
	ErrNotAllowed = errors.New("mailbox: operation not allowed on this mailbox")
	// ErrExpunged: the message is gone.
	ErrExpunged = errors.New("mailbox: message is gone")
	// ErrQuota: the account has no room for it.
	ErrQuota = errors.New("mailbox: quota exceeded")
	// ErrTooOld: the change log does not reach back to this modseq.
	ErrTooOld = errors.New("mailbox: change log does not reach back that far")
	// ErrFlags: the store cannot keep so many or such keywords.
	ErrFlags = errors.New("mailbox: keyword cannot be stored")
	// ErrAnnotation: the store cannot keep so many or such annotations.
	ErrAnnotation = errors.New("mailbox: annotation cannot be stored")
	// ErrLocked: the mail is encrypted and nobody has given the key.
	ErrLocked = errors.New("mailbox: mail is encrypted and locked")
)

// Store is the mail of one account, as one session sees it.
type Store interface {
	// List has every mailbox, every level above one, and every subscribed name, in no order.
	List(ctx context.Context) ([]Info, error)
	// Open opens a mailbox. It fails with ErrNoMailbox.
	Open(ctx context.Context, name string) (Mailbox, error)
	// Close ends the session. Mailboxes that it opened must be closed first.
	Close() error
}

// Organizer is the ability of a Store to change what List shows.
type Organizer interface {
	// Create makes a mailbox, and the levels above it where the store needs them. What was only a level above others becomes a
	// mailbox. use is empty or the mailbox's special use, which other mailboxes may have, too; they keep it (RFC 6154 §2). It
	// fails with ErrExists, ErrName or, for a use that the store does not know or does not give twice, ErrNotAllowed.
	Create(ctx context.Context, name string, use Use) error
	// Delete removes a mailbox with its messages, but not those below it, for which its name stays as a level (RFC 3501 §6.3.4).
	// Its subscription stays, and who watches the mailbox is woken. It fails with ErrNoMailbox, for INBOX with ErrNotAllowed, and
	// for what is only a level with either.
	Delete(ctx context.Context, name string) error
	// Rename moves a mailbox and those below it, all or none; they keep their UIDVALIDITY and UIDs. What is only a level above
	// others can be renamed, too, and so can "a/b" to "a" where that is only a level. For INBOX it moves the messages into a new
	// mailbox and leaves those below it where they are (RFC 3501 §6.3.5). It fails with ErrNoMailbox, with ErrExists if any of
	// the new names is a mailbox's already, with ErrName, and with ErrNotAllowed if to is below from.
	Rename(ctx context.Context, from, to string) error
	// Subscribe puts a name on the list of subscriptions or takes it off. There need not be such a mailbox.
	Subscribe(ctx context.Context, name string, on bool) error
}

// Info is a line of Store.List.
type Info struct {
	Name string
	// ID is that of Status; empty for what cannot be opened and where the store has none.
	ID string
	// Uses are the special uses of the mailbox (RFC 6154).
	Uses []Use
	// Subscribed says that the name is subscribed.
	Subscribed bool
	// NoSelect: only a level above others, which cannot be opened.
	NoSelect bool
	// NonExistent: a subscribed name without a mailbox.
	NonExistent bool
}

// Use is a special use of a mailbox (RFC 6154 §2), such as `\Junk`.
type Use string

// The special uses of RFC 6154.
const (
	UseAll     Use = `\All`
	UseArchive Use = `\Archive`
	UseDrafts  Use = `\Drafts`
	UseFlagged Use = `\Flagged`
	UseJunk    Use = `\Junk`
	UseSent    Use = `\Sent`
	UseTrash   Use = `\Trash`
)

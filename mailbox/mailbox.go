package mailbox

import (
	"context"
	"io"
	"time"
)

// UID names a message in its mailbox (RFC 3501 §2.3.1.1); 0 names none.
type UID uint32

// ModSeq numbers the changes of a mailbox (RFC 7162 §3.1); 0 comes before the first.
type ModSeq uint64

// Mailbox is an open mailbox.
type Mailbox interface {
	Reader
	Writer
	Copier
	// Close ends its use. Contents that were opened stay readable.
	Close() error
}

// Reader reads a mailbox. What it tells is in step: what is in Status, UIDs and Changes with one modseq is the same.
type Reader interface {
	// Status counts.
	Status(ctx context.Context) (Status, error)
	// UIDs has the UIDs of all messages, ascending, and the modseq at which that is so.
	UIDs(ctx context.Context) ([]UID, ModSeq, error)
	// Changes tells what happened after since: for each message what it is like now, or that it went. It fails with ErrTooOld
	// when it no longer knows; the caller then compares UIDs and Messages with what it has. Since 0 it may always do so. After
	// a modseq that has not come yet nothing has happened, which is no error.
	Changes(ctx context.Context, since ModSeq) (Changes, error)
	// Messages tells of the messages with these UIDs (ascending, none twice), in their order, leaving out those that are gone.
	Messages(ctx context.Context, uids []UID) ([]Meta, error)
	// Content opens a message's content. It fails with ErrExpunged.
	Content(ctx context.Context, uid UID) (Content, error)
}

// Writer changes a mailbox. UIDs may come in any order and more than once; what is told of them ascends.
type Writer interface {
	// Append stores a message and gives its UID. The content has CRLF line ends. It fails with ErrQuota and ErrFlags, and when
	// r fails or gives another number of octets than the options say; then nothing is stored and the UID is 0. A Size for which
	// there is no room is refused before r is read to its end, and whether there is room is looked at once more when the
	// message is stored, so that Appends at the same time do not pass the limit together.
	Append(ctx context.Context, r io.Reader, opts AppendOptions) (UID, error)
	// SetFlags changes the flags of messages and tells the state of all of them after it, leaving out those that are
	// gone. A keyword keeps the form in which it first came to the mailbox, for all of its messages. With UnchangedSince,
	// messages with a larger modseq are left as they are. A message whose flags stay the same gets no new modseq. It fails
	// with ErrFlags, which changes none, and where a message cannot be changed, when others may be: their modseqs tell.
	SetFlags(ctx context.Context, uids []UID, change FlagChange) ([]Meta, error)
	// Expunge removes messages for good, whatever their flags, and tells which it removed; those that another caller removed are
	// not among them.
	Expunge(ctx context.Context, uids []UID) ([]UID, error)
}

// Copier puts messages of one mailbox into another of the same account, with their flags and internal dates. Both methods do it
// for all messages or for none, and leave out those that are gone. They fail with ErrNoMailbox, for the destination, and
// with ErrQuota.
type Copier interface {
	// Copy makes copies. It may put them into the same mailbox. dest is a name as Open takes it: INBOX in any case.
	Copy(ctx context.Context, uids []UID, dest string) (Copied, error)
	// Move does not count against the quota, and works within one mailbox too, where the messages get new UIDs.
	Move(ctx context.Context, uids []UID, dest string) (Copied, error)
}

// Watcher is the ability of a Mailbox to say when there may be something new.
type Watcher interface {
	// Watch sends to wake, without ever waiting, when the mailbox may have changed; wake needs a buffer of one. It ends
	// with stop, which may be called again, and at the latest when the Mailbox is closed.
	Watch(wake chan<- struct{}) (stop func())
}

// RecentKeeper is the ability of a Mailbox to know which messages no session has been told of: IMAP's \Recent
// (RFC 3501 §2.3.2). Without it no message is recent.
type RecentKeeper interface {
	// TakeRecent gives the first UID of those that no call gave before; the messages from there on are recent for this
	// caller, and for none after it.
	TakeRecent(ctx context.Context) (first UID, err error)
}

// Status counts what is in a mailbox.
type Status struct {
	// ID names the mailbox for ever: through renames, and no other one of the account after it (RFC 8474 §4), in the form
	// that ValidID wants; empty if the store has none.
	ID          string
	UIDValidity uint32
	// UIDNext is larger than every UID given so far.
	UIDNext UID
	// ModSeq is the modseq of the last change; at least 1.
	ModSeq   ModSeq
	Messages int
	// Unseen counts messages without \Seen, Deleted those with \Deleted.
	Unseen, Deleted int
	// Recent counts what TakeRecent would give.
	Recent int
	// Size is the sum of the sizes of all messages in octets.
	Size int64
	// Keywords are those that messages have, for the FLAGS response.
	Keywords []Flag
}

// Meta is what a store tells of a message without opening it.
type Meta struct {
	UID    UID
	ModSeq ModSeq
	// Flags must not be changed by the caller.
	Flags []Flag
	// InternalDate is when the message came, or what Append was told. It has whole seconds.
	InternalDate time.Time
	// SaveDate is when it was put into this mailbox (RFC 8514); zero if the store does not know.
	SaveDate time.Time
	// Size is the length of the content in octets, as RFC822.SIZE.
	Size int64
}

// Changes is what happened to a mailbox after a modseq.
type Changes struct {
	// ModSeq is how far this tells.
	ModSeq ModSeq
	// Changed are the messages that came or whose flags changed and that are still there, with ascending UIDs.
	Changed []Meta
	// Expunged are the messages that went, with ascending UIDs; UIDs that the caller never saw may be among them.
	Expunged []UID
}

// Content is the content of a message, with CRLF line ends. It stays readable when the message is expunged.
type Content interface {
	io.ReaderAt
	io.Closer
	// Size is the length in octets and equals Meta.Size.
	Size() int64
}

// AppendOptions go with Append.
type AppendOptions struct {
	// Flags that the message gets; \Recent is not one of them.
	Flags []Flag
	// InternalDate, of which the store keeps whole seconds; zero: now.
	InternalDate time.Time
	// Size is the number of octets that must come; negative: unknown. The zero value takes an empty message only.
	Size int64
}

// Copied tells where Copy or Move put messages: Source[i] became Dest[i], both ascending.
type Copied struct {
	// UIDValidity of the destination.
	UIDValidity  uint32
	Source, Dest []UID
}

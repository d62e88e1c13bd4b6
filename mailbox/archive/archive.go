package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

var (
	// ErrFormat: what is read is not of the format, damaged, or cut short.
	ErrFormat = errors.New("archive: not in the right format")
	// ErrTooLarge: a part of an archive is larger than the limit for it.
	ErrTooLarge = errors.New("archive: too large")
	// ErrOneMailbox: a file of one mailbox was given a second one.
	ErrOneMailbox = errors.New("archive: an mbox file holds one mailbox only")
	// ErrExists: where a folder is to be made there is something already.
	ErrExists = errors.New("archive: exists already")
	// ErrVersion: written by a later version of this package.
	ErrVersion = errors.New("archive: written by a newer version")
)

// Entry is a piece of an archive: one of its fields is set. The account comes first, if at all, and each mailbox before its
// messages.
type Entry struct {
	Account *Account
	Mailbox *Mailbox
	Message *Message
}

// Account is what belongs to no mailbox.
type Account struct {
	// Subscriptions are subscribed names without a mailbox.
	Subscriptions []string
	// Annotations of the account (RFC 5464).
	Annotations []mailbox.Annotation
}

// Mailbox is a mailbox without its messages. Formats that do not know a field leave it zero.
type Mailbox struct {
	Name string
	// ID, UIDValidity, UIDNext and ModSeq are what the store told, as mailbox.Status has them.
	ID          string
	UIDValidity uint32
	UIDNext     mailbox.UID
	ModSeq      mailbox.ModSeq
	Uses        []mailbox.Use
	Subscribed  bool
	Annotations []mailbox.Annotation
}

// Message is a message of the mailbox that came before it.
type Message struct {
	// UID and ModSeq are those of the store; 0 if they are not known.
	UID    mailbox.UID
	ModSeq mailbox.ModSeq
	Flags  []mailbox.Flag
	// InternalDate is zero if it is not known.
	InternalDate time.Time
	// SaveDate is when it was put into its mailbox; zero if that is not known.
	SaveDate time.Time
	// Size is how long the content is, in octets with CRLF line ends.
	Size int64
	// Content is good until the next call of Reader.Next. It fails if less than Size octets come.
	Content io.Reader
	// Where says for people where the message stands.
	Where string
}

// Reader reads an archive.
type Reader interface {
	// Next gives the next entry, and io.EOF at the end. Other errors are final.
	Next(ctx context.Context) (Entry, error)
	// Close ends the use of it.
	Close() error
}

// Writer writes an archive.
type Writer interface {
	// Write writes an entry. isNew is false for a message that was there already. After an error only Close may be called.
	Write(ctx context.Context, e Entry) (isNew bool, err error)
	// Finish ends the archive: before it nothing is where it was to be written (but in a store, where each message is when
	// Write returns).
	Finish() error
	// Close gives up what is not finished.
	Close() error
}

// Stats counts what Copy has done.
type Stats struct {
	Mailboxes int
	// Messages that were written, and Present those that were there already.
	Messages, Present int
	// Octets is the size of the messages that were written.
	Octets int64
}

// Copy writes all that from gives into to and finishes it. It calls progress, unless it is nil, after each entry. It closes
// neither. An error tells at which message or mailbox it was; the Stats are right then, too.
func Copy(ctx context.Context, to Writer, from Reader, progress func(Stats)) (Stats, error) {
	var s Stats
	for {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		e, err := from.Next(ctx)
		if errors.Is(err, io.EOF) {
			return s, to.Finish()
		}
		if err != nil {
			return s, err
		}
		isNew, err := to.Write(ctx, e)
		if err != nil {
			return s, fmt.Errorf("%s: %w", e.where(), err)
		}
		s.add(e, isNew)
		if progress != nil {
			progress(s)
		}
	}
}

func (s *Stats) add(e Entry, isNew bool) {
	switch {
	case e.Mailbox != nil:
		s.Mailboxes++
	case e.Message != nil && isNew:
		s.Messages++
		s.Octets += e.Message.Size
	case e.Message != nil:
		s.Present++
	}
}

// where names an entry for people.
func (e Entry) where() string {
	switch {
	case e.Message != nil:
		return "archive: " + e.Message.Where
	case e.Mailbox != nil:
		return fmt.Sprintf("archive: mailbox %.100q", e.Mailbox.Name)
	}
	return "archive: account"
}

// DefaultMaxMessage is the largest message in octets where an Options says nothing.
const DefaultMaxMessage = 1 << 30

// Options are for what is read. The zero value is good.
type Options struct {
	// Mailbox is the name of the mailbox that a single mbox file is; empty: INBOX.
	Mailbox string
	// Mbox says how lines are quoted in mbox files.
	Mbox Variant
	// MaxMessage is the largest message, in octets; 0: DefaultMaxMessage.
	MaxMessage int64
	// TempDir is where large messages are kept while they are looked at; empty: the system's.
	TempDir string
}

func (o Options) maxMessage() int64 {
	if o.MaxMessage <= 0 {
		return DefaultMaxMessage
	}
	return o.MaxMessage
}

// exact reads exactly n octets of r: it fails with io.ErrUnexpectedEOF if there are fewer, and with ErrFormat if there are more.
type exact struct {
	r    io.Reader
	left int64
}

func (x *exact) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if x.left == 0 {
		return x.end()
	}
	if int64(len(p)) > x.left {
		p = p[:x.left]
	}
	n, err := x.r.Read(p)
	x.left -= int64(n)
	if err == io.EOF && x.left > 0 {
		err = io.ErrUnexpectedEOF
	} else if err == io.EOF {
		err = nil // end looks again
	}
	return n, err
}

func (x *exact) end() (int, error) {
	var one [1]byte
	n, err := io.ReadFull(x.r, one[:])
	if n > 0 {
		return 0, fmt.Errorf("%w: message is longer than it says", ErrFormat)
	}
	return 0, err
}

package mailbox

import "context"

// What a store can do beyond the contract is found by type assertion: a caller does without what is not there.

// AccountWatcher is the ability of a Store to say in which of its mailboxes there may be something new.
type AccountWatcher interface {
	// WatchAccount sends to wake, without ever waiting, when any mailbox of the account, the list of them, a subscription
	// or an annotation may have changed; wake needs a buffer of one.
	WatchAccount(wake chan<- struct{}) AccountWatch
}

// AccountWatch is a watch over an account. It belongs to nobody but its caller, also when the Store is closed.
type AccountWatch interface {
	// Changed gives the names of the mailboxes that may have changed since the last call, in no order and none twice. A name
	// may be that of a mailbox that came, went, or got another name.
	Changed() []string
	// Stop ends the watch. It may be called again.
	Stop()
}

// QuotaKeeper is the ability of a Store to say how much mail the account has and may have (RFC 9208).
type QuotaKeeper interface {
	// Quota is the state of the account's one quota.
	Quota(ctx context.Context) (Quota, error)
}

// Quota is how much mail an account has and may have.
type Quota struct {
	Used  Usage
	Limit Limit
}

// Usage counts mail.
type Usage struct {
	// Octets is the sum of the sizes of the messages, as the store counts them, and Messages their number.
	Octets, Messages int64
}

// Limit is the most mail that an account may have. What would go beyond it fails with [ErrQuota]. The zero value limits
// nothing.
type Limit struct {
	// Octets is the most that the messages may have together, and Messages how many they may be; 0: any number.
	Octets, Messages int64
}

// Allows says whether an account with this much mail is within the limit.
func (l Limit) Allows(u Usage) bool {
	return (l.Octets <= 0 || u.Octets <= l.Octets) && (l.Messages <= 0 || u.Messages <= l.Messages)
}

// Annotator is the ability of a Store to keep annotations of mailboxes and of the account as a whole (RFC 5464).
type Annotator interface {
	// Annotations gives those of a mailbox, or of the account where name is empty, sorted by their entries. It fails with
	// ErrNoMailbox.
	Annotations(ctx context.Context, name string) ([]Annotation, error)
	// Annotate sets annotations, all or none; a nil value takes one off. They go and are renamed with their mailbox. It
	// fails with ErrNoMailbox, and with ErrAnnotation for an entry that CleanEntry refuses and when a limit is passed.
	Annotate(ctx context.Context, name string, changes []Annotation) error
}

// Summarizer is the ability of a Mailbox to tell what listing needs of messages' contents without opening them.
type Summarizer interface {
	// Summaries gives the summaries of the messages with these UIDs (ascending), in their order, leaving out those that are
	// gone. The store makes those that it does not have, and keeps them.
	Summaries(ctx context.Context, uids []UID) ([]Summary, error)
}

// Summary is what listing needs of a message's content: the envelope, the structure, and where its parts stand. It is made
// by [Summarize] and never changes.
type Summary struct {
	UID UID
	// Data is what Summarize gave. It may be that of an older or newer version, or damaged: who reads it finds out, and
	// reads the content instead. It must not be changed.
	Data []byte
}

package relay

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// Defaults of Options.
const (
	// DefaultLifetime is how long a message is tried (RFC 5321 §4.5.4.1: at least four to five days).
	DefaultLifetime = 5 * 24 * time.Hour
	// DefaultConcurrent is how many attempts run at once.
	DefaultConcurrent = 50
	// DefaultPerDestination is how many of them go to one destination.
	DefaultPerDestination = 4
	// DefaultMaxAttempt is how long one attempt lasts at most.
	DefaultMaxAttempt = time.Hour
	// DefaultMaxMessages is how many messages a queue holds.
	DefaultMaxMessages = 100_000
	// DefaultMaxBytes is how many octets of messages a queue holds.
	DefaultMaxBytes = 16 << 30
	// DefaultMaxRecipients is how many recipients one message has.
	DefaultMaxRecipients = 10_000
	// DefaultMaxReturn is the size in octets up to which a DSN returns the whole message.
	DefaultMaxReturn = 64 << 10
	// DefaultRemember is how long the end of a message that was given to Send is known.
	DefaultRemember = 7 * 24 * time.Hour
	// DefaultMaxRemembered is how many of these ends are known.
	DefaultMaxRemembered = 10_000
	// DefaultGrace is how long running attempts may go on when Run's context has ended.
	DefaultGrace = 10 * time.Second
)

// Options say how a Queue works. The zero value is one that delivers to the mail servers of the Internet.
type Options struct {
	// Hostname is the name of this server: what it says with EHLO and in its reports. Empty: the system's.
	Hostname string
	// Transport delivers. Nil: an *MX.
	Transport Transport
	// Prepare, if not nil, is called for each message given to Handle or Send, before it is stored: the place to sign.
	// It may edit the header of msg. Its error is the result of Handle or Send, and nothing is stored then. It is not
	// called for what Settle puts aside, because that was on its way into a local store; but where Settle puts aside what
	// Prepare has failed for, each attempt calls it, and fails with it.
	Prepare func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error
	// Generated takes the notifications that the queue makes, as a Handler that routes by recipient: a local sender's go
	// into the local store. Nil: the queue itself.
	Generated mailbricks.Handler
	// ReportFrom is the header From address of notifications. Empty: MAILER-DAEMON@Hostname.
	ReportFrom string
	// OnEvent, if not nil, is told every event, for one recipient in their order. It must return soon, as the attempt
	// waits for it, and may call the Queue's methods.
	OnEvent func(Event)

	// Retry has the intervals between attempts. Empty: DefaultRetry.
	Retry Schedule
	// Lifetime is how long after it was queued a message is tried; the last attempt is made at its end, or left out where
	// the destination was just found to be unreachable. 0: DefaultLifetime.
	Lifetime time.Duration
	// HoldUnknown puts recipients on hold whose outcome is unknown because the connection or this machine broke down
	// after the final dot. Otherwise they are tried again, which may double the message.
	HoldUnknown bool
	// MaxConcurrent and MaxPerDestination bound the attempts that run at once. 0: DefaultConcurrent and
	// DefaultPerDestination.
	MaxConcurrent, MaxPerDestination int
	// MaxAttempt is how long one attempt lasts at most, so that slow peers do not keep all attempts busy; it must be
	// enough for the largest message on the slowest line. 0: DefaultMaxAttempt.
	MaxAttempt time.Duration
	// Pace is the least time from the beginning of one attempt to that of the next at the same destination. 0: none.
	Pace time.Duration
	// MaxMessages and MaxBytes bound what the queue holds; above it new mail gets 452 4.3.1. 0: DefaultMaxMessages and
	// DefaultMaxBytes.
	MaxMessages int
	MaxBytes    int64
	// MaxRecipients bounds the recipients of one message; the ones above it get 452 4.5.3. 0: DefaultMaxRecipients.
	MaxRecipients int
	// MaxReturn is the size in octets up to which a notification returns the whole message and not only its header.
	// 0: DefaultMaxReturn; negative: always the header only.
	MaxReturn int64
	// Remember is how long, after its end, Events and Key know a message that was given to Send, and MaxRemembered how
	// many they know; the oldest are forgotten first. 0: DefaultRemember and DefaultMaxRemembered.
	Remember      time.Duration
	MaxRemembered int
	// Grace is how long running attempts may go on when Run's context has ended. 0: DefaultGrace.
	Grace time.Duration

	// Logger gets what an administrator should know. Nil discards.
	Logger *slog.Logger
	// FS has the queue's files. Nil: the operating system's.
	FS durable.FS
}

func (o Options) withDefaults() Options {
	def(&o.Lifetime, DefaultLifetime)
	def(&o.MaxConcurrent, DefaultConcurrent)
	def(&o.MaxPerDestination, DefaultPerDestination)
	def(&o.MaxAttempt, DefaultMaxAttempt)
	def(&o.MaxMessages, DefaultMaxMessages)
	def(&o.MaxBytes, DefaultMaxBytes)
	def(&o.MaxRecipients, DefaultMaxRecipients)
	def(&o.Remember, DefaultRemember)
	def(&o.MaxRemembered, DefaultMaxRemembered)
	def(&o.Grace, DefaultGrace)
	if o.MaxReturn == 0 {
		o.MaxReturn = DefaultMaxReturn
	}
	if o.Hostname == "" {
		o.Hostname = systemHostname()
	}
	if o.ReportFrom == "" {
		o.ReportFrom = "MAILER-DAEMON@" + o.Hostname
	}
	if o.Transport == nil {
		o.Transport = &MX{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = durable.OS()
	}
	return o
}

// def gives a limit that is not positive its default.
func def[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func systemHostname() string {
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}

// Errors of a Queue, for errors.Is.
var (
	// ErrNotFound says that the queue has no message with this ID.
	ErrNotFound = errors.New("relay: no such message")
	// ErrClosed says that the queue was closed.
	ErrClosed = errors.New("relay: queue is closed")
	// ErrVersion says that files were written by a newer version, which this one would misread.
	ErrVersion = durable.ErrNewer
	// ErrRunning says that Run is running already.
	ErrRunning = errors.New("relay: queue is running already")
)

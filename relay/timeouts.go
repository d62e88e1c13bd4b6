package relay

import "time"

// Timeouts bound how long a peer may take. The zero value has the defaults, which are those of RFC 5321 §4.5.3.2 where
// that has one.
type Timeouts struct {
	// Dial is for the connection, and for the TLS handshake.
	Dial time.Duration
	// Greeting is for the first reply.
	Greeting time.Duration
	// Command is for the replies to EHLO, STARTTLS, AUTH, MAIL, RCPT and RSET, each.
	Command time.Duration
	// Data is for the reply to DATA.
	Data time.Duration
	// Block is for the peer to take the next 32 KiB of the message.
	Block time.Duration
	// Dot is for the reply to the final dot.
	Dot time.Duration
	// Quit is for the reply to QUIT.
	Quit time.Duration
}

// Defaults of Timeouts.
const (
	DefaultDialTimeout     = 30 * time.Second
	DefaultGreetingTimeout = 5 * time.Minute
	DefaultCommandTimeout  = 5 * time.Minute
	DefaultDataTimeout     = 2 * time.Minute
	DefaultBlockTimeout    = 3 * time.Minute
	DefaultDotTimeout      = 10 * time.Minute
	DefaultQuitTimeout     = 5 * time.Second
)

func (t Timeouts) withDefaults() Timeouts {
	def(&t.Dial, DefaultDialTimeout)
	def(&t.Greeting, DefaultGreetingTimeout)
	def(&t.Command, DefaultCommandTimeout)
	def(&t.Data, DefaultDataTimeout)
	def(&t.Block, DefaultBlockTimeout)
	def(&t.Dot, DefaultDotTimeout)
	def(&t.Quit, DefaultQuitTimeout)
	return t
}

// Package wire is the lexical layer of IMAP (RFC 3501 §4, §9): lines and literals on one side, responses on the other,
// and the forms that both share: sequence sets, dates and mailbox names in modified UTF-7.
//
// # Why a command cannot be smuggled
//
// A [Decoder] always takes a whole line off the connection before it looks at it, so nothing that is left of a bad
// command can be read as the next one. A literal that is refused is either never sent (synchronising: the peer waits for
// a continuation that does not come), or read and thrown away (RFC 7888: `{n+}`), or, above [Limits.Drain], the
// connection has to be closed: [Decoder.Skip] says which. A literal that ends early is an error, as is a line longer
// than [Limits.Line].
//
// # Line ends
//
// Lines end with CRLF. A bare LF is taken as well, on purpose: people type IMAP into netcat, there is no next hop that
// could see other lines than we do, and a CR anywhere else is a syntax error.
//
// # Memory
//
// A Decoder holds one line and the strings that were read from the command, together at most [Limits.Command] octets.
// An [Encoder] holds one buffer of BufferSize octets while there is something to send.
package wire

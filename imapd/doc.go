// Package imapd is an IMAP4rev1 server (RFC 3501) over any [mailbox.Store].
//
//	srv := &imapd.Server{
//		Hostname:  "mail.example.com",
//		TLSConfig: tlsConfig,
//		Auth:      users,
//		Store: func(ctx context.Context, id mailbricks.Identity) (mailbox.Store, error) { return open(id.User) },
//	}
//	log.Fatal(srv.ListenAndServe())
//
// Besides IMAP4rev1 it speaks LITERAL+ (RFC 7888), SASL-IR (RFC 4959), ID (RFC 2971), ENABLE (RFC 5161), IDLE (RFC 2177),
// NAMESPACE (RFC 2342), UNSELECT (RFC 3691), UIDPLUS (RFC 4315), MOVE (RFC 6851), CHILDREN (RFC 3348), ESEARCH (RFC 4731),
// LIST-EXTENDED (RFC 5258), LIST-STATUS (RFC 5819), SPECIAL-USE and CREATE-SPECIAL-USE (RFC 6154), STATUS=SIZE (RFC 8438),
// APPENDLIMIT (RFC 7889) and the response codes of RFC 5530.
//
// # The engine
//
// The rules that all files of this package keep:
//
//   - A session is one goroutine that reads a command, runs it to its end and only then looks at the next one. IDLE alone
//     has a second goroutine, which waits for DONE and is gone before IDLE returns.
//   - Sequence numbers live in the session only: a sorted list of UIDs, 4 octets for each message of the selected mailbox,
//     in which the place is the number. Nothing else a session keeps grows with the mailbox, but for what the
//     command that runs needs: SEARCH holds 4 octets a hit, STORE 16 octets a message that it changed.
//   - What happened is learned by asking the store for the changes since a modseq ([mailbox.Reader].Changes), never
//     from a message between sessions, so sessions may be in other processes. A wake-up only says when to ask.
//   - A client is told of an expunge only where RFC 3501 §7.4.1 allows it: not between commands, not during FETCH, STORE
//     and SEARCH, nor during their UID forms. Until then the number stays taken, and using it is answered as
//     RFC 2180 §4 advises: what is there is served, and the command ends with NO [EXPUNGEISSUED].
//   - Nothing is written to the network under a lock. The content of messages goes from the store's [mailbox.Content] to the
//     socket through a buffer of 32 KiB; no message is ever held in memory.
//   - Where the mailbox is a [mailbox.Summarizer], what it tells is not looked for in messages: ENVELOPE, BODYSTRUCTURE, the
//     header fields that mail programs ask for in lists, for FETCH and SEARCH, and the places of parts. Summaries are asked
//     for 100 at a time, at most 64 KiB each. One that is damaged, of another version, or of a message of another size
//     counts as none.
//   - The context of a command ends with Close. That the client has left is noticed by writing to it: FETCH stops at the next
//     message, SEARCH with the keep-alive that it sends when it takes long. A client that only closed its direction is
//     served to the end.
//   - EXAMINE is enforced here: nothing that changes a mailbox is called for one that was opened with it.
//   - Whatever a client sends, the answer to a command that is no IMAP is BAD with its tag, and nothing of it is ever read
//     as another command (see the package internal/wire).
//
// A session that waits has a read buffer of 4 KiB, the list of UIDs, and at most one parsed message structure (64 KiB of
// headers), so that a large message can be fetched part by part.
//
// Output is buffered and sent when no input is pending, so that the answers to pipelined commands travel together.
//
// Line ends: a bare LF ends a command line as CRLF does. In APPEND a bare LF is made CRLF, as the store's contract asks.
package imapd

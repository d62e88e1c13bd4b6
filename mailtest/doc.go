// Package mailtest is the world that a mail program is tested in, in memory: what httptest is for HTTP.
//
//   - [Network] has addresses, listeners, dialers and datagrams, and faults to inject. It works inside
//     [testing/synctest] bubbles, where real sockets do not.
//   - [DNS] answers from zones written as text, directly as a [Resolver] or as a server on a Network or a real socket.
//   - [CA] issues certificates that hold on a bubble's clock as well as on the real one.
//   - [Inbox] is a Handler that keeps what it is given.
//
// All of it is safe for use by several goroutines. Inside a bubble everything must also be made inside of it, as
// synctest asks of channels.
package mailtest

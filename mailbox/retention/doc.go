// Package retention deletes what has lain in a mailbox for too long: Junk and Trash after a month, say. It works on any
// mailbox.Store, and deletes nothing that no [Rule] names.
//
// What counts is when a message was put into the mailbox (its save date, RFC 8514), so that an old message which somebody
// moves to Trash today is not gone today. Only where the store does not know that, it is the date at which the message came.
package retention

// Package sign is the step that signs mail on its way out with DKIM: give [With] to a queue as what prepares each
// message.
//
//	keys := &sign.Dir{Root: "data/dkim", State: "data/state/dkim"}
//	queue, err := relay.Open("queue", relay.Options{Hostname: "mail.example.com", Prepare: sign.With(keys)})
//
// Each active key of the author's domain makes a signature, so that RSA and Ed25519 can stand side by side (RFC 8463). A
// domain without keys leaves unsigned; a domain whose keys cannot be read does not leave at all for now: call
// [Dir.Signers] from time to time to learn of it, and [Dir.Delete] takes such a key away.
//
// Only mail of this server's own is signed: of users who logged in, and what the program made itself ([Own]). What came
// from elsewhere and is passed on, as by an alias, keeps the signatures it has; to sign it would vouch for whatever
// name a stranger writes into From. A [Forward] adds a set to its ARC chain instead (RFC 8617), which tells the next server
// what was found when it came in.
//
// [Dir] keeps the keys in files, sees changes at once and makes new ones; a [Rotation] replaces them when the DNS shows the
// new ones.
package sign

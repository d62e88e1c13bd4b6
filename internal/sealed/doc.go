// Package sealed keeps files so that who has the disk cannot read them: it has the keys, the file formats and the key file of
// encryption at rest, and knows nothing of mail.
//
// # Keys
//
// Whoever keeps files has a key pair. Its public key is enough to write files, so that mail is delivered to people who are
// not logged in; reading takes the private key. Both are of HPKE (RFC 9180, crypto/hpke) with the key encapsulation
// MLKEM768-X25519 (X-Wing): files and their backups lie around for decades, and what is copied today must not be readable to
// a quantum computer then. It costs 1088 octets a file more than X25519 alone, and less than a tenth of a millisecond.
//
// A key file has the public keys in the clear, the private ones under a master key, and the master key once for each lock
// that opens it: a password (by argon2id), a recovery key that is shown once, a key of the server. A lock is a key pair that
// is derived from the secret, so that a new master key can be put behind all locks without knowing what opens them.
//
// # Files
//
// A file begins with the name and version of the format, the id of the key it is for, an HPKE encapsulated key and a salt. One
// encapsulated key serves several files of a process, for a bounded number and time; the salt makes a key of its own for
// each. What the file holds then comes in chunks of 16 KiB with ChaCha20-Poly1305, whose nonces have the number of the
// chunk and whether it is the last (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár). Any chunk can be read
// alone; one that is changed, missing, doubled or in another place is noticed, and so is the end when it is cut off. The kind
// of a file goes into its key: one kind cannot be put in the place of another. One file in the place of another of
// the same kind and account can.
//
// # Logs
//
// A log is a file that grows. Each write is one or more frames with XChaCha20-Poly1305 and a random nonce, authenticated with
// its number and the tag of the frame before it, so that none can be taken out of the middle. What is missing at the end is
// not noticed: that is what a power cut leaves.
package sealed

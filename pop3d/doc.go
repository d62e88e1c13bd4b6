// Package pop3d is a POP3 server over any [mailbox.Store]: RFC 1939 with CAPA (RFC 2449), STLS (RFC 2595), SASL
// (RFC 5034) and the response codes of RFC 2449 and RFC 3206.
//
//	srv := &pop3d.Server{
//		Auth:      auth.Passwords(users),
//		TLSConfig: tlsConfig,
//		Store: func(ctx context.Context, id mailbricks.Identity) (mailbox.Store, error) { … },
//	}
//	log.Fatal(srv.ListenAndServeTLS())
//
// # The maildrop
//
// A session sees the INBOX as it was at log-in; what comes later is seen by the next one. A second log-in to the same
// account of this Server gets -ERR [IN-USE] until the first session has ended (RFC 1939 §8). DELE only marks: messages are
// removed, and those that were retrieved get \Seen, at QUIT. A session that ends in any other way changes nothing. A message that
// someone else removed meanwhile is answered by -ERR.
//
// Unique ids are those of Dovecot's default format (UID and UIDVALIDITY in hexadecimal), so that the clients of a
// server that was moved do not fetch everything again.
//
// # What it does not have
//
// APOP needs the password in clear on the server, and UTF8 (RFC 6856) would have to downgrade messages: both are left
// out. The time-out of a session is silent (RFC 1939 §3).
//
// # Memory
//
// A connection has a read buffer of 4 KiB (12 KiB while a long SASL response comes), replies of up to 32 KiB, and, after
// log-in, 16 octets for each message in the maildrop, of which MaxMessages are taken.
package pop3d

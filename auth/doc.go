// Package auth finds out who a peer is: password hashes, the SASL mechanisms that the SMTP, IMAP and POP3 servers offer,
// and the slowing down of those who guess.
//
// [Passwords] makes an [Authenticator] of anything that knows [Users]; it fits the Auth field of every server:
//
//	login := auth.Passwords(users)
//	smtp := &smtpd.Server{Auth: login, …}
//	imap := &imapd.Server{Auth: login, …}
//
// One Authenticator should serve all servers of a program, so that guesses add up over the protocols and a log-in that
// was verified once is not hashed again for the next connection.
//
// Package auth/directory keeps accounts, aliases and quotas in text files.
package auth

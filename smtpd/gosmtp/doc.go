// Package gosmtp runs backends that were written for github.com/emersion/go-smtp's server on the engine of package smtpd.
//
//	s := smtp.NewServer(backend)
//	s.Addr, s.Domain, s.TLSConfig = ":25", "mail.example.com", tlsConfig
//
//	srv := gosmtp.Server(s)       // in place of s
//	log.Fatal(srv.ListenAndServe())
//
// What comes back is a *[smtpd.Server] like any other, to which checks, limits, a Logger and a Trace can be added.
//
// # What the backend sees
//
// NewSession is called at the first EHLO, and again at the first after STARTTLS, as in go-smtp. The methods of a session are
// called one at a time, and Logout once, as the last. Data reads a message that has arrived in whole: one that broke off, came
// too slowly or was refused by a check is never seen, and its reader ends when the client leaves. The message is as the client
// sent it, see Options.Received, with two exceptions: a last line of BDAT that has no end gets one (not with BODY=BINARYMIME),
// and a message that begins with white space gets a blank line in front, without which that would continue a field. Reset is called after each message, at EHLO, and in front of the next Mail where the client
// gave a message up, not already at RSET.
//
// All checks are asked before the backend, wherever they stand in Checks. A sender or recipients that they have changed by the
// time the message is there are told to the backend with a new Mail and Rcpt. go-smtp has no word for quarantine: a backend
// that wants to know needs a check that puts it into the header.
//
// A session that is an [smtp.AuthSession] offers AUTH; who has logged in is told by [Identifier]. One that is an
// [smtp.LMTPSession] answers for each recipient where the server's LMTP is set; a status for a recipient that there is not,
// or the second for one that there is once, is logged and does no harm.
//
// A *[smtp.SMTPError], also one that is wrapped, is the reply; one of class 2 is success, with the server's own text. Any other
// error becomes 451 with a text that gives nothing away, and is logged. An error of package mailbricks or smtpd means what it
// means from a check. A method that panics costs its client the connection, with 421, and nobody else anything.
//
// # The connection
//
// A *[smtp.Conn] cannot be made from outside of go-smtp. Each session therefore has one from a server of go-smtp's that serves
// a connection within the process, is told the client's name and waits. So its methods give what they should: Hostname,
// Session, Server (a copy with the same settings, for this session alone), and from Conn the addresses of the client's
// connection. Close and Reject end the client's connection, at the next call of the backend at the latest, as does a reply
// that is written to Conn and followed by Close. Nothing else that is written there is sent, nothing can be read, and its
// deadlines are without effect.
//
// With TLS, Conn is a *[crypto/tls.Conn] and TLSConnectionState is that of a handshake within the process: version, server
// name (SNI) and ALPN are those of the client's, and so is the cipher suite up to TLS 1.2. Certificates, keying material and
// the suite of TLS 1.3 are not; [SessionOf] has the true state. A session costs some 16 KiB and a goroutine for this; with TLS
// it is 40 KiB, and a second handshake that needs no network. A Logout that panics leaves that goroutine behind.
//
// # What else differs
//
//	                                      go-smtp v0.25.1                here
//	MAIL, RCPT, DATA out of order         502, nested MAIL accepted      503 5.5.1
//	RCPT TO:<postmaster>                  501                            accepted, as "postmaster"
//	MAIL FROM:ann@example.com             accepted                       501, angle brackets are needed
//	"a b"@example.com                     accepted, as a b@example.com   accepted, as "a b"@example.com
//	domains and address literals          not checked                    checked, 501
//	addresses in UTF-8 without SMTPUTF8   accepted                       550, 553
//	a parameter given twice               the last counts                501
//	BY and MT-PRIORITY                    on RCPT, 500 on MAIL           on MAIL (RFC 2852, RFC 6710), told at each Rcpt
//	line ends other than CR LF            accepted in commands           500; see smtpd.BareLineEnds for messages
//	CR LF . CR CR LF and the like         dot and CR removed             550 5.5.2 after the true end
//	silence within DATA                   the rest runs as commands      421 and the end
//	BDAT LAST that breaks off             accepted as complete           refused
//	BDAT whose last line has no end       as it is                       with CR LF behind it
//	message that begins with white space  as it is                       with a blank line in front
//	AUTH after HELO                       accepted                       503 5.5.1, EHLO first
//	MAIL after a refused one              Mail alone                     Reset, then Mail
//	AUTH with a mechanism not named       Auth is asked                  504
//	HELP                                  502                            214
//	error that is no SMTPError            shown to the client            451, logged
//	... of a password                     454, shown, any number         535 5.7.8, counted by MaxAuthFailures
//	... of Data                           554, shown                     451, logged
//	SMTPError that is wrapped             451 or 554, shown              the reply
//	NoEnhancedCode                        left out                       the general code, on each line (RFC 2034)
//	limits that are 0                     no limit                       the default of smtpd.Server
package gosmtp

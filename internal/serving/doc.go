// Package serving is what the protocol servers have in common: how a server lives and how a connection is read.
//
// [Life] is a server's life cycle: it takes connections from listeners, counts them in all, by address and by network, tells
// when they are so many that the server is under stress, and brings them to their end at Shutdown and Close. [Counts] counts
// what else has a limit, such as the sessions of a user.
//
// [Conn] is the server's end of a connection: deadlines, TLS, and an end by which the peer gets the last reply. [LineConn]
// adds what protocols of lines need, above all to notice that the peer leaves while the server works for it.
//
// [Probe] finds out, before a message is announced, whether it can be read.
//
// The rest are the helpers that give a Server's fields their defaults and compare with limits, and [Guard], which keeps a
// panic of one session, or of the code that it calls, from the others.
package serving

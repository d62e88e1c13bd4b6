// Package mimeindex reads a message once and says where everything in it stands.
//
// [Parse] turns any sequence of bytes into a tree of [Part] values: offsets of header and body, sizes, line counts, the
// Content-* fields and, for messages, the envelope. It keeps no body, so memory grows with the number of parts and
// the size of their headers only, both limited by [Limits]; time grows with the number of bytes. There is no message
// that it refuses: the one error it returns is the reader's.
//
//	root, err := mimeindex.Parse(file, mimeindex.Limits{})
//	resp = root.Envelope.Append(resp)                       // FETCH ENVELOPE
//	resp = root.AppendBody(resp, mimeindex.Extended)        // FETCH BODYSTRUCTURE
//	off, n, ok := root.Section([]int{1, 2}, mimeindex.MIME) // FETCH BODY[1.2.MIME]: n raw bytes at off
//	raw := mimeindex.Header(block).Subset(names, false)     // FETCH BODY[HEADER.FIELDS (...)]
//
// What listing needs of that, [Summarize] puts into a few hundred octets that a store can keep beside the message, and
// [ReadSummary] takes out again: ENVELOPE and BODYSTRUCTURE as they go over the wire, the header fields that mail programs
// ask for, and the tree of parts.
//
// For SEARCH, SORT and THREAD there are [ParseDate] and [AddressList.All]; text is the affair of package mimetext.
//
// # What it makes of broken messages
//
// Where no standard says what a broken message means, the answer is the one of the IMAP servers in wide use, so that
// clients see what they are used to:
//
//   - A header ends at the first empty line. A line without a colon stays in it as bytes, with the lines folded to it.
//   - A delimiter line is one that starts with "--" and the boundary (RFC 2046 §5.1.1); of several boundaries that
//     fit, the one that fits the whole line wins, else the longest. A delimiter inside a part's header ends the part.
//   - The line end in front of a delimiter belongs to the delimiter, if it is not the one that ends the header.
//   - Of repeated Content-* fields and parameters the first counts; of Date, Subject, Message-ID and In-Reply-To the
//     last; address fields are added up, so that nothing can hide behind the first.
//   - A multipart without any part is given an empty text/plain part, since IMAP has no word for none.
//   - What lies deeper than the limits allow is not taken apart and shows as application/octet-stream.
//
// # Line ends
//
// Offsets and sizes are those of the bytes read. IMAP counts a line end as two octets; a file with bare LFs (from a
// foreign Maildir) shows how many it has in [Part.HeaderBareLF] and [Part.BodyBareLF], so that sizes can be given as
// they will be once the line ends are repaired; [CRLFReader] repairs them.
package mimeindex

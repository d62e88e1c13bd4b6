// Package mimetext makes UTF-8 of the texts in a message, for search and sort: [NewReader] of a part's body,
// [DecodeHeader] of a header value (RFC 2047). [Matcher] looks for a string in such a text as it streams by, without
// regard to case, and [BaseSubject] takes the marks of replies off a subject.
//
// It is apart from mimeindex because it links the tables of all character sets.
package mimetext

// Package domainname gives domain names the one form in which this project compares, looks up and stores them: lower case
// (RFC 4343), A-labels for U-labels (RFC 5890 §2.3.2.1), no final dot.
//
// There are three profiles, each a part of the next: [Host] for names that mail is taken for, [Identity] for names that are
// compared in the authentication of mail, [DNS] for names that are only looked up. [DKIM] is [Identity] as strict as the
// grammar of signatures. All of them have labels of 1 to 63 octets, and 253 octets with the dots between these (RFC 1035
// §2.3.4).
//
// Names are converted label by label. A label of ASCII stays as it is: one like "_dmarc" is no business of IDNA (RFC 5890
// §2.3.1), and whether an A-label exists the DNS knows. Any other label is mapped as RFC 5895 and UTS #46 lay down, without
// the transitional mapping, and must then be valid by RFC 5891 §5.4, with the Bidi rule of RFC 5893 §2 for that label. The
// dots of RFC 3490 §3.1 separate labels as "." does.
//
// Names come from anybody. Work is bounded: an ASCII name costs one pass over at most 1,012 octets, and what is converted is
// bounded before Punycode (RFC 3492), which takes time in step with the square of a label's length.
package domainname

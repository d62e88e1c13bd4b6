package mimeindex

// maxListing is how many octets of fields a [Summary] holds.
const maxListing = 4 << 10

// listedField gives the number of a header field that mail programs ask for when they list a mailbox, -1 for all others. The
// smaller the number, the more programs want it: when not all fit, those go first that have the larger ones. Numbers are
// part of the format of a Summary: one that has a meaning keeps it.
func listedField(name string) int {
	var buf [32]byte
	switch string(lower(&buf, name)) {
	case "from":
		return 0
	case "to":
		return 1
	case "subject":
		return 2
	case "date":
		return 3
	case "message-id":
		return 4
	case "cc":
		return 5
	case "reply-to":
		return 6
	case "content-type":
		return 7
	case "in-reply-to":
		return 8
	case "sender":
		return 9
	case "bcc":
		return 10
	case "references":
		return 11
	case "priority":
		return 12
	case "x-priority":
		return 13
	case "importance":
		return 14
	case "newsgroups":
		return 15
	case "mime-version":
		return 16
	case "content-transfer-encoding":
		return 17
	case "content-disposition":
		return 18
	case "content-description":
		return 19
	case "content-language":
		return 20
	case "list-id":
		return 21
	case "list-post":
		return 22
	case "list-unsubscribe":
		return 23
	case "list-unsubscribe-post":
		return 24
	case "list-subscribe":
		return 25
	case "list-help":
		return 26
	case "disposition-notification-to":
		return 27
	case "return-receipt-to":
		return 28
	case "return-path":
		return 29
	case "delivered-to":
		return 30
	case "x-original-to":
		return 31
	case "resent-message-id":
		return 32
	case "resent-from":
		return 33
	case "resent-to":
		return 34
	case "resent-date":
		return 35
	case "lines":
		return 36
	case "x-label":
		return 37
	case "keywords":
		return 38
	case "x-spam-status":
		return 39
	case "x-spam-flag":
		return 40
	case "mail-followup-to":
		return 41
	case "mail-reply-to":
		return 42
	case "x-draft-info":
		return 43
	case "x-mailer":
		return 44
	case "user-agent":
		return 45
	case "organization":
		return 46
	case "auto-submitted":
		return 47
	case "precedence":
		return 48
	case "chat-version":
		return 49
	case "autocrypt-draft-state":
		return 50
	case "x-k9mail-identity":
		return 51
	case "x-uniform-type-identifier":
		return 52
	case "x-universally-unique-identifier":
		return 53
	case "bimi-location":
		return 54
	case "bimi-indicator":
		return 55
	case "x-bimi-indicator-hash":
		return 56
	case "authentication-results":
		return 57
	case "dkim-signature":
		return 58
	}
	return -1
}

// listedFields is how many numbers listedField has.
const listedFields = 59

// lower writes an ASCII name in lower case into buf, cut off where it ends.
func lower[T string | []byte](buf *[32]byte, name T) []byte {
	n := min(len(name), len(buf))
	for i := range n {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return buf[:n]
}

// listingFields are the fields of a header that a Summary holds, as they stand in it.
type listingFields struct {
	// known has a bit for each number of listedField: all fields of this name are in raw, or there is none.
	known uint64
	raw   []byte
}

func (l *listingFields) read(h Header) {
	var sizes [listedFields]int
	for f := range h.Fields() {
		if i := listedField(f.Name); i >= 0 {
			sizes[i] += len(f.Raw)
		}
	}
	left := maxListing
	for i, size := range sizes {
		if size <= left {
			l.known |= 1 << i
			left -= size
		}
	}
	for f := range h.Fields() {
		if i := listedField(f.Name); i >= 0 && l.known&(1<<i) != 0 {
			l.raw = append(l.raw, f.Raw...)
		}
	}
}

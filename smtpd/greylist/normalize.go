package greylist

import (
	"strings"

	"github.com/mailbricks/mailbricks"
)

// minMixed is how many letters and digits together make a word of a local part count as an identifier of one message.
const minMixed = 6

// normalize gives what stays the same of a sender's address from one message to the next: some senders put into it which
// message it is (RFC 6647 §4.2), and would wait each time. It merges addresses that differ in such a part only, which is
// harmless, as the client and the recipient count, too.
func normalize(sender string) string {
	local, domain := mailbricks.SplitAddress(strings.ToLower(sender))
	local = strings.Trim(local, `"`)
	local = untag(local)
	if i := strings.IndexByte(local, '+'); i > 0 { // a subaddress, or VERP as qmail and sendmail do it
		local = local[:i]
	}
	return mask(local) + "@" + canonical(domain)
}

// untag takes the signatures off addresses: BATV's prvs=TAG=local, and hash and date of SRS0=HASH=DATE=domain=local. Of
// SRS1=HASH=relay==HASH=DATE=domain=local the relay and what is behind is left.
func untag(local string) string {
	scheme, rest, ok := strings.Cut(local, "=")
	if !ok {
		scheme, rest, ok = strings.Cut(local, "+") // SRS with its second separator
	}
	if !ok {
		scheme, rest, ok = strings.Cut(local, "-") // and the third
	}
	if !ok {
		return local
	}
	switch scheme {
	case "prvs", "btv1":
		_, original, ok := strings.Cut(strings.TrimPrefix(rest, "="), "=")
		if !ok {
			return local
		}
		return strings.TrimPrefix(original, "=")
	case "srs0":
		if parts := strings.SplitN(rest, "=", 3); len(parts) == 3 {
			return "srs0=" + parts[2]
		}
	case "srs1":
		_, behind, ok := strings.Cut(rest, "=") // the hash of the relay that made it
		if !ok {
			return local
		}
		relay, inner, ok := strings.Cut(behind, "=")
		if parts := strings.SplitN(strings.TrimPrefix(inner, "="), "=", 3); ok && len(parts) == 3 {
			return "srs1=" + relay + "=" + parts[2]
		}
	}
	return local
}

// mask puts "#" for each word of a local part that is a number, or as long as an identifier and has a digit.
func mask(local string) string {
	if !strings.ContainsAny(local, "0123456789") {
		return local
	}
	var out strings.Builder
	for i := 0; i < len(local); {
		if !letter(local[i]) && !digit(local[i]) {
			out.WriteByte(local[i])
			i++
			continue
		}
		start, letters, digits := i, 0, 0
		for ; i < len(local); i++ {
			if digit(local[i]) {
				digits++
			} else if letter(local[i]) {
				letters++
			} else {
				break
			}
		}
		if digits > 0 && (letters == 0 || letters+digits >= minMixed) {
			out.WriteByte('#')
		} else {
			out.WriteString(local[start:i])
		}
	}
	return out.String()
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func letter(c byte) bool { return 'a' <= c && c <= 'z' }

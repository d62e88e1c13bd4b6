package greylist

import (
	"strings"

	"github.com/mailbricks/mailbricks"
)

// minMixed is how many letters and digits together make a word of a local part count as an identifier of one message.
const minMixed = 6

// minHex is the same for hexadecimal digits behind such an identifier.
const minHex = 4

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

// untag takes the signatures off addresses: BATV's prvs=TAG=local, and hash and date of SRS0=HASH=DATE=domain=local, where the
// first "=" may be "+" or "-". Of SRS1=HASH=relay==HASH=DATE=domain=local the relay and what is behind the date is left.
func untag(local string) string {
	if len(local) < len("srs0=") {
		return local
	}
	scheme, rest := local[:4], local[5:]
	switch {
	case strings.IndexByte("=+-", local[4]) < 0:
	case local[4] == '=' && (scheme == "prvs" || scheme == "btv1"):
		if _, original, ok := strings.Cut(strings.TrimPrefix(rest, "="), "="); ok {
			return strings.TrimPrefix(original, "=")
		}
	case scheme == "srs0":
		if parts := strings.SplitN(rest, "=", 3); len(parts) == 3 {
			return "srs0=" + parts[2]
		}
	case scheme == "srs1":
		_, behind, _ := strings.Cut(rest, "=") // the hash of the relay that made it
		relay, inner, _ := strings.Cut(behind, "=")
		if inner != "" && strings.IndexByte("=+-", inner[0]) >= 0 {
			inner = inner[1:]
		}
		if parts := strings.SplitN(inner, "=", 3); len(parts) == 3 {
			return "srs1=" + relay + "=" + parts[2]
		}
	}
	return local
}

// mask puts "#" for each word of a local part that is a number, or as long as an identifier and has a digit, and behind such a
// word also for those of hexadecimal digits, as in a UUID.
func mask(local string) string {
	if !strings.ContainsAny(local, "0123456789") {
		return local
	}
	var out strings.Builder
	for masked := false; local != ""; {
		end := strings.IndexFunc(local, func(r rune) bool { return r > 'z' || !letter(byte(r)) && !digit(byte(r)) })
		switch {
		case end == 0:
			out.WriteByte(local[0])
			local = local[1:]
			continue
		case end < 0:
			end = len(local)
		}
		if identifier(local[:end], masked) {
			masked = true
			out.WriteByte('#')
		} else {
			out.WriteString(local[:end])
		}
		local = local[end:]
	}
	return out.String()
}

// identifier says whether a word may be another in the next message; behind says that one like that was in front of it.
func identifier(word string, behind bool) bool {
	digits, hex := 0, 0
	for i := range len(word) {
		if digit(word[i]) {
			digits++
		} else if word[i] <= 'f' {
			hex++
		}
	}
	switch {
	case digits == len(word):
		return true
	case digits > 0 && len(word) >= minMixed:
		return true
	}
	return behind && len(word) >= minHex && digits+hex == len(word)
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func letter(c byte) bool { return 'a' <= c && c <= 'z' }

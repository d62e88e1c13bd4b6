package dmarc

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

const (
	maxLocal = 64 // length of a local part (RFC 5321 §4.5.3.1.1)
	maxURIs  = 32 // how many URIs of a list are looked at
)

// uris gives the valid URIs of rua or ruf.
func (p *parser) uris(name string) []string {
	list, found := p.value(name)
	if found && list == "" {
		p.warn(name, "is empty")
	}
	var out []string
	for i := 0; list != ""; i++ {
		if i == maxURIs {
			p.warn(name, "has more than 32 URIs; the others do not count")
			break
		}
		var text string
		text, list, _ = strings.Cut(list, ",")
		uri, problem := cleanURI(text)
		if problem != "" {
			p.warn(name, "has "+quote(trim(text))+", "+problem)
		}
		if uri != "" {
			out = append(out, uri)
		}
	}
	return out
}

// cleanURI gives a URI of a list, empty when it is not valid, and what is wrong with it. Blanks in it, as in
// "mailto: dmarc@example.com", are what people write and no URI; they are removed.
func cleanURI(text string) (uri, problem string) {
	text = trim(text)
	uri = withoutBlanks(text)
	if uri != text {
		problem = "which has blanks in it"
	}
	uri, size, sized := strings.Cut(uri, "!") // obs-dmarc-report-size (RFC 9989 §4.8)
	if sized && validSize(size) {
		problem = "the size limit of which is obsolete"
	} else if sized {
		problem = "which has a \"!\" that is no size limit; it should be %21"
	}
	scheme, _, ok := strings.Cut(uri, ":")
	switch {
	case uri == "":
		return "", "which is no URI"
	case !ok:
		return "", "which is no URI as it has no scheme like mailto:"
	case strings.EqualFold(scheme, "mailto"):
		if _, ok := MailAddress(uri); !ok {
			return "", "which has no valid mail address"
		}
		return uri, problem
	}
	if u, err := url.Parse(uri); err != nil || !printable(uri) || u.Host == "" && u.Opaque == "" {
		return "", "which is no valid URI"
	}
	if problem == "" {
		problem = "which receivers ignore unless they support it: only mailto: is certain"
	}
	return uri, problem
}

// validSize: 1*DIGIT [ "k" / "m" / "g" / "t" ].
func validSize(s string) bool {
	digits := strings.TrimRight(s, "kmgtKMGT")
	return digits != "" && len(s) <= len(digits)+1 && strings.Trim(digits, "0123456789") == ""
}

// MailAddress gives the mail address of a mailto URI (RFC 6068) as it may stand in an SMTP command: a local part without
// quotes, perhaps in UTF-8, and a domain in lower case with A-labels. It is false for other URIs, several addresses, address
// literals and local parts that need quotes. Header fields of the URI are ignored.
func MailAddress(uri string) (string, bool) {
	scheme, raw, ok := strings.Cut(uri, ":")
	if !ok || !strings.EqualFold(scheme, "mailto") || !printable(uri) {
		return "", false
	}
	if end := strings.IndexAny(raw, "?#"); end >= 0 {
		raw = raw[:end]
	}
	text, err := url.PathUnescape(raw)
	at := strings.LastIndexByte(text, '@')
	if err != nil || at < 0 || strings.Contains(raw, "/") { // mailto://a@b
		return "", false
	}
	domain, ok := domainname.Identity(text[at+1:])
	if local := text[:at]; ok && dotString(local) {
		return local + "@" + domain, true
	}
	return "", false
}

// dotString: atoms with single dots between them (RFC 5321 §4.1.2, RFC 6531 §3.3).
func dotString(s string) bool {
	if len(s) > maxLocal || !utf8.ValidString(s) {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for _, r := range atom {
			if r <= ' ' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("()<>[]:;@\\,\"", r) {
				return false
			}
		}
	}
	return true
}

// uriHost gives the domain of a URI's authority, or of a mailto URI's address; empty when it has none.
func uriHost(uri string) string {
	if address, ok := MailAddress(uri); ok {
		return address[strings.LastIndexByte(address, '@')+1:]
	}
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	name, _ := domainname.Identity(u.Hostname())
	return name
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

package domainname

import "strings"

// MaxName and MaxLabel are the most octets of a name, in text and without its final dot, and of a label (RFC 1035 §2.3.4).
const (
	MaxName  = 253
	MaxLabel = 63
)

// DNS gives the form of a name that can be looked up: any printable ASCII may be in its labels (RFC 2181 §11). "\" is an
// octet as any other here and escapes nothing. False means that no form of the name fits into the DNS.
func DNS(name string) (string, bool) {
	return canonical(name, underscore|printable)
}

// Identity gives the form of a name that stands for who sent or signed a message. It is [DNS] with nothing but letters,
// digits, "-" and "_", so that the results of SPF, DKIM and DMARC can be compared octet by octet.
func Identity(name string) (string, bool) {
	return canonical(name, underscore)
}

// DKIM gives the form of a name or selector for a signature. It is [Identity] for what sub-domain of RFC 5321 §4.1.2 allows
// (RFC 6376 §3.5): no final dot, and no "-" at an end of a label.
func DKIM(name string) (string, bool) {
	form, ok := canonical(name, underscore)
	if !ok || trimDot(name) != name || !letDig(form) {
		return "", false
	}
	return form, true
}

// Host gives the form of a name that mail can be taken for. It is [Identity] without "_", without "-" at an end of a label
// (RFC 952, RFC 1123 §2.1), and with a last label that is not all digits, as no host name looks like an IP address.
func Host(name string) (string, bool) {
	name, ok := canonical(name, 0)
	if !ok || !letDig(name) || strings.Trim(TopLabel(name), "0123456789") == "" {
		return "", false
	}
	return name, true
}

// Parent removes the left-most label. It is empty for a name of one label.
func Parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// TopLabel gives the right-most label.
func TopLabel(name string) string {
	return name[strings.LastIndexByte(name, '.')+1:]
}

// Within says whether name is domain or one of its subdomains. Both must have the form that this package gives.
func Within(name, domain string) bool {
	above := len(name) - len(domain)
	return name == domain || above > 0 && name[above-1] == '.' && name[above:] == domain
}

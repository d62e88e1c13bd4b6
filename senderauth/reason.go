package senderauth

import (
	"errors"
	"strings"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/spf"
)

// ErrPartialBody is why a signature with l= does not count although it is right: the body goes on behind what it covers.
var ErrPartialBody = errors.New("senderauth: part of the body is not signed")

// The reasons in a field are fixed texts. Those of errors may quote the message or name our resolver.

func spfReason(v spf.Verdict) string {
	if v.Result != spf.TempError && v.Result != spf.PermError {
		return ""
	}
	return firstOf(v.Err, spf.ErrNoRecord, spf.ErrMultipleRecords, spf.ErrSyntax, spf.ErrTooManyLookups,
		spf.ErrTooManyVoidLookups, spf.ErrTooManyMX, spf.ErrTarget)
}

func dkimReason(err error) string {
	return firstOf(err, ErrPartialBody, dkim.ErrHeaderTooLarge, dkim.ErrTooManySignatures, dkim.ErrSyntax, dkim.ErrAlgorithm,
		dkim.ErrExpired, dkim.ErrFuture, dkim.ErrNoKey, dkim.ErrKeyRevoked, dkim.ErrKeySyntax, dkim.ErrKeyUse, dkim.ErrWeakKey,
		dkim.ErrKeyTooLarge, dkim.ErrLookup, dkim.ErrBody, dkim.ErrBodyLength, dkim.ErrSignature)
}

func arcReason(err error) string {
	return firstOf(err, dkim.ErrHeaderTooLarge, arc.ErrTooManySets, arc.ErrMarkedFail, arc.ErrStructure, dkim.ErrLookup,
		arc.ErrMessageSignature, arc.ErrSeal)
}

func dmarcReason(err error) string {
	return firstOf(err, dmarc.ErrManyFrom, dmarc.ErrMalformedFrom, dmarc.ErrNoAuthor, dmarc.ErrTooManyAuthors,
		dmarc.ErrManyAuthors, dmarc.ErrInvalidRecord, dmarc.ErrUnchecked)
}

// firstOf is the text of the first of known that err is, without its package's name.
func firstOf(err error, known ...error) string {
	if err == nil {
		return ""
	}
	for _, k := range known {
		if errors.Is(err, k) {
			text := k.Error()
			for _, prefix := range []string{"dkim: ", "arc: ", "senderauth: "} {
				text = strings.TrimPrefix(text, prefix)
			}
			return text
		}
	}
	return "DNS look-up failed"
}

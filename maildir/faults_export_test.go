package maildir

import "github.com/mailbricks/mailbricks/mailbox"

// ShortenSummaries has the log of summaries of an open mailbox written anew.
func ShortenSummaries(b mailbox.Mailbox) error { return b.(*session).f.summaries.compact() }

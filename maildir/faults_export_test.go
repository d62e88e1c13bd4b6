package maildir

import "github.com/mailbricks/mailbricks/mailbox"

// CompactSummaries has the log of summaries of an open mailbox written anew.
func CompactSummaries(b mailbox.Mailbox) error { return b.(*session).f.summaries.compact() }

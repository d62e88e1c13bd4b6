package archive_test

import (
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

// quotaStore is an empty account with room for some octets.
func quotaStore(octets int64) mailbox.Store { return memory.New(mailbox.Limit{Octets: octets}).Store() }

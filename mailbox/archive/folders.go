package archive

import (
	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/mailbox"
)

// folderName is the folder of a mailbox in a Maildir++ tree, empty for INBOX.
func folderName(name string) string {
	if name == mailbox.Inbox {
		return ""
	}
	return maildirpp.Folder(name)
}

// mailboxName is the reverse; ok is false for what is no mailbox's folder.
func mailboxName(folder string) (name string, ok bool) {
	if name, ok = maildirpp.Name(folder); !ok {
		return "", false
	}
	name, err := mailbox.CleanName(name)
	return name, err == nil && name != mailbox.Inbox
}

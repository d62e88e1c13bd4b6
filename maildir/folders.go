package maildir

import (
	"fmt"

	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/mailbox"
)

// maxFileName is the longest name of a folder on disk, in octets.
const maxFileName = 255

// folderName gives the folder of a mailbox within the account's (see [maildirpp.Folder]), the account's own for INBOX.
func folderName(name string) (string, error) {
	name, err := mailbox.CleanName(name)
	if err != nil {
		return "", err
	}
	if name == mailbox.Inbox {
		return "", nil
	}
	folder := maildirpp.Folder(name)
	if len(folder) > maxFileName {
		return "", fmt.Errorf("%w: longer than %d octets on disk", mailbox.ErrName, maxFileName)
	}
	return folder, nil
}

// mailboxName is the reverse of folderName; it says no to folders that cannot be a mailbox.
func mailboxName(folder string) (string, bool) {
	name, ok := maildirpp.Name(folder)
	if !ok {
		return "", false
	}
	name, err := mailbox.CleanName(name)
	if err != nil || name == mailbox.Inbox {
		return "", false
	}
	return name, true
}

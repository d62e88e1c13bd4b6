package maildir

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// backupHead is what the file says.
type backupHead struct {
	address, tree string
	taken         time.Time
	// mailboxes and messages are how many there were; 0: nobody knows, or none.
	mailboxes, messages int
}

// whole fails if there are fewer now.
func (h backupHead) whole(mailboxes, messages int) error {
	if mailboxes >= h.mailboxes && messages >= h.messages {
		return nil
	}
	return fmt.Errorf("%w: it has %d of %d messages and %d of %d mailboxes", ErrDamagedBackup, messages, h.messages, mailboxes, h.mailboxes)
}

// readBackup reads the file; ErrNoBackup if there is none.
func readBackup(fsys durable.FS, dir string) (backupHead, error) {
	data, err := durable.ReadFile(fsys, filepath.Join(dir, backupFile), maxBackupFile)
	if isNotExist(err) {
		return backupHead{}, fmt.Errorf("%w: %s", ErrNoBackup, dir)
	}
	if err != nil {
		return backupHead{}, err
	}
	var head backupHead
	first, rest, _ := strings.Cut(string(data), "\n")
	name, version, _ := strings.Cut(first, " ")
	switch {
	case name != backupFile:
		return head, fmt.Errorf("%w: %s is damaged", ErrNoBackup, filepath.Join(dir, backupFile))
	case version != backupVersion:
		return head, fmt.Errorf("%w: backup of version %.20q", errNewer, version)
	}
	for line := range strings.SplitSeq(rest, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "address":
			head.address = value
		case "mail":
			head.tree = value
		case "taken":
			head.taken, _ = time.Parse(time.RFC3339, value) // only for people
		case "mailboxes":
			head.mailboxes, _ = strconv.Atoi(value) // a line that is damaged asks for nothing
		case "messages":
			head.messages, _ = strconv.Atoi(value)
		}
	}
	if _, ok := treeNumber(head.tree); !ok {
		return head, fmt.Errorf("%w: %s is damaged", ErrNoBackup, filepath.Join(dir, backupFile))
	}
	return head, nil
}

func (h backupHead) write(fsys durable.FS, dir string) error {
	text := fmt.Sprintf("%s %s\naddress %s\nmail %s\ntaken %s\nmailboxes %d\nmessages %d\n", backupFile, backupVersion,
		h.address, h.tree, h.taken.UTC().Format(time.RFC3339), h.mailboxes, h.messages)
	return durable.WriteFile(fsys, filepath.Join(dir, backupFile), []byte(text), messagePerm)
}

// treeNumber is the number in the name of a tree.
func treeNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, backupTree)
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, ok && err == nil && name == backupTree+strconv.FormatUint(n, 10)
}

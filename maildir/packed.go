package maildir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/packing"
	"github.com/mailbricks/mailbricks/mailbox"
)

// ErrPacked: the file of a message is one that Dovecot's plugin zlib compressed, or mail_crypt encrypted. To show what is in it as
// a message would be wrong. Dovecot converts such mail, with all UIDs: `doveadm backup` into a Maildir without these plugins.
var ErrPacked = errors.New("maildir: message is packed")

// packedHow says how a file is packed; empty if it is not. What is as long as its name says was stored as it is: only if a
// client did so it may begin like something packed.
func packedHow(base string, length int64, r io.ReaderAt) (string, error) {
	if named, ok := nameSize(base, 'S'); ok && named == length {
		return "", nil
	}
	start := make([]byte, packing.Start)
	n, err := r.ReadAt(start, 0)
	if err == io.EOF {
		err = nil
	}
	return packing.Of(start[:n]), err
}

// packedFile is packedHow for a file.
func packedFile(fsys durable.FS, path, base string) (string, error) {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	return packedHow(base, info.Size(), f)
}

// packedSize is how long a packed message is with CRLF line ends, as far as its name tells; length is that of its file.
func packedSize(base string, length int64) int64 {
	if n, ok := crlfSize(base); ok {
		return n
	}
	if n, ok := nameSize(base, 'S'); ok {
		return n
	}
	return length
}

// unpacked refuses, and closes, the content of a packed message.
func (f *folder) unpacked(base string, c mailbox.Content) error {
	length := c.Size()
	if crlf, ok := c.(*crlfContent); ok {
		length = crlf.length
	}
	how, err := packedHow(base, length, c)
	if err == nil && how == "" {
		return nil
	}
	if err == nil {
		what := packing.Plugin(how)
		f.packed.Do(func() {
			f.account.maildir.logger().Warn("maildir: mailbox has messages that cannot be read until doveadm backup converts them",
				"folder", f.dir(), "message", base, "what", what)
		})
		err = fmt.Errorf("%w: %s was %s: convert the account with doveadm backup", ErrPacked, base, what)
	}
	return errors.Join(err, c.Close())
}

// keepSizes has a copy of a packed message say in its name what the message's own says: nobody else knows how long it is. base
// is the message's name.
func (a *account) keepSizes(s *staged, base string) (packed bool, err error) {
	named, ok := nameSize(base, 'S')
	if !ok || named == s.size {
		return false, nil
	}
	how, err := packedFile(a.fs(), s.temp, base)
	if err != nil || how == "" {
		return false, err
	}
	s.size, s.crlf = named, -1
	if n, ok := crlfSize(base); ok {
		s.crlf = n
	}
	return true, nil
}

// stagedCopy is what stage made of the message with the name base.
func (a *account) stagedCopy(s *staged, base string) (*staged, error) {
	packed, err := a.keepSizes(s, base)
	if err != nil {
		s.discard(a.fs())
		return nil, err
	}
	if packed {
		s.name()
	}
	return s, nil
}

// name gives it the name that says its sizes.
func (s *staged) name() {
	name := filepath.Base(s.temp)
	if s.crlf < 0 {
		s.base = fmt.Sprintf("%s,S=%d", name, s.size)
	} else {
		s.base = withSizes(name, s.size, s.crlf)
	}
}

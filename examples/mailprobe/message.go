package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/senderauth/authres"
)

// message is an opened message file.
type message struct {
	*io.SectionReader // the message itself
	// envelope is the line with which an mbox begins a message, with its line end. It is no part of the message.
	envelope  string
	file      *os.File
	temporary bool
}

// open opens a message, which stays in its file. What is no regular file, as standard input, is copied to one: it cannot
// be read twice.
func (p *process) open(name string) (*message, error) {
	from := p.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > 0 { // files in /proc have no size
			return newMessage(f, info.Size(), false)
		}
		defer f.Close()
		from = f
	}
	f, err := os.CreateTemp("", "mailprobe-*")
	if err != nil {
		return nil, err
	}
	temporary := os.Remove(f.Name()) != nil // where a file cannot be without a name
	size, err := io.Copy(f, from)
	if err != nil {
		return nil, errors.Join(err, (&message{file: f, temporary: temporary}).Close())
	}
	return newMessage(f, size, temporary)
}

// maxEnvelope is the longest line that is taken for the first one of an mbox, in octets.
const maxEnvelope = 1000

func newMessage(f *os.File, size int64, temporary bool) (*message, error) {
	m := &message{file: f, temporary: temporary}
	start := make([]byte, min(size, maxEnvelope))
	if _, err := f.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, m.Close())
	}
	if rest, ok := bytes.CutPrefix(start, []byte("From ")); ok && !strings.HasPrefix(strings.TrimLeft(string(rest), " \t"), ":") {
		m.envelope = string(start[:bytes.IndexByte(start, '\n')+1])
	}
	skip := int64(len(m.envelope))
	m.SectionReader = io.NewSectionReader(f, skip, size-skip)
	return m, nil
}

var errHeaderTooLarge = fmt.Errorf("the header is longer than %d octets", mailbricks.DefaultMaxHeader)

// parse reads the header. The message stays valid as long as the file is open.
func (m *message) parse() (*mailbricks.Message, error) {
	msg, err := new(mailbricks.Spool).Open(m, m.Size(), nil)
	if errors.Is(err, mailbricks.ErrHeaderTooLarge) {
		return nil, errHeaderTooLarge
	}
	return msg, err
}

// checkFields says which line of the header is no field. A program on the way may take it for the end of the header, which
// would break a signature.
func (m *message) checkFields() error {
	msg, err := m.parse()
	if err != nil {
		return err
	}
	line := 1
	for f := range msg.Fields() {
		if f.Name == "" {
			return fmt.Errorf("line %d of the message is no header field", line)
		}
		line += bytes.Count(f.Raw(), []byte("\n"))
	}
	return nil
}

// results is what a server found, by its Authentication-Results fields in the message (RFC 8617 §4.1.1).
func (m *message) results(servID string) (string, error) {
	if err := m.checkFields(); err != nil {
		return "", err
	}
	msg, err := m.parse()
	if err != nil {
		return "", err
	}
	all := authres.Field{ServID: servID}
	for _, value := range msg.Values(authres.Name) {
		if f, err := authres.Parse(value); err == nil && authres.SameID(f.ServID, servID) {
			all.Results = append(all.Results, f.Results...)
		}
	}
	_, text, _ := strings.Cut(strings.TrimPrefix(all.String(), servID), ";")
	return strings.TrimSpace(text), nil
}

// Close closes the file and removes it if it is ours.
func (m *message) Close() error {
	err := m.file.Close()
	if m.temporary {
		err = errors.Join(err, os.Remove(m.file.Name()))
	}
	return err
}

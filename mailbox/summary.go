package mailbox

import (
	"fmt"
	"io"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// MaxSummary is how long Summary.Data may be in octets. That of a plain message is about 500 long and its listed header fields, of
// which there are at most 4 KiB.
const MaxSummary = mimeindex.MaxSummary

// Summarize reads a message to its end, in one pass and without keeping its body, and gives the Data of its [Summary]. A bare
// LF counts as the CRLF that it stands for, so that a store may give a file as it is. An error is always r's, wrapped.
func Summarize(r io.Reader) ([]byte, error) {
	data, err := mimeindex.Summarize(r)
	if err != nil {
		return nil, fmt.Errorf("mailbox: summarize: %w", err)
	}
	return data, nil
}

// SummaryWriter summarizes a message while it is written somewhere else, as with io.MultiWriter. It is for one message and
// keeps no body: some 10 KiB for most messages, 2 MiB for the worst.
type SummaryWriter struct{ w *mimeindex.SummaryWriter }

// NewSummaryWriter starts a message.
func NewSummaryWriter() *SummaryWriter { return &SummaryWriter{mimeindex.NewSummaryWriter()} }

// Write takes the next octets of the message. It never fails, and does nothing after Data was called.
func (s *SummaryWriter) Write(p []byte) (int, error) { return s.w.Write(p) }

// Data ends the message and gives what [Summarize] gives for the same octets.
func (s *SummaryWriter) Data() []byte { return s.w.Data() }

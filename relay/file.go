package relay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// A message file is written once:
//
//	mailbricks-queue-message 1
//	CRC JSON                    the envelope, see stored
//	the message, octet for octet, to the end of the file
//
// CRC is the CRC-32C of JSON in eight hexadecimal digits.

const (
	messageFormat  = "mailbricks-queue-message"
	messageVersion = 1
	// maxEnvelope is the most octets that an envelope takes in its file.
	maxEnvelope = 8 << 20
	fileMode    = 0o600
	dirMode     = 0o700
	tempSuffix  = ".tmp"
)

// stored is the envelope of a message as its file has it.
type stored struct {
	ID       string    `json:"id"`
	Key      string    `json:"key,omitempty"`
	Created  time.Time `json:"created"`
	Size     int64     `json:"size"`
	Remember bool      `json:"remember,omitempty"`
	// Unprepared says that each attempt has to begin with Options.Prepare, as that has failed before.
	Unprepared bool `json:"unprepared,omitempty"`

	EnvID      string                `json:"env_id,omitempty"`
	From       string                `json:"from"`
	Rcpts      []storedRcpt          `json:"rcpts"`
	Peer       *storedPeer           `json:"peer,omitempty"`
	Received   time.Time             `json:"received,omitzero"`
	Quarantine string                `json:"quarantine,omitempty"`
	Body       mailbricks.BodyType   `json:"body,omitempty"`
	SizeParam  int64                 `json:"size_param,omitempty"`
	SMTPUTF8   bool                  `json:"smtputf8,omitempty"`
	RequireTLS bool                  `json:"requiretls,omitempty"`
	Return     mailbricks.Return     `json:"ret,omitempty"`
	EnvelopeID string                `json:"envid,omitempty"`
	Auth       *string               `json:"auth,omitempty"`
	Priority   *int                  `json:"priority,omitempty"`
	DeliverBy  *mailbricks.DeliverBy `json:"by,omitempty"`
	HoldUntil  time.Time             `json:"hold_until,omitzero"`
}

// storedRcpt is a recipient; Status is set where it was not a fresh one when the message was stored.
type storedRcpt struct {
	Address    string            `json:"to"`
	Alias      string            `json:"alias,omitempty"`
	Notify     mailbricks.Notify `json:"notify,omitempty"`
	Original   string            `json:"orcpt,omitempty"`
	ValidSince time.Time         `json:"rrvs,omitzero"`
	Status     *status           `json:"status,omitempty"`
}

// storedPeer is a Peer without what only a living connection has.
type storedPeer struct {
	Addr     netip.AddrPort       `json:"addr"`
	Local    netip.AddrPort       `json:"local"`
	Hello    string               `json:"hello,omitempty"`
	Protocol string               `json:"protocol,omitempty"`
	Identity *mailbricks.Identity `json:"identity,omitempty"`
}

func newStored(env *mailbricks.Envelope) *stored {
	s := &stored{
		EnvID: env.ID, From: env.From, Received: env.Received, Quarantine: env.Quarantine, Body: env.Body,
		SizeParam: env.Size, SMTPUTF8: env.SMTPUTF8, RequireTLS: env.RequireTLS, Return: env.Return,
		EnvelopeID: env.EnvelopeID, Auth: env.Auth, Priority: env.Priority, DeliverBy: env.DeliverBy, HoldUntil: env.HoldUntil,
	}
	if p := env.Peer; p != (mailbricks.Peer{}) {
		s.Peer = &storedPeer{Addr: p.Addr, Local: p.Local, Hello: p.Hello, Protocol: p.Protocol, Identity: p.Identity}
	}
	for _, r := range env.Recipients {
		s.Rcpts = append(s.Rcpts, storedRcpt{
			Address: r.Address, Alias: r.Alias, Notify: r.Notify, Original: r.OriginalRecipient, ValidSince: r.ValidSince,
		})
	}
	return s
}

// envelope gives the envelope back, for the recipients whose indexes are in pick.
func (s *stored) envelope(pick []int) *mailbricks.Envelope {
	env := &mailbricks.Envelope{
		ID: s.EnvID, From: s.From, Received: s.Received, Quarantine: s.Quarantine, Body: s.Body,
		Size: s.SizeParam, SMTPUTF8: s.SMTPUTF8, RequireTLS: s.RequireTLS, Return: s.Return,
		EnvelopeID: s.EnvelopeID, Auth: s.Auth, Priority: s.Priority, DeliverBy: s.DeliverBy, HoldUntil: s.HoldUntil,
	}
	if p := s.Peer; p != nil {
		env.Peer = mailbricks.Peer{Addr: p.Addr, Local: p.Local, Hello: p.Hello, Protocol: p.Protocol, Identity: p.Identity}
	}
	for _, i := range pick {
		r := s.Rcpts[i]
		env.Recipients = append(env.Recipients, mailbricks.Recipient{
			Address: r.Address, Alias: r.Alias, Notify: r.Notify, OriginalRecipient: r.Original, ValidSince: r.ValidSince,
		})
	}
	return env
}

// fileHead is what stands before the message in its file.
func fileHead(s *stored) ([]byte, error) {
	line, err := durable.AppendRecord(nil, s)
	if err != nil {
		return nil, err
	}
	if len(line) > maxEnvelope { // could not be read again
		return nil, errTooMany
	}
	return append(fmt.Appendf(nil, "%s %d\n", messageFormat, messageVersion), line...), nil
}

// writeMessage writes a message file and syncs its contents, not its name.
func writeMessage(fsys durable.FS, name string, head []byte, s *stored, msg io.WriterTo) (err error) {
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	w.Write(head) // the error comes with Flush
	n, err := msg.WriteTo(w)
	if err == nil && n != s.Size {
		err = fmt.Errorf("message has %d octets, not %d", n, s.Size)
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = durable.SyncData(f)
	}
	return err
}

// readStored reads the envelope from a message file of this size and gives where the message begins. durable.ErrCorrupt and
// ErrVersion are about the contents, all other errors about the file system.
func readStored(f io.Reader, size int64) (s *stored, start int64, err error) {
	r := bufio.NewReaderSize(f, 4096)
	first, err := readLine(r, 64)
	if err != nil {
		return nil, 0, err
	}
	if err := durable.CheckFormat(first, messageFormat, messageVersion); err != nil {
		return nil, 0, err
	}
	line, err := readLine(r, maxEnvelope)
	if err != nil {
		return nil, 0, err
	}
	s = new(stored)
	if err := durable.ParseRecord(line, s); err != nil {
		return nil, 0, err
	}
	start = int64(len(first) + len(line) + 2)
	if size-start != s.Size || len(s.Rcpts) == 0 || s.Size < 0 {
		return nil, 0, fmt.Errorf("%w: message of %d octets in a file of %d", durable.ErrCorrupt, s.Size, size)
	}
	return s, start, nil
}

// readStoredFile reads the envelope from an open file.
func readStoredFile(f durable.File) (s *stored, start int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	return readStored(f, info.Size())
}

// readLine reads a line of at most limit octets and gives it without its line feed.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit+1 {
			return nil, fmt.Errorf("%w: line too long", durable.ErrCorrupt)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: cut off", durable.ErrCorrupt)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

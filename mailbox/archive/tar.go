package archive

import (
	"github.com/mailbricks/mailbricks/mailbox"
)

// The tar of an account has these entries, in this order:
//
//	mailbricks-archive.json    {"format": "mailbricks-archive", "version": 1, …}: what is in Account
//	NAME/mailbox.json          what is in Mailbox; the names of folders are only for people
//	NAME/<UID>.eml             a message; the time of the file is its internal date, and PAX records have the rest:
//	                           MAILBRICKS.flags (with spaces between them), MAILBRICKS.modseq, MAILBRICKS.saved (RFC 3339)
//	…
//	end.json                   how many mailboxes and messages there were: without it the tar is not whole
const (
	tarFormat  = "mailbricks-archive"
	tarVersion = 1
	tarAccount = tarFormat + ".json"
	tarMailbox = "mailbox.json"
	tarEnd     = "end.json"

	paxFlags  = "MAILBRICKS.flags"
	paxModSeq = "MAILBRICKS.modseq"
	paxSaved  = "MAILBRICKS.saved"

	// maxJSON is more than the annotations of a mailbox need.
	maxJSON = 16 << 20
	// maxTail is how much may stand behind the end.
	maxTail = 1 << 20
)

type tarAccountJSON struct {
	Format        string           `json:"format"`
	Version       int              `json:"version"`
	Subscriptions []string         `json:"subscriptions,omitempty"`
	Annotations   []annotationJSON `json:"annotations,omitempty"`
}

type tarMailboxJSON struct {
	Name        string           `json:"name"`
	ID          string           `json:"id,omitempty"`
	UIDValidity uint32           `json:"uidvalidity,omitempty"`
	UIDNext     mailbox.UID      `json:"uidnext,omitempty"`
	ModSeq      mailbox.ModSeq   `json:"modseq,omitempty"`
	Uses        []mailbox.Use    `json:"uses,omitempty"`
	Subscribed  bool             `json:"subscribed,omitempty"`
	Annotations []annotationJSON `json:"annotations,omitempty"`
}

// annotationJSON has the value in base64.
type annotationJSON struct {
	Entry string `json:"entry"`
	Value []byte `json:"value"`
}

type tarEndJSON struct {
	Mailboxes int `json:"mailboxes"`
	Messages  int `json:"messages"`
}

func toJSON(list []mailbox.Annotation) []annotationJSON {
	var out []annotationJSON
	for _, a := range list {
		out = append(out, annotationJSON(a))
	}
	return out
}

func fromJSON(list []annotationJSON) []mailbox.Annotation {
	var out []mailbox.Annotation
	for _, a := range list {
		if a.Value == nil {
			a.Value = []byte{} // nil would take it off
		}
		out = append(out, mailbox.Annotation(a))
	}
	return out
}

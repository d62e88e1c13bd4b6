package imapd

import (
	"context"
	"errors"
	"fmt"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// Response codes (RFC 3501 §7.1, RFC 5530 §3 and the extensions'). Those with arguments are written where they are used.
const (
	codeAlreadyExists       = "ALREADYEXISTS"
	codeAuthenticationFail  = "AUTHENTICATIONFAILED"
	codeBadCharset          = "BADCHARSET (US-ASCII UTF-8)"
	codeCannot              = "CANNOT"
	codeExpungeIssued       = "EXPUNGEISSUED"
	codeLimit               = "LIMIT"
	codeNonexistent         = "NONEXISTENT"
	codeOverQuota           = "OVERQUOTA"
	codePrivacyRequired     = "PRIVACYREQUIRED"
	codeReadOnly            = "READ-ONLY"
	codeReadWrite           = "READ-WRITE"
	codeTooBig              = "TOOBIG"
	codeTryCreate           = "TRYCREATE"
	codeUnavailable         = "UNAVAILABLE"
	codeUseAttr             = "USEATTR"
	codeAuthorizationFailed = "AUTHORIZATIONFAILED"
)

// reply is a status response (RFC 3501 §7.1). As an error it is how a command ends other than with plain OK.
type reply struct {
	// kind is OK, NO, BAD or BYE.
	kind string
	// code stands in brackets; empty: none.
	code, text string
	// err is the cause, for the log only.
	err error
}

func (r *reply) Error() string {
	s := "imapd: " + r.kind
	if r.code != "" {
		s += " [" + r.code + "]"
	}
	s += " " + r.text
	if r.err != nil {
		s += ": " + r.err.Error()
	}
	return s
}

func (r *reply) Unwrap() error { return r.err }

func ok(code, text string) *reply { return &reply{kind: "OK", code: code, text: text} }

func no(code, text string) *reply { return &reply{kind: "NO", code: code, text: text} }

func bad(format string, args ...any) *reply {
	return &reply{kind: "BAD", text: fmt.Sprintf(format, args...)}
}

// errBye ends the session: a BYE was sent, or cannot be.
var errBye = errors.New("imapd: session ended")

// replyTo is the reply that a command ends with for an error of its own, of the wire layer or of the store. What it
// does not know is a temporary failure whose text stays inside.
func replyTo(err error) *reply {
	var syntax *wire.SyntaxError
	if r, ok := errors.AsType[*reply](err); ok {
		return r
	}
	r := &reply{kind: "NO", err: err}
	switch {
	case errors.As(err, &syntax):
		r.kind, r.text = "BAD", syntax.Text
	case errors.Is(err, wire.ErrLiteralTooBig):
		r.code, r.text = codeTooBig, "Literal is too long" // RFC 7888 §4
	case errors.Is(err, wire.ErrMailboxName):
		r.code, r.text = codeCannot, "Mailbox name is not valid modified UTF-7"
	case errors.Is(err, mailbox.ErrNoMailbox):
		r.code, r.text = codeNonexistent, "No such mailbox"
	case errors.Is(err, mailbox.ErrExists):
		r.code, r.text = codeAlreadyExists, "Mailbox exists already"
	case errors.Is(err, mailbox.ErrName):
		r.code, r.text = codeCannot, "Invalid mailbox name"
	case errors.Is(err, mailbox.ErrNotAllowed):
		r.code, r.text = codeCannot, "Not possible with this mailbox"
	case errors.Is(err, mailbox.ErrExpunged):
		r.code, r.text = codeExpungeIssued, "Message is gone"
	case errors.Is(err, mailbox.ErrQuota):
		r.code, r.text = codeOverQuota, "Quota exceeded"
	case errors.Is(err, mailbox.ErrFlags):
		r.code, r.text = codeLimit, "Keyword cannot be stored"
	default:
		r.code, r.text = codeUnavailable, unavailableText(err)
	}
	return r
}

// unavailableText is what the client reads of a temporary failure.
func unavailableText(err error) string {
	if r, ok := errors.AsType[*mailbricks.Reply](err); ok {
		return r.Lines()[0]
	}
	if durable.IsDiskFull(err) {
		return "Disk is full, please try again later"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "Took too long, please try again"
	}
	return "Temporary failure, please try again later"
}

// toDestination is replyTo for a command that puts messages into the mailbox name (RFC 3501 §7.1: TRYCREATE). A name that
// no mailbox can have is not worth trying.
func toDestination(name string, err error) error {
	if errors.Is(err, mailbox.ErrNoMailbox) {
		if _, nameErr := mailbox.CleanName(name); nameErr != nil || errors.Is(err, mailbox.ErrName) {
			return &reply{kind: "NO", code: codeCannot, text: "Invalid mailbox name", err: err}
		}
		return &reply{kind: "NO", code: codeTryCreate, text: "No such mailbox", err: err}
	}
	return err
}

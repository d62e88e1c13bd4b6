package mailbricks

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Reply is an SMTP reply as an error: the one error that crosses packages. Code and Enhanced decide what the peer does
// next, Text is for the peer and Err for the log only.
type Reply struct {
	// Code is the reply code of RFC 5321 §4.2: 4yz for a failure that may pass, 5yz for one that will not.
	Code int
	// Enhanced is the enhanced status code of RFC 3463, such as "5.1.1"; empty: the general one of Code's class.
	Enhanced string
	// Text is what the peer reads. More lines are separated by "\n"; other control characters become spaces.
	Text string
	// Err is the cause, for the log. It is never shown to the peer.
	Err error
}

// Error gives the reply as the peer sees it, and behind it the cause.
func (r *Reply) Error() string {
	s := fmt.Sprintf("%d %s %s", r.Code, r.EnhancedCode(), strings.ReplaceAll(r.Text, "\n", " / "))
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (r *Reply) Unwrap() error { return r.Err }

// Temporary says whether the peer should try again (a code of class 4).
func (r *Reply) Temporary() bool { return r.Code/100 == 4 }

// EnhancedCode is Enhanced or, when that is empty, "x.0.0" of Code's class.
func (r *Reply) EnhancedCode() string {
	if r.Enhanced != "" {
		return r.Enhanced
	}
	return fmt.Sprintf("%d.0.0", r.Code/100)
}

// Lines is Text line by line, fit for the wire: at least one line, no control characters.
func (r *Reply) Lines() []string {
	lines := strings.Split(r.Text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(strings.Map(controlToSpace, line))
	}
	return lines
}

func controlToSpace(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// ReplyTo turns any error into the reply that the peer gets: nil stays nil, a *Reply anywhere in err's chain is used
// as it is, and every other error becomes 451 4.3.0 with a text that gives nothing away and err as its cause.
func ReplyTo(err error) *Reply {
	if err == nil {
		return nil
	}
	if reply, ok := errors.AsType[*Reply](err); ok {
		return reply
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Reply{Code: 451, Enhanced: "4.3.0", Text: "Local processing took too long, please try again", Err: err}
	}
	return &Reply{Code: 451, Enhanced: "4.3.0", Text: "Temporary local problem, please try again later", Err: err}
}

// IsTemporary says whether err, as a reply, is one that the peer should try again. It is false for nil.
func IsTemporary(err error) bool {
	return err != nil && ReplyTo(err).Temporary()
}

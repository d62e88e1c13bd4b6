package gosmtp

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// replyFor is the outcome of a step for what a backend returned. A *smtp.SMTPError, also one that is wrapped, is the reply,
// and one of class 2 is success; a panic ends the session. Anything else is left to the engine, which knows its own errors
// and shows the text of others to nobody.
func replyFor(err error) error {
	if _, panicked := errors.AsType[*serving.Panic](err); panicked {
		return &mailbricks.Reply{Code: 421, Enhanced: "4.3.0", Text: "Internal server error, closing", Err: err}
	}
	said, ok := errors.AsType[*smtp.SMTPError](err)
	switch {
	case !ok:
		return err
	case said == nil:
		return fmt.Errorf("gosmtp: the backend returned a nil %T", said)
	case said.Code/100 == 2:
		return nil
	case said.Code < 400 || said.Code > 599:
		return fmt.Errorf("gosmtp: the backend replied with a code that is no refusal: %w", err)
	}
	return &mailbricks.Reply{Code: said.Code, Enhanced: enhanced(said.Code, said.EnhancedCode), Text: said.Message, Err: err}
}

// enhanced is the enhanced status code; empty, which stands for the general one of the class, if it is not set or does not go
// with the reply code (RFC 2034 §4, RFC 3463 §2).
func enhanced(code int, e smtp.EnhancedCode) string {
	if e[0] != code/100 || e[1] < 0 || e[1] > 999 || e[2] < 0 || e[2] > 999 {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2])
}

// replyIn is the last refusal that was written, as an SMTP reply; nil if there is none.
func replyIn(written []byte) *mailbricks.Reply {
	var last *mailbricks.Reply
	for line := range bytes.Lines(written) {
		text := strings.TrimRight(string(line), "\r\n")
		if len(text) < 4 || text[3] != ' ' && text[3] != '-' {
			continue
		}
		code, err := strconv.Atoi(text[:3])
		if err != nil || code < 400 || code > 599 {
			continue
		}
		last = &mailbricks.Reply{Code: code, Text: text[4:]}
		if enhanced, rest, ok := strings.Cut(text[4:], " "); ok && isEnhanced(enhanced) {
			last.Enhanced, last.Text = enhanced, rest
		}
	}
	return last
}

// isEnhanced says whether s looks like an enhanced status code (RFC 3463 §2). Whether it goes with the reply code is looked at
// when it is sent.
func isEnhanced(s string) bool {
	return strings.Count(s, ".") == 2 && strings.Trim(s, "0123456789.") == ""
}

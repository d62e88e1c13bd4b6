package smtpd

import (
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks"
)

// maxNamed is how many refused recipients a reply names.
const maxNamed = 10

// single makes one outcome of a Handler's: SMTP has one reply for all recipients. A temporary failure wins, so that
// nothing is lost; what was taken may come twice then. Otherwise a permanent one is the outcome, naming its recipients.
func single(err error, rcpts []mailbricks.Recipient) error {
	results := mailbricks.ResultsOf(err, len(rcpts))
	if len(results) == 0 || same(results[0], err) { // one for all
		return err
	}
	for _, err := range results {
		if err != nil && refusal(err).Temporary() {
			return err
		}
	}
	var first *mailbricks.Reply
	var lines []string
	for i, err := range results {
		if err == nil {
			continue
		}
		reply := refusal(err)
		if first == nil {
			first = reply
		}
		lines = append(lines, name(rcpts[i], reply.Text))
	}
	if first == nil {
		return nil
	}
	if len(lines) > maxNamed {
		lines = append(lines[:maxNamed], fmt.Sprintf("and %d more", len(lines)-maxNamed))
	}
	return &mailbricks.Reply{Code: first.Code, Enhanced: first.Enhanced, Text: strings.Join(lines, "\n"), Err: err}
}

// name puts the recipient in front of a reply's text, if it is not there already.
func name(rcpt mailbricks.Recipient, text string) string {
	address := rcpt.Given() // what the client knows
	if strings.Contains(text, "<"+address+">") {
		return text
	}
	return "<" + address + ">: " + text
}

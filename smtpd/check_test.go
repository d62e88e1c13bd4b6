package smtpd_test

import (
	"context"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// nobody refuses every recipient.
var nobody = smtpd.Check{Name: "nobody", Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
	return &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "<" + rcpt.Address + ">: no such user here"}
}}

// qualify makes an address of the sender FBI.
var qualify = smtpd.Check{Name: "qualify", Mail: func(_ context.Context, tx *smtpd.Transaction) error {
	if tx.Envelope.From == "FBI" {
		tx.Envelope.From = tx.Session.Peer.Identity.Login
	}
	return nil
}}

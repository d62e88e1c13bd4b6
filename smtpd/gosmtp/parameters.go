package gosmtp

import (
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks"
)

// mailOptions are the parameters of MAIL.
func mailOptions(env *mailbricks.Envelope) *smtp.MailOptions {
	return &smtp.MailOptions{
		Body:       smtp.BodyType(env.Body),
		Size:       env.Size,
		RequireTLS: env.RequireTLS,
		UTF8:       env.SMTPUTF8,
		Return:     smtp.DSNReturn(env.Return),
		EnvelopeID: env.EnvelopeID,
		Auth:       env.Auth,
	}
}

// rcptOptions are the parameters of RCPT, and those of MAIL that go-smtp has there: BY and MT-PRIORITY.
func rcptOptions(env *mailbricks.Envelope, rcpt *mailbricks.Recipient) *smtp.RcptOptions {
	o := &smtp.RcptOptions{
		Notify:                     notify(rcpt.Notify),
		RequireRecipientValidSince: rcpt.ValidSince,
		DeliverBy:                  deliverBy(env),
	}
	if kind, address, ok := strings.Cut(rcpt.OriginalRecipient, ";"); ok { // RFC 3461 §4.2
		o.OriginalRecipientType, o.OriginalRecipient = smtp.DSNAddressType(strings.ToUpper(kind)), address
	}
	if env.Priority != nil {
		o.MTPriority = new(*env.Priority)
	}
	return o
}

// notify lists the bits of NOTIFY.
func notify(n mailbricks.Notify) []smtp.DSNNotify {
	var list []smtp.DSNNotify
	for _, event := range []struct {
		bit  mailbricks.Notify
		name smtp.DSNNotify
	}{
		{mailbricks.NotifyNever, smtp.DSNNotifyNever},
		{mailbricks.NotifySuccess, smtp.DSNNotifySuccess},
		{mailbricks.NotifyFailure, smtp.DSNNotifyFailure},
		{mailbricks.NotifyDelay, smtp.DSNNotifyDelayed},
	} {
		if n&event.bit != 0 {
			list = append(list, event.name)
		}
	}
	return list
}

// deliverBy is BY as the client gave it: seconds from MAIL on (RFC 2852 §4).
func deliverBy(env *mailbricks.Envelope) *smtp.DeliverByOptions {
	by := env.DeliverBy
	if by == nil {
		return nil
	}
	mode := smtp.DeliverByNotify
	if by.Return {
		mode = smtp.DeliverByReturn
	}
	return &smtp.DeliverByOptions{Time: by.Deadline.Sub(env.Received).Round(time.Second), Mode: mode, Trace: by.Trace}
}

package smtpd

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// Lengths of parameter values in octets, beyond which they are refused.
const (
	maxEnvelopeID        = 100 // RFC 3461 §4.4
	maxOriginalRecipient = 500 // RFC 3461 §4.2
)

// mailParameters takes the parameters of MAIL into env. Only what EHLO offers is taken.
func (c *conn) mailParameters(env *mailbricks.Envelope, words []string) *mailbricks.Reply {
	reply := parameters("MAIL", words, func(name, value string) *mailbricks.Reply {
		take := c.mailParameter(name)
		if take == nil {
			return notOffered("MAIL", name)
		}
		return take(env, value)
	})
	if reply != nil {
		return reply
	}
	if by := env.DeliverBy; by != nil && env.HoldUntil.After(by.Deadline) { // RFC 4865 §5.2.2
		return badArgument("The message would be held for longer than it may take")
	}
	if env.RequireTLS && env.Return == mailbricks.ReturnFull { // RFC 8689 §5
		env.Return = mailbricks.ReturnHeaders
	}
	return nil
}

// mailParameter is what takes a parameter of MAIL; nil: it is not offered.
func (c *conn) mailParameter(name string) func(*mailbricks.Envelope, string) *mailbricks.Reply {
	if !c.extended { // HELO offers nothing
		return nil
	}
	switch {
	case name == "SIZE":
		return c.size
	case name == "BODY":
		return c.body
	case name == "SMTPUTF8" && !c.set.NoSMTPUTF8:
		return smtpUTF8
	case name == "AUTH" && c.set.Auth != nil:
		return c.sender
	case name == "RET" && c.ext.DSN:
		return returnParameter
	case name == "ENVID" && c.ext.DSN:
		return envelopeID
	case name == "REQUIRETLS" && c.offersRequireTLS():
		return requireTLS
	case name == "BY" && c.ext.DeliverBy:
		return c.deliverBy
	case name == "HOLDFOR" && c.offersFutureRelease():
		return c.holdFor
	case name == "HOLDUNTIL" && c.offersFutureRelease():
		return c.holdUntil
	case name == "MT-PRIORITY" && c.ext.Priority:
		return c.priority
	}
	return nil
}

// size is the SIZE parameter (RFC 1870 §6).
func (c *conn) size(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	if len(value) == 0 || len(value) > 20 || strings.Trim(value, "0123456789") != "" {
		return badArgument("SIZE is a number of up to 20 digits")
	}
	size, err := strconv.ParseInt(value, 10, 64)
	if err != nil && c.set.maxMessageSize < 0 {
		size = 0 // more than can be counted, and welcome
	} else if err != nil || serving.Over(size, c.set.maxMessageSize) {
		return c.tooLarge()
	}
	env.Size = size
	return nil
}

// tooLarge is the reply for a message above MaxMessageSize.
func (c *conn) tooLarge() *mailbricks.Reply {
	text := "Message is too large"
	if limit := c.set.maxMessageSize; limit > 0 {
		text = fmt.Sprintf("Message is larger than %d octets", limit)
	}
	return &mailbricks.Reply{Code: 552, Enhanced: "5.3.4", Text: text}
}

// body is the BODY parameter (RFC 6152 §2, RFC 3030 §3).
func (c *conn) body(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	switch body := mailbricks.BodyType(strings.ToUpper(value)); body {
	case mailbricks.Body7Bit, mailbricks.Body8Bit:
		env.Body = body
		return nil
	case mailbricks.BodyBinary:
		if !c.ext.BinaryMIME {
			return notOffered("MAIL", "BODY=BINARYMIME")
		}
		env.Body = body
		return nil
	}
	return badArgument("BODY is 7BIT or 8BITMIME")
}

// smtpUTF8 is the SMTPUTF8 parameter (RFC 6531 §3.4).
func smtpUTF8(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	if value != "" {
		return badArgument("SMTPUTF8 takes no value")
	}
	env.SMTPUTF8 = true
	return nil
}

// sender is the AUTH parameter (RFC 4954 §5).
func (c *conn) sender(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	auth, ok := decodeXtext(value)
	if ok && auth != "<>" {
		var err error
		auth, err = c.senderMailbox(auth)
		ok = err == nil && value[0] != '@' // no source route here
	}
	if !ok {
		return badArgument("AUTH is <> or a mailbox in xtext")
	}
	if auth == "<>" || c.session.Peer.Identity == nil { // the word of a stranger counts for nothing
		auth = ""
	}
	env.Auth = &auth
	return nil
}

// returnParameter is the RET parameter (RFC 3461 §4.3).
func returnParameter(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	switch ret := mailbricks.Return(strings.ToUpper(value)); ret {
	case mailbricks.ReturnFull, mailbricks.ReturnHeaders:
		env.Return = ret
		return nil
	}
	return badArgument("RET is FULL or HDRS")
}

// envelopeID is the ENVID parameter (RFC 3461 §4.4). A DSN holds it as printable US-ASCII (RFC 3464 §2.2.1).
func envelopeID(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	id, ok := decodeXtext(value)
	if !ok || !isASCII(id) || len(value) > maxEnvelopeID {
		return badArgument(fmt.Sprintf("ENVID is printable US-ASCII in up to %d octets of xtext", maxEnvelopeID))
	}
	env.EnvelopeID = id
	return nil
}

// requireTLS is the REQUIRETLS parameter (RFC 8689 §2).
func requireTLS(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	if value != "" {
		return badArgument("REQUIRETLS takes no value")
	}
	env.RequireTLS = true
	return nil
}

// deliverBy is the BY parameter (RFC 2852 §4): by-time ";" by-mode [by-trace].
func (c *conn) deliverBy(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	given, mode, _ := strings.Cut(strings.ToUpper(value), ";")
	mode, trace := strings.CutSuffix(mode, "T")
	digits, minus := strings.CutPrefix(given, "-")
	if !minus {
		digits = strings.TrimPrefix(digits, "+")
	}
	seconds, ok := number(digits, 9)
	if !ok || mode != "N" && mode != "R" {
		return badArgument("BY is seconds;N or seconds;R, with a T behind it or not")
	}
	if minus {
		seconds = -seconds
	}
	after := time.Duration(seconds) * time.Second
	switch {
	case mode == "N":
	case seconds <= 0:
		return badArgument("BY with mode R needs a time to come")
	case after < c.ext.MinDeliverBy: // RFC 2852 §3
		return misuse(555, "5.5.4", fmt.Sprintf("BY with mode R needs %d seconds at least", wholeSeconds(c.ext.MinDeliverBy)))
	}
	env.DeliverBy = &mailbricks.DeliverBy{Deadline: env.Received.Add(after).UTC(), Return: mode == "R", Trace: trace}
	return nil
}

// holdFor is the HOLDFOR parameter (RFC 4865 §3).
func (c *conn) holdFor(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	seconds, ok := number(value, 9)
	if !ok || value[0] == '0' || seconds > c.maxHold() {
		return badArgument(fmt.Sprintf("HOLDFOR is a number of seconds up to %d", c.maxHold()))
	}
	return hold(env, env.Received.Add(time.Duration(seconds)*time.Second))
}

// holdUntil is the HOLDUNTIL parameter (RFC 4865 §3). A time that has passed by now holds nothing up.
func (c *conn) holdUntil(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	until, err := time.Parse(utcTime, value)
	if err != nil || len(value) != len(utcTime) || until.After(c.latestHold) {
		return badArgument("HOLDUNTIL is a time like " + utcTime + " up to " + c.latestHold.Format(utcTime))
	}
	return hold(env, until)
}

// hold notes until when a message is held.
func hold(env *mailbricks.Envelope, until time.Time) *mailbricks.Reply {
	if !env.HoldUntil.IsZero() { // RFC 4865 §4.2
		return badArgument("There can be one of HOLDFOR and HOLDUNTIL only")
	}
	env.HoldUntil = until.UTC()
	return nil
}

// priority is the MT-PRIORITY parameter (RFC 6710 §4.1 and §7).
func (c *conn) priority(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	digits, minus := strings.CutPrefix(value, "-")
	n, ok := number(digits, 1)
	if !ok || minus && n == 0 {
		return misuse(501, "5.5.2", "MT-PRIORITY is a number from -9 to 9")
	}
	priority := int(n)
	if minus {
		priority = -priority
	}
	env.Priority = &priority
	return nil
}

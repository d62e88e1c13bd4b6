package mimeindex

import (
	"slices"
	"strconv"
	"strings"
)

// What stands in an ENVELOPE for a part of an address that the message did not give: NIL would mean a group.
const (
	MissingMailbox = "MISSING_MAILBOX"
	MissingDomain  = "MISSING_DOMAIN"
)

// Strings that are longer, or have more characters to be escaped, are written as literals.
const (
	maxQuoted  = 1000
	maxEscapes = 8
)

// AppendString appends s as an IMAP string (RFC 3501 §4.3): quoted if it can be, else a literal. NUL, which neither may
// have, becomes the octet 0x80, as in other servers.
func AppendString(dst []byte, s string) []byte {
	escapes := 0
	quotable := len(s) <= maxQuoted
	for i := 0; i < len(s) && quotable; i++ {
		switch c := s[i]; {
		case c == 0 || c == '\r' || c == '\n' || c >= 0x80:
			quotable = false
		case c == '"' || c == '\\':
			escapes++
		}
	}
	if !quotable || escapes > maxEscapes {
		return appendLiteral(dst, s)
	}
	dst = append(dst, '"')
	if escapes == 0 {
		return append(append(dst, s...), '"')
	}
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func appendLiteral(dst []byte, s string) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, "}\r\n"...)
	return append(dst, strings.ReplaceAll(s, "\x00", "\x80")...)
}

// AppendNString appends s, or NIL if it is absent.
func AppendNString(dst []byte, s NString) []byte {
	if !s.Valid {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, s.Value)
}

// Append appends the envelope with its parentheses (RFC 3501 §9: envelope).
func (e *Envelope) Append(dst []byte) []byte {
	if e.written != nil {
		return append(dst, e.written...)
	}
	dst = append(dst, '(')
	dst = AppendNString(dst, e.Date)
	dst = append(dst, ' ')
	dst = AppendNString(dst, e.Subject)
	sender, replyTo := e.Sender, e.ReplyTo
	if sender.empty() { // RFC 3501 §7.4.2: the server defaults them to from
		sender = e.From
	}
	if replyTo.empty() {
		replyTo = e.From
	}
	for _, list := range []AddressList{e.From, sender, replyTo, e.To, e.Cc, e.Bcc} {
		dst = append(dst, ' ')
		dst = list.Append(dst)
	}
	dst = append(dst, ' ')
	dst = AppendNString(dst, e.InReplyTo)
	dst = append(dst, ' ')
	dst = AppendNString(dst, e.MessageID)
	return append(dst, ')')
}

// Append appends the addresses as IMAP has them in an envelope, NIL if there are none.
func (list AddressList) Append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, '(')
	for a := range list.All() {
		dst = a.append(dst)
	}
	if len(dst) == start+1 {
		return append(dst[:start], "NIL"...)
	}
	return append(dst, ')')
}

func (a Address) append(dst []byte) []byte {
	switch a.Kind {
	case GroupStart:
		dst = append(dst, "(NIL NIL "...)
		return append(AppendString(dst, a.Mailbox), " NIL)"...)
	case GroupEnd:
		return append(dst, "(NIL NIL NIL NIL)"...)
	}
	dst = append(dst, '(')
	dst = appendOr(dst, a.Name, "")
	dst = append(dst, ' ')
	dst = appendOr(dst, a.Route, "")
	dst = append(dst, ' ')
	dst = appendOr(dst, a.Mailbox, MissingMailbox)
	dst = append(dst, ' ')
	dst = appendOr(dst, a.Host, MissingDomain)
	return append(dst, ')')
}

// appendOr appends s, or what stands for an empty one: NIL if that is empty too.
func appendOr(dst []byte, s, instead string) []byte {
	if s == "" {
		s = instead
	}
	return AppendNString(dst, NString{Value: s, Valid: s != ""})
}

// BodyFormat says how [Part.AppendBody] writes. The values can be added.
type BodyFormat int

const (
	// Basic is BODY: without extension data.
	Basic BodyFormat = 0
	// Extended is BODYSTRUCTURE.
	Extended BodyFormat = 1 << iota
	// Global writes message/global parts with envelope and structure, as IMAP4rev2 has them (RFC 9051 §7.5.2); IMAP4rev1
	// knows only message/rfc822.
	Global
)

// AppendBody appends the structure with its parentheses (RFC 3501 §9: body).
func (p *Part) AppendBody(dst []byte, format BodyFormat) []byte {
	dst = append(dst, '(')
	if p.isMultipart() {
		dst = p.appendMultipart(dst, format)
	} else {
		dst = p.appendSingle(dst, format)
	}
	return append(dst, ')')
}

func (p *Part) appendMultipart(dst []byte, format BodyFormat) []byte {
	for _, child := range p.Children {
		dst = child.AppendBody(dst, format)
	}
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Subtype)
	if format&Extended == 0 {
		return dst
	}
	dst = append(dst, ' ')
	dst = appendParams(dst, p.Params, false)
	return p.appendExtension(dst)
}

func (p *Part) appendSingle(dst []byte, format BodyFormat) []byte {
	typ, subtype := p.Type, p.Subtype
	if p.Opaque {
		typ, subtype = "application", "octet-stream"
	}
	text := strings.EqualFold(typ, "text")
	dst = AppendString(dst, typ)
	dst = append(dst, ' ')
	dst = AppendString(dst, subtype)
	dst = append(dst, ' ')
	dst = appendParams(dst, p.Params, text)
	for _, s := range []NString{p.ID, p.Description, some(p.Encoding)} {
		dst = append(dst, ' ')
		dst = AppendNString(dst, s)
	}
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, p.BodySize()+p.BodyBareLF(), 10)
	if inner := p.Message(); inner != nil && (format&Global != 0 || p.Is("message", "rfc822")) {
		dst = append(dst, ' ')
		dst = inner.Envelope.Append(dst)
		dst = append(dst, ' ')
		dst = inner.AppendBody(dst, format)
		text = true
	}
	if text {
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, p.BodyLines(), 10)
	}
	if format&Extended == 0 {
		return dst
	}
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.MD5)
	return p.appendExtension(dst)
}

// appendExtension appends what single parts and multiparts have in common (RFC 3501 §9: body-ext-1part).
func (p *Part) appendExtension(dst []byte) []byte {
	dst = append(dst, ' ')
	if p.Disposition == "" {
		dst = append(dst, "NIL"...)
	} else {
		dst = append(dst, '(')
		dst = AppendString(dst, p.Disposition)
		dst = append(dst, ' ')
		dst = appendParams(dst, p.DispositionParams, false)
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	if len(p.Language) == 0 {
		dst = append(dst, "NIL"...)
	} else {
		for i, tag := range p.Language {
			dst = append(dst, " ("[b2i(i == 0)])
			dst = AppendString(dst, tag)
		}
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	return AppendNString(dst, p.Location)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// appendParams appends parameters. Text that does not say so is in US-ASCII (RFC 2045 §5.2).
func appendParams(dst []byte, params []Param, text bool) []byte {
	if text && !slices.ContainsFunc(params, func(p Param) bool { return strings.EqualFold(p.Name, "charset") }) {
		params = append(slices.Clip(params), Param{Name: "charset", Value: "us-ascii"})
	}
	if len(params) == 0 {
		return append(dst, "NIL"...)
	}
	for i, param := range params {
		dst = append(dst, " ("[b2i(i == 0)])
		dst = AppendString(dst, param.Name)
		dst = append(dst, ' ')
		dst = AppendString(dst, param.Value)
	}
	return append(dst, ')')
}

package mimeindex

import "strings"

// NString is a string that may be absent: NIL in IMAP's words.
type NString struct {
	Value string
	Valid bool
}

func some(s string) NString { return NString{Value: s, Valid: true} }

// Param is one parameter of a Content-Type or Content-Disposition, its name as written. The pieces of a value in
// continuations (RFC 2231 §3) are joined, as RFC 2231 §6 asks of IMAP servers; character set and language
// information (§4) stays as it is, and with it the asterisk behind the name.
type Param struct {
	Name, Value string
}

// mark is a place in the message: an offset, and how many line ends stand before it.
type mark struct{ off, lines, bare int64 }

// Part is a message or one of its body parts.
type Part struct {
	start, body, end mark

	// Type and Subtype are as written, "text" and "plain" where nothing usable was (RFC 2045 §5.2).
	Type, Subtype string
	// Params are the parameters of Content-Type in their order.
	Params []Param
	// ID, Description, MD5 and Location are the fields Content-ID and so on, unfolded.
	ID, Description, MD5, Location NString
	// Encoding is the Content-Transfer-Encoding as written, "7bit" where nothing usable was.
	Encoding string
	// Disposition is empty where there is none; DispositionParams are its parameters in their order.
	Disposition       string
	DispositionParams []Param
	// Language are the tags of Content-Language.
	Language []string

	// Children are the parts of a multipart, never none; for a message/rfc822 or message/global the one message in it.
	Children []*Part
	// Envelope is set for messages: the whole and those inside message/rfc822 parts.
	Envelope *Envelope
	// Opaque says that a limit kept this part from being taken apart.
	Opaque bool
}

// HeaderOffset is where the part's header starts.
func (p *Part) HeaderOffset() int64 { return p.start.off }

// HeaderSize is the number of octets in the header with the empty line that ends it.
func (p *Part) HeaderSize() int64 { return p.body.off - p.start.off }

// HeaderLines is the number of line ends in the header.
func (p *Part) HeaderLines() int64 { return p.body.lines - p.start.lines }

// HeaderBareLF is how many of the header's line ends are LF without CR.
func (p *Part) HeaderBareLF() int64 { return p.body.bare - p.start.bare }

// BodyOffset is where the part's body starts.
func (p *Part) BodyOffset() int64 { return p.body.off }

// BodySize is the number of octets in the body, still in its transfer encoding.
func (p *Part) BodySize() int64 { return p.end.off - p.body.off }

// BodyLines is the number of line ends in the body.
func (p *Part) BodyLines() int64 { return p.end.lines - p.body.lines }

// BodyBareLF is how many of the body's line ends are LF without CR.
func (p *Part) BodyBareLF() int64 { return p.end.bare - p.body.bare }

// Is compares the media type without regard to case. An empty subtype matches all.
func (p *Part) Is(typ, subtype string) bool {
	return strings.EqualFold(p.Type, typ) && (subtype == "" || strings.EqualFold(p.Subtype, subtype))
}

// Param is the value of the first Content-Type parameter of this name, empty if there is none.
func (p *Part) Param(name string) string { return findParam(p.Params, name) }

// DispositionParam is the same for Content-Disposition.
func (p *Part) DispositionParam(name string) string { return findParam(p.DispositionParams, name) }

func findParam(params []Param, name string) string {
	for _, param := range params {
		if strings.EqualFold(param.Name, name) {
			return param.Value
		}
	}
	return ""
}

// isMultipart says whether the part holds parts, also if there is no boundary to find them by.
func (p *Part) isMultipart() bool { return !p.Opaque && p.Is("multipart", "") && len(p.Children) > 0 }

// isMessage says whether the part holds a message (RFC 2046 §5.2.1, RFC 6532 §3.7).
func (p *Part) isMessage() bool { return !p.Opaque && isMessageType(p) && len(p.Children) == 1 }

func isMessageType(p *Part) bool { return p.Is("message", "rfc822") || p.Is("message", "global") }

// Message is the message inside a message/rfc822 part, nil for other parts.
func (p *Part) Message() *Part {
	if !p.isMessage() {
		return nil
	}
	return p.Children[0]
}

package mimeindex

// Envelope is what ENVELOPE of RFC 3501 §7.4.2 says of a message, as it stands in the header: nothing is decoded or
// put right, but lines are unfolded.
type Envelope struct {
	Date, Subject, InReplyTo, MessageID NString
	// From and the others are kept as they are written and read with [AddressList.All].
	From, Sender, ReplyTo, To, Cc, Bcc AddressList

	written []byte // by Append, if it comes from a Summary
}

// Envelope collects the envelope of a message from its header.
func (h Header) Envelope() *Envelope {
	e := &Envelope{}
	for f := range h.Fields() {
		e.field(f)
	}
	return e
}

// field takes a field if it belongs here.
func (e *Envelope) field(f Field) {
	if len(f.Name) > len("in-reply-to") {
		return
	}
	var buf [32]byte
	switch string(lower(&buf, f.Name)) {
	case "date":
		e.Date = some(f.Value())
	case "subject":
		e.Subject = some(f.Text()) // a tab of a fold is shown by some clients
	case "in-reply-to":
		e.InReplyTo = some(f.Value())
	case "message-id":
		e.MessageID = some(f.Value())
	case "from":
		e.From = append(e.From, f.Value())
	case "sender":
		e.Sender = append(e.Sender, f.Value())
	case "reply-to":
		e.ReplyTo = append(e.ReplyTo, f.Value())
	case "to":
		e.To = append(e.To, f.Value())
	case "cc":
		e.Cc = append(e.Cc, f.Value())
	case "bcc":
		e.Bcc = append(e.Bcc, f.Value())
	}
}

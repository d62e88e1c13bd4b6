package mimeindex

// Specifier says which bytes of a part a section means: the section-msgtext and section-text of RFC 3501 §9.
type Specifier int

// The specifiers of RFC 3501 §6.4.5. HEADER.FIELDS is what [Header.Subset] makes of the bytes of HEADER.
const (
	// Body is no specifier at all: the whole message for BODY[], the part's body for BODY[1].
	Body Specifier = iota
	// HeaderText is HEADER: the header of the message, or of the message inside the part.
	HeaderText
	// Text is TEXT: the body of the message, or of the message inside the part.
	Text
	// MIME is the header of the part itself.
	MIME
)

// Section is where the bytes of BODY[path.specifier] stand: n octets at off. It is not ok where the message has no such
// section: there is no such part, or HEADER or TEXT of a part that is no message is asked for.
func (p *Part) Section(path []int, spec Specifier) (off, n int64, ok bool) {
	if len(path) == 0 {
		switch spec {
		case Body:
			return p.start.off, p.end.off - p.start.off, true
		case HeaderText:
			return p.HeaderOffset(), p.HeaderSize(), true
		case Text:
			return p.BodyOffset(), p.BodySize(), true
		}
		return 0, 0, false // RFC 3501 §6.4.5: MIME must be prefixed by a part number
	}
	part := p.Find(path)
	if part == nil {
		return 0, 0, false
	}
	switch spec {
	case Body:
		return part.BodyOffset(), part.BodySize(), true
	case MIME:
		return part.HeaderOffset(), part.HeaderSize(), true
	}
	if part = part.Message(); part == nil {
		return 0, 0, false
	}
	return part.Section(nil, spec)
}

// Find is the part with this number in the numbering of RFC 3501 §6.4.5, nil if there is none: 1 is the body of a
// message that is no multipart, and the parts of a message inside a part are numbered below that part.
func (p *Part) Find(path []int) *Part {
	message := p // whose body the next number counts in
	for i, n := range path {
		switch {
		case message.isMultipart():
			if n < 1 || n > len(message.Children) {
				return nil
			}
			p = message.Children[n-1]
		case n == 1 && (i == 0 || message != p):
			p = message
		default:
			return nil
		}
		message = p
		if inner := p.Message(); inner != nil {
			message = inner
		}
	}
	return p
}

// Walk calls visit for the message and all parts in it, outer before inner, with the number of each as [Part.Find] takes
// it. A multipart that is a message itself has no number of its own: it comes with that of the part it is in, which is
// none for the whole message. Walk stops when visit returns false. The path is only valid during the call.
func (p *Part) Walk(visit func(path []int, part *Part) bool) {
	p.walkMessage(make([]int, 0, 8), visit)
}

func (p *Part) walkMessage(path []int, visit func([]int, *Part) bool) bool {
	if !p.isMultipart() {
		path = append(path, 1)
	}
	return p.walkPart(path, visit)
}

func (p *Part) walkPart(path []int, visit func([]int, *Part) bool) bool {
	if !visit(path, p) {
		return false
	}
	if inner := p.Message(); inner != nil {
		return inner.walkMessage(path, visit)
	}
	for i, child := range p.Children {
		if !child.walkPart(append(path, i+1), visit) {
			return false
		}
	}
	return true
}

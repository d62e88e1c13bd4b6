package mimeindex

// Defaults of [Limits].
const (
	DefaultDepth            = 100
	DefaultParts            = 1000
	DefaultHeaderBytes      = 256 << 10
	DefaultTotalHeaderBytes = 1 << 20
)

// maxBoundary is how many octets of a boundary are compared; RFC 2046 §5.1.1 allows 70. A delimiter line must fit
// the buffer.
const maxBoundary = 16 << 10

// The read buffer starts small, since most messages are, and grows to bufferSize and no further.
const (
	firstBuffer = 8 << 10
	bufferSize  = 64 << 10
)

// Limits bound what one message may cost. A zero field means its default; a message over a limit is still indexed,
// only less finely.
type Limits struct {
	// Depth is how many parts may stand inside each other, the message itself being the first.
	Depth int
	// Parts is how many parts are told apart; what follows belongs to the multipart it stands in.
	Parts int
	// HeaderBytes is how much of one header is looked at; fields behind that are only skipped.
	HeaderBytes int
	// TotalHeaderBytes is the same for the headers of all parts together.
	TotalHeaderBytes int
}

func (l Limits) withDefaults() Limits {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&l.Depth, DefaultDepth)
	set(&l.Parts, DefaultParts)
	set(&l.HeaderBytes, DefaultHeaderBytes)
	set(&l.TotalHeaderBytes, DefaultTotalHeaderBytes)
	return l
}

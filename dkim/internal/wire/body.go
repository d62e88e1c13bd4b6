package wire

// Whole is the body length of a signature without l=.
const Whole int64 = -1

// BodyHash is the SHA-256 of a canonical body or of its beginning, known once its Body is closed.
type BodyHash struct {
	// Sum is the hash; nil when the body is shorter than what was to be hashed.
	Sum []byte
	// Beyond is how many octets of the canonical body the hash does not cover.
	Beyond int64

	length int64
}

// Body hashes the body of a message that comes in pieces. However many hashes are asked for, it goes over the body at
// most twice, once for each canonicalization: a shorter length is a stop on the way. Its memory does not grow with the
// body. The zero value is ready.
type Body struct {
	simple, relaxed *canonicalizer
}

// Hash asks for the hash of the first length octets of the canonical body, or of the Whole of it. It must be called
// before the first Write.
func (b *Body) Hash(relaxed bool, length int64) *BodyHash {
	c := &b.simple
	if relaxed {
		c = &b.relaxed
	}
	if *c == nil {
		*c = newCanonicalizer(relaxed)
	}
	return (*c).want(length)
}

// Write takes the next piece of the body. It does not fail.
func (b *Body) Write(p []byte) {
	if b.simple != nil {
		b.simple.write(p)
	}
	if b.relaxed != nil {
		b.relaxed.write(p)
	}
}

// Close ends the body and fills in the hashes.
func (b *Body) Close() {
	if b.simple != nil {
		b.simple.close()
	}
	if b.relaxed != nil {
		b.relaxed.close()
	}
}

// Hashed is how many octets went into hashes so far: what the body costs.
func (b *Body) Hashed() int64 {
	var n int64
	if b.simple != nil {
		n += b.simple.hashed
	}
	if b.relaxed != nil {
		n += b.relaxed.hashed
	}
	return n
}

package sealed

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	// ChunkSize is how many octets of plain text a chunk holds: all but the last.
	ChunkSize  = 16 << 10
	tagSize    = chacha20poly1305.Overhead
	sealedSize = ChunkSize + tagSize
)

// errFinished says that something was to be written after the end.
var errFinished = errors.New("sealed: file is finished")

// Size is the length of what is in a sealed file of the given length, or -1 if no sealed file has that length.
func Size(fileSize int64) int64 {
	body := fileSize - int64(HeaderSize)
	chunks := (body + sealedSize - 1) / sealedSize
	last := body - (chunks-1)*sealedSize
	if body < tagSize || last < tagSize || last == tagSize && chunks > 1 {
		return -1
	}
	return body - chunks*tagSize
}

// nonce is that of a chunk: 11 octets of its number and one that says whether it is the last.
func nonce(into *[chacha20poly1305.NonceSize]byte, chunk int64, last bool) []byte {
	binary.BigEndian.PutUint64(into[3:11], uint64(chunk))
	into[11] = 0
	if last {
		into[11] = 1
	}
	return into[:]
}

// Writer seals a file from its beginning to its end.
type Writer struct {
	w      io.Writer
	aead   cipher.AEAD
	header []byte // not written yet
	buf    []byte // of the chunk that is not full, or not known not to be the last
	out    []byte
	chunk  int64
	done   bool
	err    error
}

// NewWriter begins a file of a kind on w. Finish must be called at its end.
func NewWriter(w io.Writer, s *Sealer, kind string) (*Writer, error) {
	header, key, err := s.begin(fileMagic, kind)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.New(key)
	clear(key)
	if err != nil {
		return nil, fmt.Errorf("sealed: %w", err)
	}
	return &Writer{w: w, aead: aead, header: header}, nil
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	if w.done && w.err == nil {
		return 0, errFinished
	}
	n := 0
	for len(p) > 0 && w.err == nil {
		if len(w.buf) == ChunkSize { // more comes: it is not the last
			w.flush(false)
			continue
		}
		more := min(len(p), ChunkSize-len(w.buf))
		w.buf = append(w.buf, p[:more]...)
		p = p[more:]
		n += more
	}
	return n, w.err
}

// flush writes the chunk.
func (w *Writer) flush(last bool) {
	var at [chacha20poly1305.NonceSize]byte
	w.out = append(w.out[:0], w.header...)
	w.header = nil
	w.out = w.aead.Seal(w.out, nonce(&at, w.chunk, last), w.buf, nil)
	_, w.err = w.w.Write(w.out)
	w.buf = w.buf[:0]
	w.chunk++
}

// Finish writes the last chunk. It may be called again.
func (w *Writer) Finish() error {
	if !w.done && w.err == nil {
		w.flush(true)
		clear(w.buf[:cap(w.buf)])
		w.buf = nil
	}
	w.done = true
	return w.err
}

// Reader reads a sealed file at any place. Its methods may be called from several goroutines at once. It keeps the chunk that
// was read last, 16 KiB.
type Reader struct {
	r      io.ReaderAt
	aead   cipher.AEAD
	size   int64 // of the plain text
	chunks int64

	mu     sync.Mutex
	sealed []byte // one chunk as it is in the file, and then plain: kept from call to call
	have   int64  // the chunk that plain is of; -1: none
	plain  []byte
}

// NewReader opens a file of a kind, which is fileSize octets long on disk. It fails with ErrNoKey or ErrDamaged; what is wrong
// with the chunks is noticed when they are read.
func NewReader(r io.ReaderAt, fileSize int64, keys *Keyring, kind string) (*Reader, error) {
	size := Size(fileSize)
	if size < 0 {
		return nil, fmt.Errorf("%w: file of %d octets", ErrDamaged, fileSize)
	}
	aead, err := openHeader(r, fileMagic, keys, kind)
	if err != nil {
		return nil, err
	}
	return &Reader{r: r, aead: aead, size: size, chunks: max((size+ChunkSize-1)/ChunkSize, 1), have: -1}, nil
}

// openHeader reads the header of a file.
func openHeader(r io.ReaderAt, magic string, keys *Keyring, kind string) (cipher.AEAD, error) {
	header := make([]byte, HeaderSize)
	if n, err := r.ReadAt(header, 0); n < len(header) {
		return nil, shortRead(err)
	}
	if string(header[:magicSize]) != magic {
		return nil, fmt.Errorf("%w: first line %.30q", ErrDamaged, header[:magicSize])
	}
	key, err := keys.open(header, kind)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	if magic == logMagic {
		return chacha20poly1305.NewX(key)
	}
	return chacha20poly1305.New(key)
}

// shortRead is the error of a read that gave too little.
func shortRead(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends too early", ErrDamaged)
	}
	return err
}

// Size is the length of the plain text.
func (r *Reader) Size() int64 { return r.size }

// ReadAt implements io.ReaderAt.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("sealed: negative offset")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if at >= r.size {
			return n, r.end()
		}
		if err := r.load(at / ChunkSize); err != nil {
			return n, err
		}
		n += copy(p[n:], r.plain[at%ChunkSize:])
	}
	return n, nil
}

// end is io.EOF, if the file has not been cut off in front of its end.
func (r *Reader) end() error {
	if err := r.load(r.chunks - 1); err != nil {
		return err
	}
	return io.EOF
}

// load opens a chunk. r.mu is held.
func (r *Reader) load(chunk int64) error {
	if r.have == chunk {
		return nil
	}
	length := min(r.size-chunk*ChunkSize, ChunkSize) + tagSize
	if int64(cap(r.sealed)) < length {
		r.sealed = make([]byte, length)
	}
	r.have = -1
	buf := r.sealed[:length]
	if n, err := r.r.ReadAt(buf, int64(HeaderSize)+chunk*sealedSize); n < len(buf) {
		return shortRead(err)
	}
	var at [chacha20poly1305.NonceSize]byte
	plain, err := r.aead.Open(buf[:0], nonce(&at, chunk, chunk == r.chunks-1), buf, nil)
	if err != nil {
		return fmt.Errorf("%w: chunk %d of %d", ErrDamaged, chunk+1, r.chunks)
	}
	r.plain, r.have = plain, chunk
	return nil
}

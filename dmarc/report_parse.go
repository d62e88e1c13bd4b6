package dmarc

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// Defaults of ReportParser.
const (
	DefaultReportBytes   = 25 << 20
	DefaultReportRecords = 100_000
)

// Limits on how a report may be wrapped.
const (
	maxReportLayers = 4    // mail, archive in it, report in that, and one to spare
	maxReportParts  = 200  // parts of a mail that are looked into
	maxReportDepth  = 20   // parts of a mail inside each other
	maxZipFiles     = 1000 // files in an archive
	sniffBytes      = 1024 // how much of an input is looked at to see what it is
)

// ReportParser reads aggregate reports. The zero value is ready, and what ParseReport uses.
type ReportParser struct {
	// MaxBytes limits the input, and by itself all that is unpacked from it; 0 is DefaultReportBytes.
	MaxBytes int64
	// MaxRecords is how many records a report may have; 0 is DefaultReportRecords. A record has 4 results and reasons on
	// average at most, and never more than MaxReportSignatures, 10 SPF results and MaxReportOverrides.
	MaxRecords int
}

// ParseReport reads an aggregate report with the default limits. See ReportParser.Parse.
func ParseReport(r io.Reader) (*Report, error) { return ReportParser{}.Parse(r) }

// Parse reads an aggregate report by RFC 9990 or RFC 7489: the XML as it is, in gzip or in a zip archive, or the mail that
// brought it. What an input or an attachment is shows in its bytes; file names and media types, which are often wrong,
// count for nothing, and no name is ever used as one. Of several reports in one input it is the first.
//
// Parse is tolerant. Of broken XML it takes what can be understood: see Report.Warnings. Unknown elements are passed over,
// unknown values kept as text; white space around values is taken away, values from lists are given in lower case; texts in
// UTF-16, ISO 8859-1 and Windows-1252 become UTF-8, and bytes that make no sense U+FFFD. No entity is expanded and no document
// type heeded. An element that is missing leaves its field empty.
//
// Bare XML and XML in gzip are read as a stream: memory grows with the records and their texts only. A mail or zip archive
// is held as a whole while it is read. By default, nothing that an enemy sends costs more than a few times
// DefaultReportBytes.
//
// Errors are ErrNoReport, ErrReportInvalid for a report that ends in the middle or is packed wrongly, ErrReportTooLarge
// for one that is over a limit, and those of r.
func (p ReportParser) Parse(r io.Reader) (*Report, error) {
	if p.MaxBytes <= 0 {
		p.MaxBytes = DefaultReportBytes
	}
	if p.MaxRecords <= 0 {
		p.MaxRecords = DefaultReportRecords
	}
	u := &unpacker{maxRecords: p.MaxRecords, left: p.MaxBytes}
	report, err := u.unpack(&limitedReader{r: r, left: &p.MaxBytes}, 0)
	if err != nil {
		return nil, fmt.Errorf("dmarc: read report: %w", err)
	}
	return report, nil
}

// limitedReader fails with ErrReportTooLarge once more than what is left has been read. Its errors stay.
type limitedReader struct {
	r    io.Reader
	left *int64
	err  error
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if *l.left < 0 {
		l.err = ErrReportTooLarge
		return 0, l.err
	}
	var n int
	n, l.err = l.r.Read(p[:min(int64(len(p)), *l.left+1)])
	if *l.left -= int64(n); *l.left < 0 {
		l.err = ErrReportTooLarge
	}
	return n, l.err
}

// unpacker finds the report in what it is wrapped in.
type unpacker struct {
	maxRecords int
	left       int64 // how many bytes may still be unpacked
}

// limit counts what is unpacked, over all layers and attempts.
func (u *unpacker) limit(r io.Reader) io.Reader { return &limitedReader{r: r, left: &u.left} }

// unpack reads an input, which layer others are around.
func (u *unpacker) unpack(r io.Reader, layer int) (*Report, error) {
	in := bufio.NewReaderSize(r, 16<<10)
	head, err := in.Peek(sniffBytes)
	if len(head) == 0 && !errors.Is(err, io.EOF) {
		return nil, unpackError(err)
	}
	switch kind := sniff(head); {
	case kind == xmlInput:
		return u.document(in)
	case layer >= maxReportLayers:
		return nil, fmt.Errorf("%w: packed more than %d times", ErrReportInvalid, maxReportLayers)
	case kind == gzipInput:
		return u.gzip(in, layer)
	case kind == zipInput:
		return u.zip(in, layer)
	case kind == base64Input: // a mail that does not say so
		decoded, _ := mimeindex.NewTransferReader(in, "base64")
		return u.unpack(u.limit(decoded), layer+1)
	case layer == 0 && len(head) > 0:
		return u.mail(in, layer)
	}
	return nil, ErrNoReport
}

// What an input can be.
const (
	otherInput = iota
	xmlInput
	gzipInput
	zipInput
	base64Input
)

// sniff tells an input by its first bytes.
func sniff(head []byte) int {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}): // RFC 1952 §2.3.1
		return gzipInput
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return zipInput
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}), bytes.HasPrefix(head, []byte{0xff, 0xfe}), // UTF-16
		bytes.HasPrefix(head, []byte{0, '<'}):
		return xmlInput
	}
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte{0xef, 0xbb, 0xbf}), " \t\r\n")
	if bytes.HasPrefix(head, []byte{'<'}) {
		return xmlInput
	}
	for _, start := range []string{"H4sI", "UEsDB", "PD94bWwg", "PGZlZWRiYWNr"} { // gzip, zip, <?xml, <feedback
		if bytes.HasPrefix(head, []byte(start)) {
			return base64Input
		}
	}
	return otherInput
}

// document reads XML, and then to the end of the input, since a checksum may come there.
func (u *unpacker) document(in *bufio.Reader) (*Report, error) {
	report, err := decodeReport(in, u.maxRecords)
	if err != nil {
		return nil, unpackError(err)
	}
	_, err = io.Copy(io.Discard, in)
	switch {
	case err == nil:
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
		if len(report.Warnings) < MaxReportWarnings {
			report.Warnings = append(report.Warnings, "behind the report: "+err.Error())
		}
	default:
		return nil, unpackError(err)
	}
	return report, nil
}

func (u *unpacker) gzip(in *bufio.Reader, layer int) (*Report, error) {
	unzip, err := gzip.NewReader(in)
	if err != nil {
		return nil, unpackError(err)
	}
	return u.unpack(u.limit(unzip), layer+1)
}

// zip looks into the files of an archive in their order.
func (u *unpacker) zip(in *bufio.Reader, layer int) (*Report, error) {
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, unpackError(err)
	}
	// The directory is read as a whole, so that a long one would cost much: each entry starts with this.
	if bytes.Count(data, []byte("PK\x01\x02")) > maxZipFiles {
		return nil, fmt.Errorf("%w: more than %d files in an archive", ErrReportTooLarge, maxZipFiles)
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, unpackError(err)
	}
	best := ErrNoReport
	for _, file := range archive.File {
		if strings.HasSuffix(file.Name, "/") || strings.HasPrefix(file.Name, "__MACOSX/") {
			continue
		}
		report, err := u.zipFile(file, layer)
		if err == nil {
			return report, nil
		}
		if best = worse(best, err); errors.Is(err, ErrReportTooLarge) {
			break
		}
	}
	return nil, best
}

func (u *unpacker) zipFile(file *zip.File, layer int) (*Report, error) {
	if file.Flags&1 != 0 {
		return nil, fmt.Errorf("%w: a file in an archive that is encrypted", ErrReportInvalid)
	}
	content, err := file.Open()
	if err != nil {
		return nil, unpackError(err)
	}
	defer func() { _ = content.Close() }() // nothing is lost when reading cannot be closed
	return u.unpack(u.limit(content), layer+1)
}

// mail looks into the parts of a mail in their order.
func (u *unpacker) mail(in *bufio.Reader, layer int) (*Report, error) {
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	root, err := mimeindex.Parse(bytes.NewReader(data), mimeindex.Limits{Depth: maxReportDepth, Parts: maxReportParts})
	if err != nil {
		return nil, err
	}
	var report *Report
	best := ErrNoReport
	root.Walk(func(_ []int, part *mimeindex.Part) bool {
		if len(part.Children) > 0 {
			return true
		}
		body := data[part.BodyOffset() : part.BodyOffset()+part.BodySize()]
		decoded, _ := mimeindex.NewTransferReader(bytes.NewReader(body), part.Encoding)
		report, err = u.unpack(u.limit(decoded), layer+1)
		best = worse(best, err)
		return report == nil && !errors.Is(err, ErrReportTooLarge)
	})
	if report == nil {
		return nil, best
	}
	return report, nil
}

// worse is the error to tell of: that of a report which could not be read rather than of what was none.
func worse(a, b error) error {
	if b == nil || errors.Is(b, ErrNoReport) || !errors.Is(a, ErrNoReport) {
		return a
	}
	return b
}

// unpackError marks the errors that are the input's fault, not that of the reader which it came from.
func unpackError(err error) error {
	var flateErr flate.CorruptInputError
	for _, fault := range []error{
		gzip.ErrHeader, gzip.ErrChecksum, zip.ErrFormat, zip.ErrAlgorithm, zip.ErrChecksum, io.ErrUnexpectedEOF, io.EOF,
	} {
		if errors.Is(err, fault) {
			return fmt.Errorf("%w: %w", ErrReportInvalid, err)
		}
	}
	if errors.As(err, &flateErr) {
		return fmt.Errorf("%w: %w", ErrReportInvalid, err)
	}
	return err
}

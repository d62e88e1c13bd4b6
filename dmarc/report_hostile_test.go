package dmarc_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

// repeated reads a text over and over.
type repeated struct {
	text string
	off  int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := copy(p[n:], r.text[r.off:])
		n, r.off = n+k, (r.off+k)%len(r.text)
	}
	return n, nil
}

// bomb packs size bytes of a text, without ever holding them.
func bomb(t testing.TB, start, text string, size int64) string {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	require.NoError(t, err)
	_, err = io.Copy(w, io.MultiReader(strings.NewReader(start), io.LimitReader(&repeated{text: text}, size)))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// zipBomb is an archive whose files all are the same compressed bytes.
func zipBomb(t testing.TB, files int, size int64) string {
	t.Helper()
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestSpeed)
	require.NoError(t, err)
	sum := crc32.NewIEEE()
	_, err = io.CopyN(io.MultiWriter(w, sum), &repeated{text: "<feedback>"}, size)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for range files {
		f, err := archive.CreateRaw(&zip.FileHeader{
			Name: "r.xml", Method: zip.Deflate, CRC32: sum.Sum32(), CompressedSize64: uint64(packed.Len()),
			UncompressedSize64: uint64(size),
		})
		require.NoError(t, err)
		_, err = f.Write(packed.Bytes())
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	return b.String()
}

// counter counts what is read from it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// allocated is how many bytes f allocates in all. Only one test at a time may use it.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Nothing that is sent may cost more than a few times the limit of bytes, and what can be read as a stream far less.
func TestParseReportBoundsMemory(t *testing.T) { // not parallel: it measures
	const (
		kb     = 1 << 10
		limit  = 512 << 10
		size   = 2 * limit
		stream = 300 * kb // the buffers
	)
	manyResults := "<record><auth_results>" + strings.Repeat("<dkim><domain>a</domain></dkim>", 100) +
		"</auth_results></record>"
	for _, c := range []struct {
		name, input string
		want        error
		most        uint64
	}{
		{"elements", bomb(t, "", "<a>", size), dmarc.ErrReportTooLarge, stream},
		{"elements in elements", bomb(t, "<feedback>", "<feedback>", size), dmarc.ErrReportInvalid, stream},
		{"a text", bomb(t, "<feedback><version>", "1", size), dmarc.ErrReportTooLarge, stream},
		{"a comment", bomb(t, "<feedback><!--", "--", size), dmarc.ErrReportTooLarge, stream},
		{"a document type", bomb(t, "<!DOCTYPE a [", `<!ENTITY a "&a;&a;">`, size), dmarc.ErrReportTooLarge, stream},
		{"a name", bomb(t, "<feedback><", "a", size), dmarc.ErrReportTooLarge, stream},
		{"attributes", bomb(t, "<feedback a='", "a", size), dmarc.ErrReportInvalid, stream},
		{"stray <", bomb(t, "<feedback>", "<", size), dmarc.ErrReportTooLarge, stream},
		{"references", bomb(t, "<feedback>", "<version>"+strings.Repeat("&", 9000)+"</version>", size), dmarc.ErrReportTooLarge,
			20 * limit},
		{"ends", bomb(t, "<feedback>", "</a>", size), dmarc.ErrReportTooLarge, 400 * kb},
		{"behind the report", bomb(t, oneRecord(""), " ", size), dmarc.ErrReportTooLarge, stream},
		{"a bomb in a bomb", gzipped(t, bomb(t, "", "<a>", size)), dmarc.ErrReportTooLarge, stream},
		{"many members", strings.Repeat(gzipped(t, strings.Repeat("<a>", 20_000)), 100), dmarc.ErrReportTooLarge, stream},
		{"many layers", gzipped(t, gzipped(t, gzipped(t, gzipped(t, gzipped(t, oneRecord("")))))), dmarc.ErrReportInvalid,
			stream},
		{"UTF-16", bomb(t, "\xff\xfe<\x00", "a\x00", size), dmarc.ErrReportTooLarge, stream},
		{"empty records", bomb(t, "<feedback>", "<record/>", size), dmarc.ErrReportTooLarge, 10 * limit},
		{"results", bomb(t, "<feedback>", manyResults, size), dmarc.ErrReportTooLarge, 10 * limit},
		{"zip", zipBomb(t, 1, size), dmarc.ErrReportInvalid, stream},
		{"zip of many bombs", zipBomb(t, 100, limit/10), dmarc.ErrReportInvalid, 5 * limit},
		{"zip of many files", zipBomb(t, 2000, 100), dmarc.ErrReportTooLarge, 4 * limit},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := &counter{r: strings.NewReader(c.input)}
			var err error
			cost := allocated(func() { _, err = dmarc.ReportParser{MaxBytes: limit, MaxRecords: limit / 256}.Parse(in) })
			require.ErrorIs(t, err, c.want)
			require.LessOrEqual(t, cost, c.most)
			require.LessOrEqual(t, in.n, int64(limit+1))
		})
	}
}

func TestParseReportStopsBombsByDefault(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{
		"gzip": bomb(t, "<feedback><!--", "x ", dmarc.DefaultReportBytes),
		"zip":  zipped(t, "a.xml", "<!--"+strings.Repeat("x ", dmarc.DefaultReportBytes/2)),
	} {
		_, err := dmarc.ParseReport(strings.NewReader(input))
		require.ErrorIs(t, err, dmarc.ErrReportTooLarge, name)
		require.Less(t, len(input), 200<<10)
	}
}

func TestReportParserKeepsItsLimits(t *testing.T) {
	t.Parallel()
	doc := reportXML(t, sampleReport())
	read := func(p dmarc.ReportParser, input string) error {
		_, err := p.Parse(strings.NewReader(input))
		return err
	}
	size := int64(len(doc))
	require.NoError(t, read(dmarc.ReportParser{MaxBytes: size}, doc))
	require.ErrorIs(t, read(dmarc.ReportParser{MaxBytes: size - 1}, doc), dmarc.ErrReportTooLarge)
	require.NoError(t, read(dmarc.ReportParser{MaxBytes: size}, gzipped(t, doc)))
	require.ErrorIs(t, read(dmarc.ReportParser{MaxBytes: size - 1}, gzipped(t, doc)), dmarc.ErrReportTooLarge)
	require.ErrorIs(t, read(dmarc.ReportParser{MaxBytes: 100}, mixed(textPart)), dmarc.ErrReportTooLarge)
	require.ErrorIs(t, read(dmarc.ReportParser{MaxBytes: size - 1}, zipped(t, "a", doc)), dmarc.ErrReportTooLarge)
	require.NoError(t, read(dmarc.ReportParser{MaxRecords: 2}, doc))
	require.ErrorIs(t, read(dmarc.ReportParser{MaxRecords: 1}, doc), dmarc.ErrReportTooLarge)
	// Results and reasons are counted over the whole report.
	many := oneRecord("<auth_results>" + strings.Repeat("<dkim><result>pass</result></dkim>", 5) + "</auth_results>")
	require.NoError(t, read(dmarc.ReportParser{MaxRecords: 2}, many))
	require.ErrorIs(t, read(dmarc.ReportParser{MaxRecords: 1}, many), dmarc.ErrReportTooLarge)
	// What is unpacked counts over all parts of a mail.
	parts := make([]string, 20)
	for i := range parts {
		parts[i] = "Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + inBase64(gzipped(t,
			strings.Repeat("<a>", 33_000)))
	}
	require.ErrorIs(t, read(dmarc.ReportParser{MaxBytes: 1 << 20}, mixed(parts...)), dmarc.ErrReportTooLarge)
	require.ErrorIs(t, read(dmarc.ReportParser{MaxBytes: 4 << 20}, mixed(parts...)), dmarc.ErrNoReport)
}

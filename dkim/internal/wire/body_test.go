package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// canonicalBody is the canonicalization as RFC 6376 §3.4.3 and §3.4.4 put it, on the whole body at once: the oracle.
func canonicalBody(body string, relaxed bool) string {
	body = strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\n", "\r\n")
	if relaxed {
		lines := strings.Split(body, "\r\n")
		for i, line := range lines {
			line = strings.ReplaceAll(line, "\t", " ")
			for strings.Contains(line, "  ") {
				line = strings.ReplaceAll(line, "  ", " ")
			}
			lines[i] = strings.TrimRight(line, " ")
		}
		body = strings.Join(lines, "\r\n")
	}
	for strings.HasSuffix(body, "\r\n") {
		body = strings.TrimSuffix(body, "\r\n")
	}
	if body != "" || !relaxed {
		body += "\r\n"
	}
	return body
}

func hashBody(pieces []string, relaxed bool, lengths ...int64) []*BodyHash {
	var b Body
	var hashes []*BodyHash
	for _, n := range lengths {
		hashes = append(hashes, b.Hash(relaxed, n))
	}
	for _, p := range pieces {
		b.Write([]byte(p))
	}
	b.Close()
	return hashes
}

func TestHashOfEmptyBody(t *testing.T) {
	t.Parallel()
	for relaxed, want := range map[bool]string{ // RFC 6376 §3.4.3, §3.4.4
		false: "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=",
		true:  "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
	} {
		for _, pieces := range [][]string{nil, {""}, {"\r\n"}, {"\r", "\n", "\r\n\r\n"}, {"\n"}} {
			sum := hashBody(pieces, relaxed, Whole)[0].Sum
			require.Equal(t, want, base64.StdEncoding.EncodeToString(sum), "%q relaxed=%v", pieces, relaxed)
		}
	}
}

func TestBodyOfExample345(t *testing.T) {
	t.Parallel()
	body := " C \r\nD \t E\r\n\r\n\r\n" // RFC 6376 §3.4.5
	require.Equal(t, " C \r\nD \t E\r\n", canonicalBody(body, false))
	require.Equal(t, " C\r\nD E\r\n", canonicalBody(body, true))
	for _, relaxed := range []bool{false, true} {
		want := sha256.Sum256([]byte(canonicalBody(body, relaxed)))
		require.Equal(t, want[:], hashBody([]string{body}, relaxed, Whole)[0].Sum)
	}
}

// However the body is cut into pieces and whatever lengths are asked for, the hashes are those of the definition.
func TestBodyHashIsThatOfTheDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.StringOf(rapid.SampledFrom([]rune("a \t\r\n.")))).Draw(t, "pieces")
		if rapid.Bool().Draw(t, "long") {
			pieces = append(pieces, strings.Repeat("long line ", 600), "\r\n", strings.Repeat("\r\n", 3000), "x")
		}
		relaxed := rapid.Bool().Draw(t, "relaxed")
		want := canonicalBody(strings.Join(pieces, ""), relaxed)
		lengths := rapid.SliceOf(rapid.Int64Range(0, int64(len(want))+3)).Draw(t, "lengths")
		lengths = append(lengths, Whole)
		for i, h := range hashBody(pieces, relaxed, lengths...) {
			covered := want
			if n := lengths[i]; n > int64(len(want)) {
				require.Nil(t, h.Sum)
				continue
			} else if n != Whole {
				covered = want[:n]
			}
			sum := sha256.Sum256([]byte(covered))
			require.Equal(t, sum[:], h.Sum, "length %d", lengths[i])
			require.EqualValues(t, len(want)-len(covered), h.Beyond)
		}
	})
}

func TestBodyOfOneLengthOnlyIsHashed(t *testing.T) {
	t.Parallel()
	h := hashBody([]string{"abcdef\r\n", "more\r\n"}, false, 6)[0]
	want := sha256.Sum256([]byte("abcdef"))
	require.Equal(t, want[:], h.Sum)
	require.EqualValues(t, 8, h.Beyond)
}

// A body of line ends only must not make the memory grow: it may all be the end of the body.
func TestBlankLinesTakeNoMemory(t *testing.T) {
	var b Body
	b.Hash(false, Whole)
	b.Hash(true, Whole)
	piece := []byte(strings.Repeat("\r\n", 2048))
	require.Zero(t, testing.AllocsPerRun(100, func() { b.Write(piece) }))
}

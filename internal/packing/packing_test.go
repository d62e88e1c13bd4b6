package packing_test

import (
	"bytes"
	"compress/gzip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/packing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	require.NoError(t, w.Close())
	for start, want := range map[string]string{
		zipped.String():                     "gzip",
		"\x28\xb5\x2f\xfd\x04\x00":          "zstd",
		"\xfd7zXZ\x00\x00\x04":              "xz",
		"Dovecot-LZ4\x0d\x2a\x9b\xc5\x00":   "lz4",
		"\x04\x22\x4d\x18":                  "lz4",
		"CRYPTED\x03\x07\x02\x00":           "mail_crypt",
		"BZh91AY&SY\x00":                    "bzip2",
		"BZh9: 1AY&SY":                      "",
		"BZh01AY&SY":                        "",
		"BZh9":                              "",
		"CRYPTED: yes":                      "",
		"Dovecot-LZ4: x":                    "",
		"\x1f\x8b":                          "",
		"From: a@example.com\r\n\x1f\x8b08": "",
		"":                                  "",
	} {
		require.Equal(t, want, packing.Of([]byte(start)), "%q", start)
	}
	require.Equal(t, "compressed by Dovecot's plugin zlib (gzip)", packing.Plugin("gzip"))
	require.Equal(t, "encrypted by Dovecot's plugin mail_crypt", packing.Plugin("mail_crypt"))
}

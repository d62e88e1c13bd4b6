// Package packing knows, by their first octets, the files of messages that Dovecot's plugins zlib and mail_crypt have written.
package packing

import "bytes"

// Start is how many of the first octets Of needs.
const Start = 16

// Of says in a word how the file that begins with these octets is packed; empty if it is not. No message begins so: what stands
// there is no field of a header (RFC 5322 §2.2).
func Of(start []byte) string {
	for _, p := range [...]struct{ magic, how string }{
		{"\x1f\x8b\x08", "gzip"},               // RFC 1952 §2.3.1
		{"\x28\xb5\x2f\xfd", "zstd"},           // RFC 8878 §3.1.1
		{"\xfd7zXZ\x00", "xz"},                 //
		{"Dovecot-LZ4\x0d\x2a\x9b\xc5", "lz4"}, // Dovecot's own frames
		{"\x04\x22\x4d\x18", "lz4"},            //
		{"CRYPTED\x03\x07", "mail_crypt"},      //
	} {
		if bytes.HasPrefix(start, []byte(p.magic)) {
			return p.how
		}
	}
	if len(start) >= 10 && string(start[:3]) == "BZh" && start[3] >= '1' && start[3] <= '9' && string(start[4:10]) == "1AY&SY" {
		return "bzip2"
	}
	return ""
}

// Plugin is Dovecot's plugin that packs so, and what it does.
func Plugin(how string) string {
	if how == "mail_crypt" {
		return "encrypted by Dovecot's plugin mail_crypt"
	}
	return "compressed by Dovecot's plugin zlib (" + how + ")"
}

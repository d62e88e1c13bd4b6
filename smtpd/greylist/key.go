package greylist

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/mailbricks/mailbricks/internal/ipaddr"
)

// A key stands for a triplet or, with a last part of zeros, for a client. It begins with what stands for the client, so that
// all that is known of one is in the same shard. It is a hash: an entry costs the same however long the addresses are, and
// the file does not tell who writes to whom. Who finds two triplets with one key may write with both after waiting with one.
type key [16]byte

// clientPart is how much of a key stands for the client.
const clientPart = 6

// clientKey is the key of a client with a name, or of the network with an address.
func (o *Options) clientKey(name string, addr netip.Addr) key {
	h := make([]byte, 0, 64)
	if name != "" {
		h = append(append(h, "name "...), canonical(name)...)
	} else {
		bits := o.IPv6Bits
		if addr = ipaddr.Plain(addr); addr.Is4() {
			bits = o.IPv4Bits
		}
		network, _ := addr.Prefix(bits) // an address without any gives a prefix without any
		h, _ = network.AppendBinary(append(h, "net "...))
	}
	sum := sha256.Sum256(h)
	var k key
	copy(k[:clientPart], sum[:])
	return k
}

// triplet is the key of what client sends from sender to rcpt, which are normalised.
func (client key) triplet(sender, rcpt string) key {
	h := make([]byte, 0, 256)
	h = append(h, client[:clientPart]...)
	h = append(append(append(h, sender...), 0), rcpt...) // addresses have no NUL
	sum := sha256.Sum256(h)
	k := client
	copy(k[clientPart:], sum[:])
	return k
}

// client is the key of the client of a triplet.
func (k key) client() key {
	clear(k[clientPart:])
	return k
}

// isClient says that the key is a client's.
func (k key) isClient() bool { return k == k.client() }

// MarshalText gives the key as it is in the file.
func (k key) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, k[:]), nil
}

// UnmarshalText reads what MarshalText gives.
func (k *key) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) != len(k) {
		return errors.New("greylist: no key")
	}
	copy(k[:], b)
	return nil
}

// shard is a number for what the key's client has.
func (k key) shard(n int) int { return int(binary.BigEndian.Uint32(k[:]) % uint32(n)) }

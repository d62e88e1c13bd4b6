package relay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mailbricks/mailbricks"
)

// Limits of a peer's reply.
const (
	// maxReplyLine is the most octets of a line; RFC 5321 §4.5.3.1.5 has 512.
	maxReplyLine = 4096
	// maxReplyLines is the most lines of a reply.
	maxReplyLines = 256
)

// errProtocol says that the peer does not speak SMTP.
var errProtocol = errors.New("relay: not an SMTP reply")

// reply is a peer's reply (RFC 5321 §4.2).
type reply struct {
	code     int
	enhanced string   // RFC 2034, of the first line
	lines    []string // without code and enhanced code, cleaned
}

// class is the first digit of the code.
func (r *reply) class() int { return r.code / 100 }

// String is the reply on one line.
func (r *reply) String() string {
	parts := []string{fmt.Sprint(r.code)}
	if r.enhanced != "" {
		parts = append(parts, r.enhanced)
	}
	return clip(strings.Join(parts, " ") + " " + strings.Join(r.lines, " / "))
}

// failure is the reply as an error: as it is in the classes 4 and 5, otherwise as a breach of the protocol.
func (r *reply) failure() error {
	if class := r.class(); class != 4 && class != 5 {
		return temporary("4.5.0", "The server's reply makes no sense here: "+r.String(), errProtocol)
	}
	return &mailbricks.Reply{Code: r.code, Enhanced: r.enhanced, Text: clip(strings.Join(r.lines, " / "))}
}

// readReply reads one reply within the limits. A line may end with LF alone; it is only read, never passed on.
func readReply(br *bufio.Reader) (*reply, error) {
	r := new(reply)
	for n := 0; ; n++ {
		if n == maxReplyLines {
			return nil, fmt.Errorf("%w: more than %d lines", errProtocol, maxReplyLines)
		}
		line, err := readReplyLine(br)
		if err != nil {
			return nil, err
		}
		code, last, text, ok := parseReplyLine(line)
		if !ok || n > 0 && code != r.code {
			return nil, fmt.Errorf("%w: %q", errProtocol, clip(line))
		}
		r.code = code
		enhanced, rest := cutEnhanced(text, code)
		if n == 0 {
			r.enhanced = enhanced
		}
		r.lines = append(r.lines, clip(rest))
		if last {
			return r, nil
		}
	}
}

func readReplyLine(br *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		if len(line)+len(part) > maxReplyLine {
			return "", fmt.Errorf("%w: line too long", errProtocol)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return strings.TrimRight(string(line), "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return "", io.ErrUnexpectedEOF
		default:
			return "", err
		}
	}
}

// parseReplyLine reads "250-text", "250 text" or "250".
func parseReplyLine(line string) (code int, last bool, text string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || line[1] < '0' || line[1] > '5' || line[2] < '0' || line[2] > '9' {
		return 0, false, "", false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, true, "", true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", false
	}
	return code, line[3] == ' ', line[4:], true
}

// cutEnhanced takes the enhanced status code from the front of a text, if it is one of the code's class (RFC 2034 §4).
func cutEnhanced(text string, code int) (enhanced, rest string) {
	first, rest, _ := strings.Cut(text, " ")
	if !validEnhanced(first) || int(first[0]-'0') != code/100 {
		return "", text
	}
	return first, rest
}

// validEnhanced checks for RFC 3463 §2: class "." subject "." detail.
func validEnhanced(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || !strings.Contains("245", parts[0]) {
		return false
	}
	for _, p := range parts[1:] {
		if len(p) < 1 || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}

// temporary is a failure for now that this program has found.
func temporary(enhanced, text string, cause error) error {
	return &mailbricks.Reply{Code: 451, Enhanced: enhanced, Text: text, Err: cause}
}

// permanent is a failure for good that this program has found.
func permanent(code int, enhanced, text string) error {
	return &mailbricks.Reply{Code: code, Enhanced: enhanced, Text: text}
}

package mimeindex_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// value is an IMAP value: nil for NIL, string, or []value for a list. Numbers and atoms are strings that start with '='.
type value any

// parseValue reads one IMAP value and returns what stands behind it.
func parseValue(b []byte) (value, []byte, error) {
	b = bytes.TrimLeft(b, " ")
	if len(b) == 0 {
		return nil, nil, fmt.Errorf("unexpected end")
	}
	switch b[0] {
	case '(':
		list := []value{}
		b = b[1:]
		for {
			b = bytes.TrimLeft(b, " ")
			if len(b) == 0 {
				return nil, nil, fmt.Errorf("list without end")
			}
			if b[0] == ')' {
				return list, b[1:], nil
			}
			v, rest, err := parseValue(b)
			if err != nil {
				return nil, nil, err
			}
			list, b = append(list, v), rest
		}
	case '"':
		var s strings.Builder
		for i := 1; i < len(b); i++ {
			switch b[i] {
			case '"':
				return s.String(), b[i+1:], nil
			case '\\':
				i++
			case '\r', '\n', 0:
				return nil, nil, fmt.Errorf("control character in quoted string")
			}
			if i < len(b) {
				s.WriteByte(b[i])
			}
		}
		return nil, nil, fmt.Errorf("quoted string without end")
	case '{':
		size, rest, ok := bytes.Cut(b[1:], []byte("}"))
		rest = bytes.TrimPrefix(bytes.TrimPrefix(rest, []byte("\r")), []byte("\n"))
		n, err := strconv.Atoi(string(size))
		if !ok || err != nil || n > len(rest) {
			return nil, nil, fmt.Errorf("bad literal")
		}
		return string(rest[:n]), rest[n:], nil
	}
	n := bytes.IndexAny(b, " ()")
	if n < 0 {
		n = len(b)
	}
	if atom := string(b[:n]); atom != "NIL" {
		return "=" + atom, b[n:], nil
	}
	return nil, b[n:], nil
}

// fold makes all strings of a value lower case.
func fold(v value) value {
	switch v := v.(type) {
	case string:
		return strings.ToLower(v)
	case []value:
		out := make([]value, len(v))
		for i := range v {
			out[i] = fold(v[i])
		}
		return out
	}
	return v
}

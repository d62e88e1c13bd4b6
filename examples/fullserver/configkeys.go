package main

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/auth/directory"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
)

// setter takes the value of a key: as TOML has it, or a variable.
type setter func(value any) error

// variable is a value from the environment, where everything is a string.
type variable string

func text(to *string, check func(string) error) setter {
	return func(value any) error {
		s, ok := value.(string)
		if v, isVariable := value.(variable); isVariable {
			s, ok = string(v), true
		}
		if !ok {
			return errors.New("must be a string")
		}
		if err := check(s); err != nil {
			return err
		}
		*to = s
		return nil
	}
}

func anything(string) error { return nil }

func notEmpty(s string) error {
	if s == "" {
		return errors.New("must not be empty")
	}
	return nil
}

func emptyOr(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", "))
		}
		return nil
	}
}

// stringList takes a list, or in the environment strings with commas between them.
func stringList(value any) ([]string, error) {
	switch v := value.(type) {
	case variable:
		return strings.FieldsFunc(string(v), func(r rune) bool { return r == ',' || r == ' ' }), nil
	case []any:
		var list []string
		for _, element := range v {
			s, ok := element.(string)
			if !ok {
				return nil, errors.New("must be a list of strings")
			}
			list = append(list, s)
		}
		return list, nil
	}
	return nil, errors.New("must be a list of strings")
}

func texts(to *[]string, check func(string) error) setter {
	return parsed(to, func(s string) (string, error) { return s, check(s) })
}

// parsed takes a list whose elements parse makes of strings.
func parsed[T any](to *[]T, parse func(string) (T, error)) setter {
	return func(value any) error {
		list, err := stringList(value)
		if err != nil {
			return err
		}
		out := make([]T, 0, len(list))
		for _, s := range list {
			v, err := parse(s)
			if err != nil {
				return err
			}
			out = append(out, v)
		}
		*to = out
		return nil
	}
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func boolean(to *bool) setter {
	return func(value any) error {
		switch v := value.(type) {
		case bool:
			*to = v
			return nil
		case variable:
			b, err := strconv.ParseBool(string(v))
			if err == nil {
				*to = b
				return nil
			}
		}
		return errors.New("must be true or false")
	}
}

func number(to *int, lowest, highest int) setter {
	return func(value any) error {
		n, ok := value.(int64)
		if v, isVariable := value.(variable); isVariable {
			parsed, err := strconv.ParseInt(string(v), 10, 64)
			n, ok = parsed, err == nil
		}
		if !ok || n < int64(lowest) || n > int64(highest) {
			return fmt.Errorf("must be a whole number from %d to %d", lowest, highest)
		}
		*to = int(n)
		return nil
	}
}

// size takes a number of octets, with or without a unit.
func size(to *int64) setter {
	return func(value any) error {
		switch v := value.(type) {
		case int64:
			if v < 0 {
				return errors.New("must not be negative")
			}
			*to = v
			return nil
		case variable:
			return setSize(to, string(v))
		case string:
			return setSize(to, v)
		}
		return errors.New(`must be a size such as "50M"`)
	}
}

func setSize(to *int64, s string) error {
	if n, err := strconv.ParseUint(s, 10, 62); err == nil {
		*to = int64(n)
		return nil
	}
	n, err := directory.ParseSize(s)
	if err != nil {
		return err
	}
	*to = n
	return nil
}

// duration takes a time such as "90m", also in days: "5d".
func duration(to *time.Duration) setter {
	var s string
	set := text(&s, anything)
	return func(value any) error {
		if err := set(value); err != nil {
			return errors.New(`must be a time such as "90m" or "5d"`)
		}
		d, err := parseDuration(s)
		if err != nil || d < time.Second {
			return fmt.Errorf(`%q is not a time such as "90m" or "5d", of one second at least`, s)
		}
		*to = d
		return nil
	}
}

func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

// parseNetwork reads an address or a network.
func parseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	network := ipaddr.Network(prefix)
	if err != nil || prefix.Addr().Is4In6() && !network.Addr().Is4() { // such as ::ffff:0:0/64, which nobody can mean
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", s)
	}
	return network, nil
}

// inDays is a duration as the configuration has it.
func inDays(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	for _, none := range []string{"m0s", "h0m"} {
		if short, ok := strings.CutSuffix(text, none); ok {
			text = short + none[:1]
		}
	}
	return text
}

// durationOrNone is duration with 0, or "0s", for none, and a longest one.
func durationOrNone(to *time.Duration, longest time.Duration) setter {
	var d time.Duration
	set := duration(&d)
	return func(value any) error {
		if n, ok := value.(int64); ok && n == 0 || value == "0" || value == "0s" || value == variable("0") || value == variable("0s") {
			*to = 0
			return nil
		}
		if err := set(value); err != nil {
			return err
		}
		if d > longest {
			return fmt.Errorf("must not be longer than %s", inDays(longest))
		}
		*to = d
		return nil
	}
}

// choice takes one of the names of values.
func choice[T any](to *T, values map[string]T) setter {
	var name string
	set := text(&name, oneOf(slices.Sorted(maps.Keys(values))...))
	return func(value any) error {
		if err := set(value); err != nil {
			return err
		}
		*to = values[name]
		return nil
	}
}

package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// json prints a result.
func (p *process) json(v any) error {
	encoder := json.NewEncoder(p.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(plain(v))
}

// plain makes maps, slices and plain values of a result: fields get names in snake_case, errors their text, and what has
// a name for its value (results, policies, addresses) that name.
func plain(v any) any {
	return plainValue(reflect.ValueOf(v))
}

func plainValue(v reflect.Value) any {
	if !v.IsValid() || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		return nil
	}
	switch x := v.Interface().(type) {
	case time.Time:
		if x.IsZero() {
			return nil
		}
		return x.UTC().Format(time.RFC3339)
	case error:
		return x.Error()
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil {
			return err.Error()
		}
		return string(text)
	case fmt.Stringer:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return plainValue(v.Elem())
	case reflect.Struct:
		return plainStruct(v)
	case reflect.Slice, reflect.Array:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plainValue(v.Index(i))
		}
		return list
	}
	return v.Interface()
}

func plainStruct(v reflect.Value) map[string]any {
	fields := map[string]any{}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			fields[snake(f.Name)] = plainValue(v.Field(i))
		}
	}
	return fields
}

// snake turns a name of Go's into snake_case: SPFAligned is spf_aligned, AggregateURIs aggregate_uris.
func snake(name string) string {
	name = strings.ReplaceAll(name, "URIs", "Uris")
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			before, after := rune(name[i-1]), rune('A')
			if i+1 < len(name) {
				after = rune(name[i+1])
			}
			if unicode.IsLower(before) || unicode.IsUpper(before) && unicode.IsLower(after) {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

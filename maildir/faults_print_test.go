package maildir_test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

// print is the same for file systems that differ only in what is another in every run: names with a random part, keys, and
// what is encrypted with them, of which the length counts.
func print(fsys *crashfs.FS) string {
	var b strings.Builder
	ids := map[int]int{}
	for e := range fsys.Walk() {
		if _, known := ids[e.ID]; !known {
			ids[e.ID] = len(ids)
		}
		fmt.Fprintf(&b, "%s %d %d ", e.Name, ids[e.ID], len(e.Data))
		if !isSealed(e.Data) && !strings.HasSuffix(e.Name, "mailbricks-keys") {
			b.Write(e.Data)
		}
		b.WriteByte('\n')
	}
	return alike(b.String())
}

// isSealed says whether a file is encrypted.
func isSealed(data []byte) bool {
	return strings.HasPrefix(string(data[:min(len(data), 18)]), "mailbricks-sealed ")
}

// alike numbers the parts of a text that are others in every run: names of messages, random texts of 26 letters and digits,
// GUIDs, and folders with hidden names.
func alike(text string) string {
	var out strings.Builder
	names := map[string]int{}
	for len(text) > 0 {
		n := wordLength(text)
		if n == 0 {
			out.WriteByte(text[0])
			text = text[1:]
			continue
		}
		word := text[:n]
		if n == 10 && len(text) > n+1 && text[n] == '.' && text[n+1] == 'M' { // "1577836810.M000000P1Q2R0123456789ab"
			word = text[:n+1+wordLength(text[n+1:])]
		}
		if isUnique(word) {
			if _, known := names[word]; !known {
				names[word] = len(names)
			}
			out.WriteString("<" + strconv.Itoa(names[word]) + ">")
		} else {
			out.WriteString(word)
		}
		text = text[len(word):]
	}
	return out.String()
}

// wordLength is how many letters and digits a text begins with.
func wordLength(text string) int {
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return i
		}
	}
	return len(text)
}

func isUnique(word string) bool {
	switch {
	case len(word) > 20 && word[10] == '.':
		return true
	case len(word) == 26:
		return strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
	case len(word) == 32:
		return strings.Trim(word, "0123456789abcdefghjkmnpqrstvwxyz") == ""
	}
	return false
}

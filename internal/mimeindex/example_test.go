package mimeindex_test

import (
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

func Example() {
	message := "From: Ann <ann@example.org>\r\n" +
		"Subject: two parts\r\n" +
		"Content-Type: multipart/alternative; boundary=x\r\n" +
		"\r\n" +
		"--x\r\n" +
		"\r\n" +
		"Hello\r\n" +
		"--x\r\n" +
		"Content-Type: text/html\r\n" +
		"\r\n" +
		"<p>Hello</p>\r\n" +
		"--x--\r\n"

	root, err := mimeindex.Parse(strings.NewReader(message), mimeindex.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", root.Envelope.Append(nil))
	fmt.Printf("%s\n", root.AppendBody(nil, mimeindex.Basic))
	off, n, _ := root.Section([]int{2}, mimeindex.Body)
	fmt.Println(message[off : off+n])
	// Output:
	// (NIL "two parts" (("Ann" NIL "ann" "example.org")) (("Ann" NIL "ann" "example.org")) (("Ann" NIL "ann" "example.org")) NIL NIL NIL NIL NIL)
	// (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 0)("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 12 0) "alternative")
	// <p>Hello</p>
}

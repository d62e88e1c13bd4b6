package directory_test

import (
	"fmt"
	"os"

	"github.com/mailbricks/mailbricks/auth/directory"
)

func Example() {
	dir, _ := os.MkdirTemp("", "directory-*")
	defer os.RemoveAll(dir)

	d, _ := directory.Open(dir, directory.Options{})
	fmt.Println(d.AddAccount("ann@example.com", "correct horse"))
	fmt.Println(d.AddAlias("sales@example.com", "ann@example.com"))
	fmt.Println(d.Resolve("sales+leads@example.com"))
	fmt.Println(d.Resolve("bob@example.com"))
	fmt.Println(d.Hosts("example.com"), d.Hosts("example.org"))
	// Output:
	// <nil>
	// <nil>
	// [ann@example.com] <nil>
	// [] directory: no such recipient
	// true false
}

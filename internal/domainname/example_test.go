package domainname_test

import (
	"fmt"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

func Example() {
	for _, name := range []string{"Mail.Bücher.example.", "_dmarc.example.com", "ann smith.example"} {
		host, isHost := domainname.Host(name)
		identity, isIdentity := domainname.Identity(name)
		dns, isDNS := domainname.DNS(name)
		fmt.Printf("%q %t, %q %t, %q %t\n", host, isHost, identity, isIdentity, dns, isDNS)
	}
	// Output:
	// "mail.xn--bcher-kva.example" true, "mail.xn--bcher-kva.example" true, "mail.xn--bcher-kva.example" true
	// "" false, "_dmarc.example.com" true, "_dmarc.example.com" true
	// "" false, "" false, "ann smith.example" true
}

package arc_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
)

// A list seals what it passes on, and the server behind it sees what the list had found.
func Example() {
	key, err := dkim.GenerateKey("rsa", 2048)
	if err != nil {
		log.Fatal(err)
	}
	sealer := &arc.Sealer{Domain: "lists.example", Selector: "arc", Key: key}
	message := "From: Ann <ann@example.com>\r\nSubject: [list] Lunch\r\n\r\nAt one?\r\n"
	set, err := sealer.Seal(strings.NewReader(message), arc.None, "spf=pass smtp.mailfrom=example.com; dmarc=pass")
	if err != nil {
		log.Fatal(err)
	}
	record, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: "lists.example", Selector: "arc"})
	if err != nil {
		log.Fatal(err)
	}
	dns := published{record.Name + ".": record.Value} // a *net.Resolver, or nil, in earnest

	r, err := arc.Verify(context.Background(), strings.NewReader(set+message), dns, arc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Status, r.Sets[0].Seal.Domain, "found", r.Sets[0].Results)
	// Output: pass lists.example found spf=pass smtp.mailfrom=example.com; dmarc=pass
}

type published map[string]string

func (p published) LookupTXT(_ context.Context, name string) ([]string, error) {
	if txt, ok := p[name]; ok {
		return []string{txt}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

package main

import (
	"crypto"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// signer are the options of commands that sign.
type signer struct {
	Domain   string `placeholder:"D" help:"The domain that signs."`
	Selector string `placeholder:"S" help:"The name of the key under the domain."`
	Key      string `placeholder:"FILE" help:"The private key, PEM."`
}

// check says what is wrong with the options when there is signing to do or, if not, when there is something to do it with.
func (s signer) check(signing bool, option string) error {
	switch all, none := s.Domain != "" && s.Selector != "" && s.Key != "", s == (signer{}); {
	case signing && !all:
		return fmt.Errorf("%s needs -domain, -selector and -key", option)
	case !signing && !none:
		return fmt.Errorf("-domain, -selector and -key are for %s", option)
	}
	return nil
}

func (s signer) privateKey() (crypto.Signer, error) {
	pem, err := os.ReadFile(s.Key)
	if err != nil {
		return nil, err
	}
	return dkim.ParsePrivateKey(pem)
}

func (c *dkimCommand) sign(p *process, file *message) error {
	key, err := c.privateKey()
	if err != nil {
		return err
	}
	if err := file.checkFields(); err != nil {
		return err
	}
	signer := dkim.Signer{Domain: c.Domain, Selector: c.Selector, Key: key, Canonicalization: c.C, Now: c.now()}
	field, err := signer.Sign(file)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return p.json(struct{ Field string }{field})
	}
	return p.put(field, file)
}

// put prints a message with fields in front of it, behind the line of an mbox. Line ends become CRLF, as they were signed.
func (p *process) put(fields string, file *message) error {
	_, err := file.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(p.stdout, mimeindex.CRLFReader(io.MultiReader(strings.NewReader(file.envelope+fields), file)))
	}
	return err
}

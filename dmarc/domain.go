package dmarc

import "github.com/mailbricks/mailbricks/internal/domainname"

func normalize(name string) (string, bool) { return domainname.Identity(name) }

func within(name, domain string) bool { return domainname.Within(name, domain) }

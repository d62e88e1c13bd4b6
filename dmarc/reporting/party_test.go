package reporting_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc/reporting"
)

func TestOrganizationOfADomain(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]string{
		"example.com": "example.com", "a.b.example.com": "example.com", "example.de": "example.de", "mail.example.de": "example.de",
		"a.example.co.uk": "example.co.uk", "example.co.uk": "example.co.uk", "x.y.com.au": "y.com.au", "com": "com", "t.co": "t.co",
		"a.sub.example.museum": "example.museum",
	} {
		require.Equal(t, want, reporting.Organization(domain), domain)
	}
}

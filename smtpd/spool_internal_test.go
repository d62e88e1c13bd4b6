package smtpd

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
)

func TestPerConnectionSharesASpool(t *testing.T) {
	t.Parallel()
	home := new(Server)
	own := home.settings(home, false).spool
	require.NotNil(t, own)
	require.Same(t, own, new(Server).settings(home, false).spool)
	require.Same(t, own, new(Server).settings(home, false).spool)
	given := new(mailbricks.Spool)
	require.Same(t, given, (&Server{Spool: given}).settings(home, false).spool)
}

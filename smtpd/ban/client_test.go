package ban

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/dialogue"
)

// newClient gives a client for whose scripts "S* code" expects a whole reply with this code, whatever it says.
func newClient(t *testing.T, conn net.Conn) *dialogue.Client {
	c := dialogue.New(t, conn)
	c.Verbs = map[string]func(string){"S*": func(code string) {
		t.Helper()
		for more := true; more; {
			line, err := c.Line()
			require.NoError(t, err)
			require.Equal(t, code, line[:3], line)
			more = line[3] == '-'
		}
	}}
	return c
}

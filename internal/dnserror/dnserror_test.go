package dnserror_test

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/dnserror"
)

func TestNotFound(t *testing.T) {
	t.Parallel()
	missing := &net.DNSError{Err: "no such host", IsNotFound: true}
	require.True(t, dnserror.NotFound(missing))
	require.True(t, dnserror.NotFound(fmt.Errorf("look-up: %w", missing)))
	require.False(t, dnserror.NotFound(&net.DNSError{Err: "time-out", IsTimeout: true}))
	require.False(t, dnserror.NotFound(errors.New("no such host")))
	require.False(t, dnserror.NotFound(nil))
}

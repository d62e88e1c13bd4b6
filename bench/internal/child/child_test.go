package child_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/bench/internal/child"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Role{
		"echo": func(args []string) (*child.Server, error) {
			return &child.Server{Addr: strings.Join(args, " "), Ask: func(question string) (any, error) {
				if question == "fail" {
					return nil, errors.New("failed")
				}
				return child.MeasureMemory(), nil
			}}, nil
		},
		"mute": func([]string) (*child.Server, error) { return &child.Server{}, nil },
		"ill":  func([]string) (*child.Server, error) { return nil, errors.New("ill") },
		"busy": func([]string) (*child.Server, error) {
			for began := time.Now(); time.Since(began) < 100*time.Millisecond; {
			}
			return &child.Server{}, nil
		},
	})
	os.Exit(m.Run())
}

func TestChildAnswers(t *testing.T) {
	t.Parallel()
	p, err := child.Start("echo", "a", "b")
	require.NoError(t, err)
	require.Equal(t, "a b", p.Addr)
	var m child.Memory
	require.NoError(t, p.Ask("memory", &m))
	require.Greater(t, m.InUse(), uint64(100<<10))
	require.Positive(t, m.Goroutines)
	require.EqualError(t, p.Ask("fail", &m), "failed")
	u, err := p.Usage()
	require.NoError(t, err)
	require.Positive(t, u.Goroutines)
	require.NoError(t, p.Close())
}

func TestUsageIsThatOfTheChild(t *testing.T) {
	t.Parallel()
	p, err := child.Start("busy")
	require.NoError(t, err)
	defer p.Close()
	first, err := p.Usage()
	require.NoError(t, err)
	require.Greater(t, first.CPU, 10*time.Millisecond)
	time.Sleep(50 * time.Millisecond)
	second, err := p.Usage()
	require.NoError(t, err)
	require.Less(t, second.CPU-first.CPU, 40*time.Millisecond, "it has done nothing")
}

func TestChildThatDoesNotStart(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"ill", "unknown"} {
		_, err := child.Start(role)
		require.Error(t, err)
	}
	p, err := child.Start("mute")
	require.NoError(t, err)
	require.Error(t, p.Ask("anything", new(any)))
	require.NoError(t, p.Close())
}

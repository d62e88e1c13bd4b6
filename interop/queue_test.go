//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDestinationDownAndUpAgain(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	w := newWorld(t)
	a, b := w.newHost(2, "a.test"), w.newHost(3, "b.test")
	a.start()
	a.send("ann", "patience", "bob@b.test")
	eventually(t, "a failed attempt in queue list", func() error {
		out := a.must("queue", "list")
		if !strings.Contains(out, "next attempt") || !strings.Contains(out, "bob@b.test") || !strings.Contains(out, "refused") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	var entries []map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.must("queue", "list", "-json")), &entries))
	require.Len(t, entries, 1)
	a.stop()
	require.Contains(t, a.must("queue", "list"), "bob@b.test", "without a running server, too")
	a.start()
	b.start()
	a.must("queue", "retry")
	require.Contains(t, header(b.wait("bob", "", 1)[0], "Subject")[0], "patience")
}

func TestRefusalBringsANotification(t *testing.T) {
	t.Parallel()
	need(t, "python3", "mutt")
	w := newWorld(t)
	a, b := w.newHost(2, "a.test"), w.newHost(3, "b.test")
	a.start()
	b.start()
	a.send("ann", "to nobody", "nobody@b.test")
	notice := a.wait("ann", "", 1)[0]
	require.Equal(t, []string{"<>"}, header(notice, "Return-Path"))
	file := filepath.Join(w.dir, "notice.eml")
	require.NoError(t, os.WriteFile(file, []byte(notice), 0o600))
	parsed := sh(t, `python3 - "$FILE" <<'EOF'
import email, email.policy, sys
m = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
assert m.get_content_type() == "multipart/report", m.get_content_type()
assert m.get_param("report-type") == "delivery-status"
text, status, original = m.iter_parts()
assert status.get_content_type() == "message/delivery-status"
fields = list(status.get_payload())
print(fields[0]["Reporting-MTA"])
for name in ("Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code"):
    print(fields[1][name])
assert original.get_content_type() in ("text/rfc822-headers", "message/rfc822")
EOF`, "FILE="+file)
	require.Regexp(t, `^dns; ?mail\.a\.test\nrfc822; ?nobody@b\.test\nfailed\n5\.1\.1\ndns; ?mail\.b\.test\nsmtp; ?550 5\.1\.1`, parsed)

	shown := a.mutt("ann", "set pipe_decode=yes", "<pipe-message>cat >$DIR/shown<enter>", "shown")
	require.Contains(t, shown, "nobody@b.test")
	require.Contains(t, shown, "550 5.1.1")
}

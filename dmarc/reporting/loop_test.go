package reporting_test

import (
	"bytes"
	"net/mail"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/dmarc/reporting"
)

// Two servers whose reports do not pass at the other one do not tell each other so for ever, whether reports go to the
// address that they come from or to another.
func TestNoPingPongOfReportsThatFail(t *testing.T) {
	t.Parallel()
	for _, result := range []dmarc.Result{dmarc.Fail, dmarc.PermError, dmarc.Pass} {
		for _, rua := range []string{"reports", "dmarc"} {
			t.Run(result.String()+" to "+rua, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					servers := map[string]*reporting.Reporter{}
					boxes := map[string]*outbox{}
					for _, domain := range []string{"a.example", "b.example"} {
						boxes[domain] = &outbox{}
						r := newReporter(t.TempDir(), boxes[domain], nil)
						r.Email, r.Hostname = "reports@"+domain, domain
						servers[domain] = r
						start(t, r)
					}
					from := func(domain string) reporting.Evaluation {
						e := failing(evaluation(domain, "v=DMARC1; p=none; rua=mailto:"+rua+"@"+domain))
						e.Verdict.Result = result
						return e
					}
					record(t, servers["b.example"], from("a.example")) // one message that a person wrote
					sent := 0
					for range 6 {
						nextDay()
						for _, way := range [][2]string{{"a.example", "b.example"}, {"b.example", "a.example"}} {
							for _, m := range boxes[way[0]].take() {
								sent++
								msg, err := mail.ReadMessage(bytes.NewReader(m.Content))
								require.NoError(t, err)
								e := from(way[0])
								e.ReversePath, e.Recipients, e.Automated = m.From, []string{m.To}, reporting.Automated(msg.Header.Get)
								record(t, servers[way[1]], e)
							}
						}
					}
					require.Equal(t, 1, sent, "the one about that message")
				})
			})
		}
	}
}

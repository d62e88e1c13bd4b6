package ban_test

import (
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/ban"
)

// Six failed log-ins ban, wherever they come from; an administrator lifts the ban and bans a network.
func Example() {
	dir, err := os.MkdirTemp("", "bans")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	bans, err := ban.Open(filepath.Join(dir, "bans"), ban.Options{
		Never: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer bans.Close()
	_ = &smtpd.Server{ // imapd and pop3d call Report and Banned, or are given a bans.Listener
		Checks: []smtpd.Check{bans.Check()},
		Trace:  smtpd.Trace{Outcome: bans.Outcome},
	}

	peer, office := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("198.51.100.7")
	for range 6 {
		bans.Report(peer, ban.DefaultAuthFailure, "IMAP log-in failed")
		bans.Report(office, ban.DefaultAuthFailure, "IMAP log-in failed")
	}
	fmt.Println(bans.Banned(peer), bans.Banned(office))
	for _, b := range bans.List() {
		fmt.Println(b.Prefix, b.Until.Sub(b.Since), b.Reason)
	}
	fmt.Println(bans.Unban(netip.MustParsePrefix("203.0.113.9/32")), bans.Banned(peer))
	fmt.Println(bans.Ban(netip.MustParsePrefix("203.0.113.0/24"), 24*time.Hour, "by hand"), bans.Banned(peer))
	// Output:
	// true false
	// 203.0.113.9/32 1h0m0s IMAP log-in failed
	// 1 false
	// <nil> true
}

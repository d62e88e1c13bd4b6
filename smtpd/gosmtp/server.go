package gosmtp

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Options say what else there is to know; the zero value is what [Server] uses.
type Options struct {
	// Received leaves this server's Received field (RFC 5321 §4.4) in front of the message that Data reads. Without it Data
	// reads what go-smtp would give it, and adding a trace field is left to the backend.
	Received bool
}

// Server gives a server with this package's engine that runs s.Backend with the settings of s. See Options.Server.
func Server(s *smtp.Server) *smtpd.Server { return Options{}.Server(s) }

// Server gives a server with this package's engine that runs s.Backend. Its fields are there to be changed before it serves;
// Handler, Auth and the check in Checks are the backend's. Other checks may stand in front of that one or behind it: all of
// them are asked before the backend is.
//
// From s come Addr, Domain, TLSConfig, LMTP, MaxRecipients, MaxMessageBytes, AllowInsecureAuth, ReadTimeout, WriteTimeout,
// ErrorLog, and what the Enable fields, MinimumDeliverByTime and MtPriorityProfile declare. A limit or time-out that is 0 has
// the default of [smtpd.Server] and is not unlimited. MaxLineLength, Network and Debug are not used. s itself never serves, and
// must not change any more.
func (o Options) Server(s *smtp.Server) *smtpd.Server {
	srv := &smtpd.Server{
		Addr:              s.Addr,
		Hostname:          s.Domain,
		TLSConfig:         s.TLSConfig,
		LMTP:              s.LMTP,
		AllowInsecureAuth: s.AllowInsecureAuth,
		MaxRecipients:     s.MaxRecipients,
		MaxMessageSize:    s.MaxMessageBytes,
		CommandTimeout:    s.ReadTimeout,
		DataTimeout:       s.ReadTimeout,
		WriteTimeout:      s.WriteTimeout,
		NoSMTPUTF8:        !s.EnableSMTPUTF8,
		Logger:            logger(s.ErrorLog),
	}
	a := &adapter{Options: o, server: srv, settings: s, offers: make(map[ends]*session)}
	srv.Handler, srv.Auth = a, a
	srv.Checks = []smtpd.Check{{Name: "go-smtp backend", Around: a.around, Disconnect: a.disconnect}}
	return srv
}

// logger writes warnings and errors to a log of go-smtp's kind.
func logger(log smtp.Logger) *slog.Logger {
	if log == nil {
		return nil
	}
	return slog.New(slog.NewTextHandler(lines{log}, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 { // the log has its own
				return slog.Attr{}
			}
			return a
		},
	}))
}

// lines writes lines to a log of go-smtp's kind.
type lines struct{ log smtp.Logger }

func (l lines) Write(p []byte) (int, error) {
	l.log.Printf("%s", p)
	return len(p), nil
}

// adapter is the backend's place in a server.
type adapter struct {
	Options
	server   *smtpd.Server
	settings *smtp.Server // what the user of go-smtp had
	keys     keys

	mu     sync.Mutex
	offers map[ends]*session // those that have said EHLO
}

// SMTPExtensions are those that the user of the backend declares, see [smtpd.Extender].
func (a *adapter) SMTPExtensions() smtpd.Extensions {
	s := a.settings
	return smtpd.Extensions{
		BinaryMIME:          s.EnableBINARYMIME,
		DSN:                 s.EnableDSN,
		RequireTLS:          s.EnableREQUIRETLS,
		DeliverBy:           s.EnableDELIVERBY,
		MinDeliverBy:        s.MinimumDeliverByTime,
		Priority:            s.EnableMTPRIORITY,
		PriorityPolicy:      string(s.MtPriorityProfile),
		RecipientValidSince: s.EnableRRVS,
	}
}

// log is the server's.
func (a *adapter) log() *slog.Logger {
	return serving.Logger(a.server.Logger)
}

// goServer gives the server that a connection of go-smtp's shows as its own: with the settings of this one.
func (a *adapter) goServer() *smtp.Server {
	s := smtp.NewServer(a.settings.Backend)
	s.Network, s.Addr, s.Domain = a.settings.Network, a.server.Addr, a.server.Hostname
	s.TLSConfig, s.LMTP = a.server.TLSConfig, a.server.LMTP
	s.MaxRecipients, s.MaxMessageBytes = a.server.MaxRecipients, a.server.MaxMessageSize
	s.AllowInsecureAuth = a.server.AllowInsecureAuth
	s.EnableSMTPUTF8, s.EnableREQUIRETLS = a.settings.EnableSMTPUTF8, a.settings.EnableREQUIRETLS
	s.EnableBINARYMIME, s.EnableDSN, s.EnableRRVS = a.settings.EnableBINARYMIME, a.settings.EnableDSN, a.settings.EnableRRVS
	s.EnableDELIVERBY, s.MinimumDeliverByTime = a.settings.EnableDELIVERBY, a.settings.MinimumDeliverByTime
	s.EnableMTPRIORITY, s.MtPriorityProfile = a.settings.EnableMTPRIORITY, a.settings.MtPriorityProfile
	s.MaxLineLength = 0 // what it is fed has been checked
	s.ErrorLog = quiet{a.log()}
	return s
}

// quiet is the log of go-smtp's own servers. What they have to say is how they end, and panics of the backend's.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	level := slog.LevelDebug
	if strings.HasPrefix(format, "panic") {
		level = slog.LevelError
	}
	q.log.Log(context.Background(), level, "gosmtp: EHLO", "text", fmt.Sprintf(format, args...))
}

func (q quiet) Println(args ...any) { q.Printf("%s", fmt.Sprint(args...)) }

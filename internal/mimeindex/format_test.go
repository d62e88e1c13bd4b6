package mimeindex

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNumbersKeepTheirMeaning: summaries that were kept have them. New ones go to the end, and other meanings need another
// summaryVersion.
func TestNumbersKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	names := strings.Fields(`from to subject date message-id cc reply-to content-type in-reply-to sender bcc references priority x-priority importance
		newsgroups mime-version content-transfer-encoding content-disposition content-description content-language list-id list-post
		list-unsubscribe list-unsubscribe-post list-subscribe list-help disposition-notification-to return-receipt-to return-path
		delivered-to x-original-to resent-message-id resent-from resent-to resent-date lines x-label keywords x-spam-status x-spam-flag
		mail-followup-to mail-reply-to x-draft-info x-mailer user-agent organization auto-submitted precedence chat-version
		autocrypt-draft-state x-k9mail-identity x-uniform-type-identifier x-universally-unique-identifier bimi-location bimi-indicator
		x-bimi-indicator-hash authentication-results dkim-signature`)
	require.Len(t, names, listedFields)
	for i, name := range names {
		require.Equal(t, i, listedField(name), name)
		require.Equal(t, i, listedField(strings.ToUpper(name)), name)
	}
	words := strings.Fields(`text plain charset utf-8 UTF-8 7bit 8bit quoted-printable base64 html multipart alternative mixed related boundary us-ascii
		iso-8859-1 image png jpeg application octet-stream pdf name filename attachment inline format flowed message rfc822 signed`)
	for i, word := range words {
		require.Equal(t, word, commonWord(i))
		require.Equal(t, i, commonNumber(word))
	}
	require.Empty(t, commonWord(len(words)))
	require.Equal(t, -1, commonNumber(""))
	require.Equal(t, -1, commonNumber("Text"))
}

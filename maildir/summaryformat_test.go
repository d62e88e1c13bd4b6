package maildir

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

func TestSummaryHeader(t *testing.T) {
	t.Parallel()
	h := summaryHeader{validity: 7, summary: 1, data: "ABC234"}
	require.Equal(t, "mailbricks-summaries 1 V7 S1 DABC234\n", string(h.line()))
	again, length, err := parseSummaryHeader(append(h.line(), "and more"...))
	require.NoError(t, err)
	require.Equal(t, h, again)
	require.Equal(t, len(h.line()), length)
	for _, bad := range []string{
		"", "mailbricks-summaries", "mailbricks-summaries 1 V7 S1 DA", "other 1 V7 S1 DA\n", "mailbricks-summaries 0 V7 S1 DA\n",
		"mailbricks-summaries 1 V7 S1\n", "mailbricks-summaries 1 V7 S1 D\n", "mailbricks-summaries 1 V7 S1 D../A\n",
		"mailbricks-summaries 1 V7 S1 Dlock\n", "mailbricks-summaries 1 V4294967296 S1 DA\n", "mailbricks-summaries 1 V7 S256 DA\n",
		"mailbricks-summaries 1 X7 S1 DA\n", "mailbricks-summaries x V7 S1 DA\n",
	} {
		_, _, err := parseSummaryHeader([]byte(bad))
		require.ErrorIs(t, err, errOtherLog, "%q", bad)
	}
	_, _, err = parseSummaryHeader([]byte("mailbricks-summaries 2 whatever\n"))
	require.ErrorIs(t, err, errNewer)
}

func TestSummaryRecords(t *testing.T) {
	t.Parallel()
	for _, r := range []summaryRecord{
		{1, nameSum("a"), int64(len(summariesData)), 1, recordSummary},
		{math.MaxUint32, nameSum("b"), maxSummaryOffset - 1, mailbox.MaxSummary, recordSummary},
		{9, nameSum("c"), -1, noDate, recordFacts},
	} {
		p := r.appendTo(nil)
		require.Len(t, p, summaryRecordSize)
		again, ok := parseSummaryRecord(p)
		require.True(t, ok)
		require.Equal(t, r, again)
		for bit := range len(p) * 8 {
			p[bit/8] ^= 1 << (bit % 8)
			_, ok := parseSummaryRecord(p)
			require.False(t, ok, "bit %d", bit)
			p[bit/8] ^= 1 << (bit % 8)
		}
		_, ok = parseSummaryRecord(p[:summaryRecordSize-1])
		require.False(t, ok)
	}
	for _, r := range []summaryRecord{
		{0, 1, 100, 1, recordSummary}, {1, 1, 0, 1, recordSummary}, {1, 1, maxSummaryOffset, 1, recordSummary},
		{1, 1, 100, 0, recordSummary}, {1, 1, 100, mailbox.MaxSummary + 1, recordSummary}, {1, 1, -2, 0, recordFacts}, {1, 1, 100, 1, 3},
	} {
		_, ok := parseSummaryRecord(r.appendTo(nil))
		require.False(t, ok, "%v", r)
	}
}

func TestSummaryData(t *testing.T) {
	t.Parallel()
	p := appendSummary([]byte("before"), 7, []byte("summary"))[len("before"):]
	data, ok := parseSummary(p, 7)
	require.True(t, ok)
	require.Equal(t, "summary", string(data))
	_, ok = parseSummary(p, 8)
	require.False(t, ok)
	for n := range p {
		_, ok := parseSummary(p[:n], 7)
		require.False(t, ok, "%d octets", n)
	}
	for bit := range len(p) * 8 {
		p[bit/8] ^= 1 << (bit % 8)
		_, ok := parseSummary(p, 7)
		require.False(t, ok, "bit %d", bit)
		p[bit/8] ^= 1 << (bit % 8)
	}
}

func FuzzSummaryLog(f *testing.F) {
	h := summaryHeader{validity: 7, summary: 1, data: "ABC234"}
	r := summaryRecord{3, nameSum("a"), int64(len(summariesData)), 19, recordSummary}
	facts := summaryRecord{4, nameSum("b"), 100, 1_700_000_000, recordFacts}
	f.Add(facts.appendTo(r.appendTo(h.line())))
	f.Add(h.line())
	f.Add(appendSummary([]byte(summariesData), 3, []byte("summary")))
	f.Add([]byte("mailbricks-summaries 2 V1 S1 DA\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if data, ok := parseSummary(data, 3); ok {
			require.Equal(t, appendSummary(nil, 3, data)[summaryHeadSize:], data)
		}
		h, length, err := parseSummaryHeader(data)
		if err != nil {
			length = 0
		} else {
			again, _, err := parseSummaryHeader(h.line())
			require.NoError(t, err)
			require.Equal(t, h, again)
			require.True(t, validDataName(h.data))
		}
		for data = data[length:]; len(data) >= summaryRecordSize; data = data[summaryRecordSize:] {
			if r, ok := parseSummaryRecord(data); ok {
				require.Equal(t, data[:summaryRecordSize], r.appendTo(nil))
				require.NotZero(t, r.uid)
			}
		}
	})
}

package maildir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
)

// What can be made again from the messages, but costs opening them, is in a log of two files in each folder. Nothing of it is
// ever synced, and nothing is believed that does not fit: what is missing, torn or damaged is made again.
//
// mailbricks-summaries says what there is. Its first line is
//
//	mailbricks-summaries 1 V<UIDVALIDITY> S<version of summaries> D<name>
//
// and all behind it are records of 36 octets, numbers with the low octet first:
//
//	UID 4, file 8, a 8, b 8, kind 4, checksum 4
//
// where file is a checksum of the file's name without flags, so that a UID that a restored backup gave to another message is
// noticed, and kind 1 says that the summary is b octets from octet a on of the other file, kind 2 that the message
// is a octets long with CRLF line ends (-1: nobody knows) and has the date b (Unix seconds; the least number: nobody knows).
// Of several for one UID the last counts.
//
// mailbricks-summaries.<name> has the summaries behind its first line "mailbricks-summaries-data 1", each with 12 octets in
// front: the checksum of what follows, the UID, and the length of the summary. It is written before the records that
// tell of it. When most of both is dead, two new files are written and the first one is put in place of the old. So they are
// when the version is another one, older or newer: nothing is lost with either.
//
// A message does not change as long as its file has its name. If somebody has put another one in its place all the same, that is
// noticed when it is opened and is not as long as the name says, and its summary is made again.
//
// All checksums are CRC-32C; that of a name is it with CRC-32 behind.
const (
	summariesFile    = "mailbricks-summaries"
	summariesLock    = summariesFile + ".lock"
	summariesVersion = 1
	summariesData    = "mailbricks-summaries-data 1\n"
)

const (
	summaryRecordSize = 36
	summaryHeadSize   = 12
	// maxSummaryHeader bounds the first line.
	maxSummaryHeader = 256
	// maxSummaryOffset is how long the file of summaries may become.
	maxSummaryOffset = 1 << 40
)

// Kinds of records.
const (
	recordSummary = 1
	recordFacts   = 2
)

// summaryRecord is a record of mailbricks-summaries.
type summaryRecord struct {
	uid  uint32
	file uint64
	a, b int64
	kind uint32
}

func checksum(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }

// nameSum is the checksum of a file's name without flags.
func nameSum(base string) uint64 {
	p := []byte(base)
	return uint64(crc32.ChecksumIEEE(p))<<32 | uint64(checksum(p))
}

func (r *summaryRecord) appendTo(b []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, r.uid)
	b = binary.LittleEndian.AppendUint64(b, r.file)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.a))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.b))
	b = binary.LittleEndian.AppendUint32(b, r.kind)
	return binary.LittleEndian.AppendUint32(b, checksum(b[at:]))
}

// parseSummaryRecord reads a record. It says no to one that is damaged or says what cannot be.
func parseSummaryRecord(p []byte) (r summaryRecord, ok bool) {
	if len(p) < summaryRecordSize || binary.LittleEndian.Uint32(p[32:]) != checksum(p[:32]) {
		return r, false
	}
	r.uid = binary.LittleEndian.Uint32(p)
	r.file = binary.LittleEndian.Uint64(p[4:])
	r.a = int64(binary.LittleEndian.Uint64(p[12:]))
	r.b = int64(binary.LittleEndian.Uint64(p[20:]))
	r.kind = binary.LittleEndian.Uint32(p[28:])
	if r.uid == 0 {
		return r, false
	}
	switch r.kind {
	case recordSummary:
		return r, r.a >= int64(len(summariesData)) && r.a < maxSummaryOffset && r.b > 0 && r.b <= mailbox.MaxSummary
	case recordFacts:
		return r, r.a >= -1
	}
	return r, false
}

// appendSummary writes a summary as the second file has it.
func appendSummary(b []byte, uid uint32, data []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uid)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = append(b, data...)
	binary.LittleEndian.PutUint32(b[at:], checksum(b[at+4:]))
	return b
}

// parseSummary reads one that should be of this UID. The summary is part of p.
func parseSummary(p []byte, uid uint32) (data []byte, ok bool) {
	if len(p) < summaryHeadSize || binary.LittleEndian.Uint32(p) != checksum(p[4:]) ||
		binary.LittleEndian.Uint32(p[4:]) != uid || int(binary.LittleEndian.Uint32(p[8:])) != len(p)-summaryHeadSize {
		return nil, false
	}
	return p[summaryHeadSize:], true
}

// summaryHeader is the first line of mailbricks-summaries.
type summaryHeader struct {
	validity uint32
	summary  byte
	data     string // how the name of the other file ends
}

// errOtherLog says that a log is of no use here and may be begun anew.
var errOtherLog = errors.New("maildir: not a log of summaries")

func (h *summaryHeader) line() []byte {
	return fmt.Appendf(nil, "%s %d V%d S%d D%s\n", summariesFile, summariesVersion, h.validity, h.summary, h.data)
}

// parseSummaryHeader reads the first line off data and says how long it is. It fails with errNewer or errOtherLog.
func parseSummaryHeader(data []byte) (h summaryHeader, length int, err error) {
	line, _, ok := bytes.Cut(data[:min(len(data), maxSummaryHeader)], []byte("\n"))
	fields := strings.Split(string(line), " ")
	if !ok || len(fields) < 2 || fields[0] != summariesFile {
		return h, 0, errOtherLog
	}
	if version, err := strconv.ParseUint(fields[1], 10, 32); err != nil || version == 0 {
		return h, 0, errOtherLog
	} else if version > summariesVersion {
		return h, 0, fmt.Errorf("%w: summaries of version %d", errNewer, version)
	}
	if len(fields) != 5 || !strings.HasPrefix(fields[2], "V") || !strings.HasPrefix(fields[3], "S") || !strings.HasPrefix(fields[4], "D") {
		return h, 0, errOtherLog
	}
	validity, ok1 := parseNumber([]byte(fields[2][1:]), math.MaxUint32)
	summary, ok2 := parseNumber([]byte(fields[3][1:]), math.MaxUint8)
	h = summaryHeader{uint32(validity), byte(summary), fields[4][1:]}
	if !ok1 || !ok2 || !validDataName(h.data) {
		return h, 0, errOtherLog
	}
	return h, len(line) + 1, nil
}

// validDataName keeps a damaged first line from naming another file.
func validDataName(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

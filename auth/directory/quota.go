package directory

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeUnits are the binary units of docker-mailserver's quotas.
const sizeUnits = "BkMGT"

// ParseSize reads a quota: "0" for no limit, or a whole number with one of the units B, k, M, G and T, of 1,024 each.
func ParseSize(s string) (int64, error) {
	if s == "0" {
		return 0, nil
	}
	bad := fmt.Errorf("%q is not a size: it must be 0 or a number with B, k, M, G or T, such as 5G", s)
	if len(s) < 2 {
		return 0, bad
	}
	unit := strings.IndexByte(sizeUnits, s[len(s)-1])
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 63)
	if unit < 0 || err != nil || s[0] == '+' {
		return 0, bad
	}
	shift := 10 * unit
	if n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is too large a size", s)
	}
	return int64(n) << shift, nil
}

// FormatSize writes a number of octets with the largest unit that leaves it whole, in a form that ParseSize reads.
func FormatSize(n int64) string {
	if n <= 0 {
		return "0"
	}
	unit := 0
	for unit < len(sizeUnits)-1 && n%1024 == 0 {
		n /= 1024
		unit++
	}
	return strconv.FormatInt(n, 10) + sizeUnits[unit:unit+1]
}

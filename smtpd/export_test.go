package smtpd

// PlainScan is the slow reading of a message that tests compare with.
var PlainScan = plainScan

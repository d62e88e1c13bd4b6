package dkim_test

import "encoding/base64"

func base64Of(p []byte) string { return base64.StdEncoding.EncodeToString(p) }

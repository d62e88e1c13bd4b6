package arc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

// exampleB is the message of RFC 8617 Appendix B. The keys are not published with it and have 512 bits, so it can be read
// and its body be checked, but it cannot pass.
const exampleB = `Return-Path: <jqd@d1.example>
Received: from example.org (example.org [208.69.40.157])
    by gmail.example with ESMTP id d200mr22663000ykb.93.1421363207
    for <fmartin@example.com>; Thu, 14 Jan 2015 15:02:40 -0800 (PST)
ARC-Seal: i=3; a=rsa-sha256; cv=pass; d=clochette.example.org; s=
        clochette; t=12345; b=CU87XzXlNlk5X/yW4l73UvPUcP9ivwYWxyBWcVrRs7
        +HPx3K05nJhny2fvymbReAmOA9GTH/y+k9kEc59hAKVg==
ARC-Message-Signature: i=3; a=rsa-sha256; c=relaxed/relaxed; d=
        clochette.example.org; h=message-id:date:from:to:subject; s=
        clochette; t=12345; bh=KWSe46TZKCcDbH4klJPo+tjk5LWJnVRlP5pvjXFZY
        LQ=; b=o71vwyLsK+Wm4cOSlirXoRwzEvi0vqIjd/2/GkYFYlSd/GGfKzkAgPqxf
        K7ccBMP7Zjb/mpeggswHjEMS8x5NQ==
ARC-Authentication-Results: i=3; clochette.example.org; spf=fail
    smtp.from=jqd@d1.example; dkim=fail (512-bit key)
    header.i=@d1.example; dmarc=fail; arc=pass (as.2.gmail.example=pass,
    ams.2.gmail.example=pass, as.1.lists.example.org=pass,
    ams.1.lists.example.org=fail (message has been altered))
Authentication-Results: clochette.example.org; spf=fail
    smtp.from=jqd@d1.example; dkim=fail (512-bit key)
    header.i=@d1.example; dmarc=fail; arc=pass (as.2.gmail.example=pass,
    ams.2.gmail.example=pass, as.1.lists.example.org=pass,
    ams.1.lists.example.org=fail (message has been altered))
ARC-Seal: i=2; a=rsa-sha256; cv=pass; d=gmail.example; s=20120806; t=
        12345; b=Zpukh/kJL4Q7Kv391FKwTepgS56dgHIcdhhJZjsalhqkFIQQAJ4T9BE
        8jjLXWpRNuh81yqnT1/jHn086RwezGw==
ARC-Message-Signature: i=2; a=rsa-sha256; c=relaxed/relaxed; d=
        gmail.example; h=message-id:date:from:to:subject; s=20120806; t=
        12345; bh=KWSe46TZKCcDbH4klJPo+tjk5LWJnVRlP5pvjXFZYLQ=; b=CVoG44
        cVZvoSs2mMig2wwqPaJ4OZS5XGMCegWqQs1wvRZJS894tJM0xO1RJLgCPsBOxdA5
        9WSqI9s9DfyKDfWg==
ARC-Authentication-Results: i=2; gmail.example; spf=fail
    smtp.from=jqd@d1.example; dkim=fail (512-bit key)
    header.i=@example.org; dmarc=fail; arc=pass
    (as.1.lists.example.org=pass, ams.1.lists.example.org=pass)
ARC-Seal: i=1; a=rsa-sha256; cv=none; d=lists.example.org; s=dk-lists;
         t=12345; b=TlCCKzgk3TrAa+G77gYYO8Fxk4q/Ml0biqduZJeOYh6+0zhwQ8u/
        lHxLi21pxu347isLSuNtvIagIvAQna9a5A==
ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=
        lists.example.org; h=message-id:date:from:to:subject; s=
        dk-lists; t=12345; bh=KWSe46TZKCcDbH4klJPo+tjk5LWJnVRlP5pvjXFZYL
        Q=; b=DsoD3n3hiwlrN1ma8IZQFgZx8EDO7Wah3hUjIEsYKuShRKYB4LwGUiKD5Y
        yHgcIwGHhSc/4+ewYqHMWDnuFxiQ==
ARC-Authentication-Results: i=1; lists.example.org; spf=pass
    smtp.mfrom=jqd@d1.example; dkim=pass (512-bit key)
    header.i=@d1.example; dmarc=pass
Message-ID: <54B84785.1060301@d1.example>
Date: Thu, 14 Jan 2015 15:00:01 -0800
From: John Q Doe <jqd@d1.example>
To: arc@dmarc.example
Subject: [List 2] Example 1

Hey gang,
This is a test message.
--J.
`

func TestExampleOfTheStandard(t *testing.T) {
	t.Parallel()
	z := new(zone)
	r := verify(t, z, exampleB)
	require.ErrorIs(t, r.Err, arc.ErrMessageSignature)
	require.ErrorIs(t, r.Err, dkim.ErrNoKey, "structure and body are right")
	require.Equal(t, 3, r.Instance)
	require.Equal(t, []string{"clochette._domainkey.clochette.example.org"}, z.asked)
	require.Len(t, r.Sets, 3)
	for i, want := range []struct {
		cv               arc.Status
		domain, selector string
		results          string
	}{
		{arc.None, "lists.example.org", "dk-lists",
			"spf=pass smtp.mfrom=jqd@d1.example; dkim=pass (512-bit key) header.i=@d1.example; dmarc=pass"},
		{arc.Pass, "gmail.example", "20120806", "spf=fail smtp.from=jqd@d1.example; dkim=fail (512-bit key) " +
			"header.i=@example.org; dmarc=fail; arc=pass (as.1.lists.example.org=pass, ams.1.lists.example.org=pass)"},
		{arc.Pass, "clochette.example.org", "clochette", "spf=fail smtp.from=jqd@d1.example; dkim=fail (512-bit key) " +
			"header.i=@d1.example; dmarc=fail; arc=pass (as.2.gmail.example=pass, ams.2.gmail.example=pass, " +
			"as.1.lists.example.org=pass, ams.1.lists.example.org=fail (message has been altered))"},
	} {
		s := r.Sets[i]
		require.Equal(t, i+1, s.Instance)
		require.Equal(t, want.cv, s.CV)
		require.Equal(t, want.domain, s.AuthServID)
		require.Equal(t, want.results, s.Results)
		for _, sig := range []arc.Signature{s.Seal, s.MessageSignature} {
			require.Equal(t, want.domain, sig.Domain)
			require.Equal(t, want.selector, sig.Selector)
			require.Equal(t, "rsa-sha256", sig.Algorithm)
			require.Equal(t, time.Unix(12345, 0).UTC(), sig.Time)
		}
		require.Equal(t, []string{"message-id", "date", "from", "to", "subject"}, s.MessageSignature.Signed)
	}
	changed := verify(t, z, strings.Replace(exampleB, "gang", "folks", 1))
	require.ErrorIs(t, changed.Err, dkim.ErrBody)
}

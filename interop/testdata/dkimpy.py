# Signs or verifies the message on standard input with dkimpy. The argument is a JSON object.
import base64
import json
import sys

import dkim

job = json.loads(sys.argv[1])
message = sys.stdin.buffer.read()


def txt(name, timeout=5):
    record = job["zone"].get(name.decode().rstrip("."))
    return record and record.encode()


if job["do"] == "verify":
    d = dkim.DKIM(message)
    for i in range(job["signatures"]):
        if not d.verify(idx=i, dnsfunc=txt):
            sys.exit("signature %d does not verify" % i)
else:
    header, body = job["canonicalization"].encode().split(b"/")
    sys.stdout.buffer.write(
        dkim.sign(
            message,
            job["selector"].encode(),
            job["domain"].encode(),
            job["key"].encode(),
            canonicalize=(header, body),
            signature_algorithm=job["algorithm"].encode(),
        )
    )

# Seals or verifies a message with dkimpy. Reads one JSON object, writes another.
import base64
import json
import sys

import dkim

job = json.load(sys.stdin)
message = base64.b64decode(job["message"])


def txt(name, timeout=5):
    record = job["zone"].get(name.decode().rstrip("."))
    return record and record.encode()


if job["do"] == "verify":
    cv, sets, reason = dkim.arc_verify(message, dnsfunc=txt)
    answer = {
        "cv": cv.decode() if cv else "",
        "reason": str(reason),
        "messages": [bool(s["ams-valid"]) for s in sets],
    }
else:
    fields = dkim.arc_sign(
        message,
        job["selector"].encode(),
        job["domain"].encode(),
        job["key"].encode(),
        job["authserv"].encode(),
    )
    answer = {"set": base64.b64encode(b"".join(fields)).decode()}
json.dump(answer, sys.stdout)

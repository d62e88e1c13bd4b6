"""Prints as JSON what an IMAP server says of every mailbox: UIDVALIDITY, UIDNEXT and each message's UID, flags, size and date."""
import imaplib
import json
import os
import re
import ssl

e = os.environ
context = ssl.create_default_context(cafile=e["CA"])
context.check_hostname = False
c = imaplib.IMAP4_SSL(e["H"], 993, ssl_context=context)
c.login(e["U"], "secret")
dump = {"mailboxes": {}, "lsub": []}
for line in c.lsub()[1]:
    dump["lsub"].append(re.match(rb'\(.*?\) "/" "?(.*?)"?$', line).group(1).decode())
for line in c.list()[1]:
    flags, name = re.match(rb'\((.*?)\) "/" "?(.*?)"?$', line).groups()
    if b"\\noselect" in flags.lower() or b"\\nonexistent" in flags.lower():
        continue
    kind, data = c.select('"' + name.decode() + '"', readonly=True)
    assert kind == "OK", data
    box = {
        "uidvalidity": c.response("UIDVALIDITY")[1][0].decode(),
        "uidnext": c.response("UIDNEXT")[1][0].decode(),
        "messages": [],
    }
    if int(data[0]):
        for item in c.uid("FETCH", "1:*", "(FLAGS RFC822.SIZE INTERNALDATE)")[1]:
            text = item.decode()
            box["messages"].append({
                "uid": int(re.search(r"UID (\d+)", text).group(1)),
                "flags": sorted(f for f in re.search(r"FLAGS \((.*?)\)", text).group(1).split() if f != "\\Recent"),
                "size": int(re.search(r"RFC822\.SIZE (\d+)", text).group(1)),
                "internaldate": re.search(r'INTERNALDATE "(.*?)"', text).group(1).strip(),
            })
    dump["mailboxes"][name.decode()] = box
c.logout()
print(json.dumps(dump))

# Signs the message on standard input with OpenDKIM's library and writes the field. opendkim-testmsg can only sign with
# rsa-sha1. Arguments: DOMAIN SELECTOR KEYFILE CANONICALIZATION
import ctypes
import sys

SIMPLE, RELAXED = 0, 1  # dkim_canon_t
RSASHA256 = 1  # dkim_alg_t
WHOLE = -1

lib = ctypes.CDLL("libopendkim.so.11")
lib.dkim_init.restype = ctypes.c_void_p
lib.dkim_init.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
lib.dkim_sign.restype = ctypes.c_void_p
lib.dkim_sign.argtypes = [
    ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p,
    ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ssize_t, ctypes.POINTER(ctypes.c_int),
]
lib.dkim_chunk.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
lib.dkim_eom.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
lib.dkim_getsighdr_d.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t),
]

domain, selector, keyfile, canonicalization = (arg.encode() for arg in sys.argv[1:])
header, body = (RELAXED if c == b"relaxed" else SIMPLE for c in canonicalization.split(b"/"))
with open(keyfile, "rb") as f:
    key = f.read()


def check(status):
    if status != 0:
        sys.exit("OpenDKIM: status %d" % status)


status = ctypes.c_int()
dkim = lib.dkim_sign(
    lib.dkim_init(None, None), b"test", None, key, selector, domain, header, body, RSASHA256, WHOLE, ctypes.byref(status)
)
check(status.value)
while piece := sys.stdin.buffer.read(1 << 16):
    check(lib.dkim_chunk(dkim, piece, len(piece)))
check(lib.dkim_chunk(dkim, None, 0))
check(lib.dkim_eom(dkim, None))
field, size = ctypes.c_void_p(), ctypes.c_size_t()
check(lib.dkim_getsighdr_d(dkim, len("DKIM-Signature: "), ctypes.byref(field), ctypes.byref(size)))
sys.stdout.buffer.write(b"DKIM-Signature: " + ctypes.string_at(field, size.value) + b"\r\n")

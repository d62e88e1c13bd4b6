"""Runs a program in a terminal of its own, answers its questions and ends when it does, at most after a minute."""
import os
import pty
import select
import signal
import sys
import time

pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(sys.argv[1], sys.argv[1:])

seen = b""
end = time.time() + 60
while time.time() < end:
    ready, _, _ = select.select([terminal], [], [], 0.2)
    if not ready:
        continue
    try:
        data = os.read(terminal, 65536)
    except OSError:  # the program has ended
        break
    if not data:
        break
    seen += data
    for question, answer in ((b"(yes", b"y"), (b"([y", b"y"), (b"Press any key", b"\n")):
        if question in data:
            os.write(terminal, answer)
else:
    os.kill(pid, signal.SIGKILL)

_, status = os.waitpid(pid, 0)
sys.stdout.write(seen.decode("utf-8", "replace"))
sys.exit(0 if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0 else 1)

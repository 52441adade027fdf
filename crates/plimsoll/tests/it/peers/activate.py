"""Does what a supervisor with socket activation does: listens, and becomes the program that is to serve.

    activate.py NAMES PROGRAM [ARGUMENT...]

Opens a socket for each name (`file` is no socket at all), prints their addresses in one line, and leaves them to the
program by `LISTEN_FDS`. The addresses can be called from that moment on.
"""
import os
import socket
import sys

names = sys.argv[1].split(":")
held = []
for name in names:
    if name == "file":
        held.append(open("/dev/null"))
        continue
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    held.append(listener)
print(" ".join("%s:%d" % s.getsockname() for s in held if isinstance(s, socket.socket)), flush=True)
# Out of the way first, so that none is overwritten before it is moved.
moved = [os.dup(one.fileno()) for one in held]
moved = [os.dup2(fd, 100 + number) for number, fd in enumerate(moved)]
for number, fd in enumerate(moved):
    os.dup2(fd, 3 + number, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names), LISTEN_PID=str(os.getpid()))
sys.stdin.readline()
os.execv(sys.argv[2], sys.argv[2:])

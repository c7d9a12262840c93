"""Run a command once no other that was started like this is at work in this folder: python book/alone.py COMMAND.

The lock is the command's and that of all it starts, and ends with them: a kill or a power cut leaves none behind.
"""

import fcntl
import os
import sys

lock = os.open("Makefile", os.O_RDONLY)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("another make is at work in this folder; this one waits until it has ended", file=sys.stderr, flush=True)
    fcntl.flock(lock, fcntl.LOCK_EX)
os.set_inheritable(lock, True)
os.execvp(sys.argv[1], sys.argv[1:])

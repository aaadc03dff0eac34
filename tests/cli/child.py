"""`child.py NAME HOW`: a small program that says what happens to it; HOW it stops when it is told to."""

import os
import signal
import subprocess
import sys
import time

MEMBER = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: print("member was told", flush=True))
sys.stdin.read()
"""

name, how = sys.argv[1:]
member = subprocess.Popen([sys.executable, "-c", MEMBER], stdin=subprocess.PIPE) if how == "parent" else None


def stop(*_: object) -> None:
    print(name, "was told", flush=True)
    if how == "slow":
        time.sleep(2)
    if how == "asks_redis":
        import redis  # noqa: PLC0415 - takes a while, which the others need not wait

        time.sleep(0.5)
        print(name, "reaches redis:", redis.Redis.from_url(os.environ["REDIS_URL"]).ping(), flush=True)
    if member is not None:
        member.stdin.close()
        print(name, "saw its member end with", member.wait(), flush=True)
    print(name, "is done", flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, signal.SIG_IGN if how == "stubborn" else stop)
if how == "leaver":
    orphan = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    print("orphan:", orphan.pid, flush=True)
print(name, "is up", flush=True)
while True:
    signal.pause()

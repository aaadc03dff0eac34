"""
`python -m tests.benchmarks.resumes`: what somebody can do who asks for other people's jobs, and for none at all.

Through the server, the gateway and a worker. Every answer has to be a refusal; Redis and the log must not grow by them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import NamedTuple

from tests.benchmarks import cpu
from tests.benchmarks.client import Socket, frame
from tests.benchmarks.conditions import Conditions, parser
from tests.benchmarks.lineup import chancelery
from tests.benchmarks.processes import Running, running
from tests.benchmarks.report import Table, show

MODULE = "tests.benchmarks.resumes"
SOCKETS, AT_ONCE = 20, 8
OTHERS_EVERY = 10
"""One in so many asks for a job that there is, of another socket; the rest for ones that there are not."""
PATIENCE_SECONDS = 30
HOST = "127.0.0.1"
REFUSED = '"error": "unknown_job"'


class State(NamedTuple):
    """Where everything stands."""

    seconds: float
    cpu: dict[str, float]
    keys: dict[str, int]
    redis_bytes: int
    log_lines: int


class Attack:
    """Asks, from several sockets, and counts what is answered."""

    def __init__(self, port: int, victim: str) -> None:
        self.refused = 0
        self.others: list[str] = []
        self._port, self._victim = port, victim
        self._left = self._asked = 0
        self._done = asyncio.Event()

    async def run(self, count: int) -> None:
        """Ask *count* times. Raises: TimeoutError when no answer comes any more."""
        self._left, before = count, self.refused
        sockets = [await opened(self._port, "/jobs/") for _ in range(SOCKETS)]
        for socket in sockets:
            socket.on_text = lambda text, socket=socket: self._answered(socket, text)
            for _ in range(AT_ONCE):
                self._ask(socket)
        known = -1
        while self.refused - before < count and known < self.refused:
            known = self.refused
            self._done.clear()
            try:
                await asyncio.wait_for(self._done.wait(), PATIENCE_SECONDS)
            except TimeoutError:
                continue
        for socket in sockets:
            await socket.close()
        if self.refused - before < count:
            raise TimeoutError(f"{self.refused - before} of {count} were answered with a refusal; {self.others[:3]}")

    def _ask(self, socket: Socket) -> None:
        if not self._left:
            return
        self._left -= 1
        self._asked += 1
        job = self._victim if self._asked % OTHERS_EVERY == 0 else os.urandom(16).hex()
        socket.write(frame(b'{"job": "%s", "do": "resume", "after": 0}' % job.encode()))

    def _answered(self, socket: Socket, text: bytes) -> None:
        if REFUSED.encode() in text:
            self.refused += 1
        else:
            self.others.append(text.decode())
        self._ask(socket)
        if not self._left:
            self._done.set()


async def opened(port: int, path: str) -> Socket:
    """Return a socket that was accepted."""
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: Socket(f"{HOST}:{port}", path, lambda _: None), HOST, port)
    await socket.opened
    return socket


async def escalated(port: int) -> tuple[Socket, str]:
    """Return a socket and the id of its job."""
    socket, heard = await opened(port, "/task/"), asyncio.Queue[bytes]()
    socket.on_text = heard.put_nowait
    socket.write(frame(b"1"))
    return socket, json.loads(await asyncio.wait_for(heard.get(), PATIENCE_SECONDS))["job"]


def state(site: Running) -> State:
    lines = sum("refused a resume" in line for line in site.log("worker").splitlines())
    return State(time.monotonic(), cpu.by_role(site.pids), site.store.keys(), site.store.used_bytes(), lines)


async def measured(site: Running, count: int) -> tuple[State, State]:
    """Return where everything stood before and after."""
    asking, job = await escalated(site.port)
    attack = Attack(site.port, job)
    await attack.run(min(count, 20_000))  # until everything is warm
    before = state(site)
    await attack.run(count)
    after = state(site)
    if attack.others:
        raise AssertionError(f"something else than a refusal came: {attack.others[:3]}")
    await asking.close()
    return before, after


def main() -> None:
    conditions = Conditions(MODULE)
    options_known = parser(MODULE, __doc__)
    options_known.add_argument("--count", type=int, default=1_000_000, help="how often it is asked (1000000)")
    options_known.add_argument("--server", choices=("daphne", "uvicorn"), default="daphne")
    options_known.set_defaults(rounds=1)  # a million takes half an hour
    options = options_known.parse_args()
    rounds = []
    for _ in range(options.rounds):
        with running(chancelery(1, 1), options.server, sys.executable) as site:
            rounds.append(asyncio.run(measured(site, options.count)))
    roles = [role for role in rounds[0][0].cpu if role != "celery"]
    table = Table(
        f"{options.count:,} resumes of jobs that are not the asker's, all of them refused",
        ["round", "per second", *(f"{role} µs" for role in roles), "keys more", "Redis KiB more", "log lines"],
    )
    for number, (before, after) in enumerate(rounds, 1):
        table.add(str(number), *_row(before, after, roles, options.count))
    show(conditions.lines(sockets=SOCKETS, at_once=AT_ONCE, server=options.server), [table], markdown=options.markdown)


def _row(before: State, after: State, roles: list[str], count: int) -> list[float]:
    spent = [1e6 * (after.cpu[role] - before.cpu[role]) / count for role in roles]
    return [
        count / (after.seconds - before.seconds),
        *spent,
        len(after.keys) - len(before.keys),
        (after.redis_bytes - before.redis_bytes) / 1024,
        after.log_lines - before.log_lines,
    ]


if __name__ == "__main__":
    main()

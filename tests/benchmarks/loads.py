"""
What is done to a system, and what is counted. Runs in a process of its own, beside the servers.

Reads one JSON object from standard input, `{"load", "port", "seconds", "roles": {role: [pid, …]}, …}`, and prints one:
`{measure: {"per_second", "p50_ms", "p99_ms", "cpu_us": {role: …}, "client_share", "notes", …}}`. Knows no system by
name: all of them serve the same paths, /echo/, /member/, /send/, /task/ and /chord/.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.benchmarks import cpu
from tests.benchmarks.client import RefusedError, Socket, frame, ignore, open_socket, open_sockets

ECHO_SOCKETS, TASK_SOCKETS, CHORD_SOCKETS = 50, 20, 5
MEMBERS, SENDERS = 400, 8
SENDS_PER_SECOND = 10
CONNECTING_AT_ONCE = 20
WARM_UP_SECONDS = 0.5
PATIENCE_SECONDS = 30
"""How long a system may take to answer its first frame."""
LOST_AFTER_SECONDS = 5
"""A delivery that has not come after this long counts as lost."""
QUIET_SECONDS = 0.5
"""After this long without a delivery, the next measure starts from an empty system."""

clock = time.perf_counter
Spec = dict[str, Any]
Result = dict[str, Any]


class Window:
    """The seconds that count: latencies of what ended in them, and the CPU that was spent meanwhile."""

    def __init__(self, roles: dict[str, list[int]]) -> None:
        self.latencies: list[float] = []
        self.notes: list[str] = []
        self._roles = roles

    async def measure(self, seconds: float) -> None:
        self.latencies.clear()
        before, own, start = cpu.by_role(self._roles), time.process_time(), clock()
        await asyncio.sleep(seconds)
        self.taken = self.latencies[:]
        self.seconds = clock() - start
        self.client_share = (time.process_time() - own) / self.seconds
        after = cpu.by_role(self._roles)
        self.cpu = {role: after[role] - before[role] for role in after}

    def result(self, **more: Any) -> Result:
        ordered, count = sorted(self.taken), len(self.taken)
        return {
            "per_second": count / self.seconds,
            "p50_ms": percentile_ms(ordered, 0.50),
            "p99_ms": percentile_ms(ordered, 0.99),
            "cpu_us": {role: 1e6 * spent / count for role, spent in self.cpu.items()} if count else {},
            "client_share": self.client_share,
            "notes": self.notes,
            **more,
        }


def percentile_ms(ordered: list[float], share: float) -> float | None:
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether *condition* came true in time."""
    end = clock() + seconds
    while not condition():
        if clock() > end:
            return False
        await asyncio.sleep(0.01)
    return True


# One frame in flight per socket: echo, latency, tasks, chords


class Caller:
    """Sends a frame, waits for its answer, sends the next. What it sends tells the answer, so order is checked."""

    def __init__(self, socket: Socket, calls: Iterator[tuple[bytes, bytes]], window: Window, *, events: bool) -> None:
        self.answers = self.wrong = 0
        self.going = True
        self._write, self._calls, self._latencies = socket.write, calls, window.latencies
        socket.on_text = self._event if events else self._answer
        self._next()

    def _next(self) -> None:
        call, self._expected = next(self._calls)
        self._sent_at = clock()
        self._write(call)

    def _answer(self, text: bytes) -> None:
        self._latencies.append(clock() - self._sent_at)
        self.answers += 1
        if text != self._expected:
            self.wrong += 1
        if self.going:
            self._next()
        else:
            self._expected = b""

    def _event(self, text: bytes) -> None:
        event = json.loads(text)
        if event["kind"] in ("result", "error", "cancelled"):
            self._answer(f"{event['kind']} {event['data']}".encode())

    @property
    def waiting(self) -> bool:
        return self._expected != b""


def echo_calls(number: int) -> Iterator[tuple[bytes, bytes]]:
    texts = [b"socket %03d says number %03d, and no more" % (number, turn) for turn in range(100)]
    pairs = [(frame(text), text) for text in texts]
    while True:
        yield from pairs


def task_calls(number: int) -> Iterator[tuple[bytes, bytes]]:
    while True:
        number += 1
        yield frame(b"%d" % number), b"result %d" % number


def chord_calls(number: int) -> Iterator[tuple[bytes, bytes]]:
    """Each of the ten parts answers the number plus its place, and the body their sum."""
    while True:
        number += 1
        yield frame(b"%d" % number), b"result %d" % (10 * number + 45)


async def call(spec: Spec) -> Result:
    """Measure *sockets* callers on *path*; the first answer of every socket is outside the window."""
    events = spec["path"] != "/echo/"
    calls = {"/echo/": echo_calls, "/task/": task_calls, "/chord/": chord_calls}[spec["path"]]
    window = Window(spec["roles"])
    await ready(spec["port"], spec["path"], calls(0), events=events)
    sockets = await open_sockets(spec["port"], spec["path"], spec["sockets"])
    callers = [Caller(socket, calls(100 * n), window, events=events) for n, socket in enumerate(sockets)]
    await until(lambda: all(caller.answers for caller in callers), PATIENCE_SECONDS)
    await asyncio.sleep(WARM_UP_SECONDS)
    await window.measure(spec["seconds"])
    for caller in callers:
        caller.going = False
    await until(lambda: not any(caller.waiting for caller in callers), LOST_AFTER_SECONDS)
    note(window, sum(caller.waiting for caller in callers), "sockets never got an answer")
    note(window, sum(caller.wrong for caller in callers), "answers were not what was asked for")
    await asyncio.gather(*(socket.close() for socket in sockets))
    return window.result()


def note(window: Window, count: int, what: str) -> None:
    if count:
        window.notes.append(f"{count} {what}")


async def ready(port: int, path: str, calls: Iterator[tuple[bytes, bytes]], *, events: bool = False) -> None:
    """Wait until *path* answers. Raises: RefusedError when it does not within PATIENCE_SECONDS."""
    end, why = clock() + PATIENCE_SECONDS, "no answer"
    while clock() < end:
        try:
            socket = await open_socket(port, path, patience_seconds=2)
        except (RefusedError, OSError, TimeoutError) as error:
            why = f"{type(error).__name__} {error}"
            await asyncio.sleep(0.2)
            continue
        first = Caller(socket, calls, Window({}), events=events)
        first.going = False
        answered = await until(lambda: first.answers > 0, 2)  # noqa: B023 (called at once)
        await socket.close()
        if answered:
            return
        why = "accepted, but no answer to a frame"
    raise RefusedError(f"{path} did not get ready within {PATIENCE_SECONDS} s: {why}")


# A group of 400


class Crowd:
    """Members that all hear every broadcast, and the account of who heard which."""

    def __init__(self, members: list[Socket]) -> None:
        self.size = len(members)
        self.strange = 0
        self.open: dict[bytes, Broadcast] = {}
        self.latencies: list[float] = []
        self.last_heard_at = clock()
        self._number = 0
        for place, member in enumerate(members):
            member.on_text = self._listener(place)

    def send(self, sender: Socket, then: Callable[[], None] | None = None) -> Broadcast:
        """Broadcast a new text through *sender*; call *then* when every member has it."""
        self._number += 1
        text = b"%010d from the crowd" % self._number
        broadcast = self.open[text] = Broadcast(self.size, then)
        sender.write(frame(text))
        return broadcast

    def give_up(self, seconds: float) -> list[Broadcast]:
        """Forget broadcasts older than *seconds*, and return them."""
        old = [text for text, broadcast in self.open.items() if clock() - broadcast.sent_at > seconds]
        return [self.open.pop(text) for text in old]

    def _listener(self, place: int) -> Callable[[bytes], None]:
        def heard(text: bytes) -> None:
            self.last_heard_at = now = clock()
            broadcast = self.open.get(text)
            if broadcast is None or broadcast.heard[place]:
                self.strange += 1
                return
            broadcast.heard[place] = 1
            broadcast.missing -= 1
            self.latencies.append(now - broadcast.sent_at)
            if not broadcast.missing:
                del self.open[text]
                if broadcast.then:
                    broadcast.then()

        return heard


class Broadcast:
    """One text on its way to everybody."""

    def __init__(self, size: int, then: Callable[[], None] | None) -> None:
        self.missing, self.then = size, then
        self.heard = bytearray(size)
        self.sent_at = clock()


async def group(spec: Spec) -> dict[str, Result]:
    """Measure what a group carries at most, from one sender and from several, and then at SENDS_PER_SECOND."""
    await ready(spec["port"], "/echo/", echo_calls(0))
    members = await open_sockets(spec["port"], "/member/", MEMBERS)
    senders = await open_sockets(spec["port"], "/send/", SENDERS)
    crowd = Crowd(members)
    await assembled(crowd, senders[0])
    alone = await keep_sending(crowd, senders[:1], Window(spec["roles"]), spec["seconds"])
    several = await keep_sending(crowd, senders, Window(spec["roles"]), spec["seconds"])
    paced = await send_at_pace(crowd, senders[0], Window(spec["roles"]), spec["seconds"])
    for socket in senders + members:
        socket.on_text = ignore
        socket.transport.abort()
    return {"group": alone, "group-senders": several, "group-pace": paced}


async def assembled(crowd: Crowd, sender: Socket) -> None:
    """Wait until every member hears. Raises: RefusedError when some never do."""
    for _ in range(10):
        broadcast = crowd.send(sender)
        if await until(lambda: not broadcast.missing, 3):  # noqa: B023 (called at once)
            return
        crowd.give_up(0)
    raise RefusedError(f"{broadcast.missing} of {crowd.size} members never heard a broadcast")


async def keep_sending(crowd: Crowd, senders: list[Socket], window: Window, seconds: float) -> Result:
    """Every sender broadcasts again as soon as its last one has reached everybody."""
    going = True

    def follow(sender: Socket) -> None:
        if going:
            crowd.send(sender, lambda: follow(sender))

    async def rescue() -> None:
        while True:
            await asyncio.sleep(0.25)
            for broadcast in crowd.give_up(LOST_AFTER_SECONDS):
                lost.append(broadcast.missing)
                if broadcast.then:
                    broadcast.then()

    crowd.latencies, crowd.strange = window.latencies, 0
    lost: list[int] = []
    rescuer = asyncio.create_task(rescue())
    for sender in senders:
        follow(sender)
    await asyncio.sleep(WARM_UP_SECONDS)
    await window.measure(seconds)
    going = False
    await until(lambda: not crowd.open, LOST_AFTER_SECONDS + 1)
    rescuer.cancel()
    await until(lambda: clock() - crowd.last_heard_at > QUIET_SECONDS, PATIENCE_SECONDS)
    note(window, sum(lost), f"deliveries lost in {len(lost)} broadcasts")
    note(window, crowd.strange, "frames came twice or too late")
    return window.result()


async def send_at_pace(crowd: Crowd, sender: Socket, window: Window, seconds: float) -> Result:
    """Broadcast SENDS_PER_SECOND, whether or not the last has arrived."""
    crowd.latencies, crowd.strange = window.latencies, 0
    sent: list[Broadcast] = []

    async def pace() -> None:
        start = clock()
        for turn in range(round(seconds * SENDS_PER_SECOND)):
            await asyncio.sleep(start + turn / SENDS_PER_SECOND - clock())
            sent.append(crowd.send(sender))

    pacing = asyncio.create_task(pace())
    await window.measure(seconds)
    await pacing
    await until(lambda: not crowd.open, LOST_AFTER_SECONDS)
    window.taken = window.latencies
    missing, asked = sum(broadcast.missing for broadcast in sent), len(sent) * crowd.size
    note(window, crowd.strange, "frames came twice or too late")
    return window.result(delivered_percent=100 * (asked - missing) / asked)


# Connecting


async def connects(spec: Spec) -> Result:
    """CONNECTING_AT_ONCE clients connect, are accepted, close, and connect again."""
    window, failures, going = Window(spec["roles"]), [], True
    await ready(spec["port"], "/echo/", echo_calls(0))

    async def client() -> None:
        while going:
            start = clock()
            try:
                socket = await open_socket(spec["port"], "/echo/", patience_seconds=5)
            except (RefusedError, OSError, TimeoutError) as error:
                failures.append(str(error))
                continue
            window.latencies.append(clock() - start)
            await socket.close()

    clients = [asyncio.create_task(client()) for _ in range(CONNECTING_AT_ONCE)]
    await asyncio.sleep(WARM_UP_SECONDS)
    await window.measure(spec["seconds"])
    going = False
    await asyncio.wait(clients, timeout=10)
    note(window, len(failures), f"connects failed, the last with: {failures[-1] if failures else ''}")
    return window.result()


async def run(spec: Spec) -> dict[str, Result]:
    """Run one load; several measures may come of it."""
    if spec["load"] == "group":
        return await group(spec)
    if spec["load"] == "connects":
        return {"connects": await connects(spec)}
    calls = {
        "echo": [("echo", "/echo/", ECHO_SOCKETS)],
        "latency": [("latency", "/echo/", 1)],
        "celery": [
            ("task", "/task/", TASK_SOCKETS),
            ("task-latency", "/task/", 1),
            ("chord", "/chord/", CHORD_SOCKETS),
        ],
    }
    return {
        measure: await call({**spec, "path": path, "sockets": sockets})
        for measure, path, sockets in calls[spec["load"]]
    }


def main() -> None:
    try:
        from uvloop import run as run_loop  # noqa: PLC0415 (the peers' environment has it; any loop will do)
    except ImportError:
        run_loop = asyncio.run
    gc.disable()
    json.dump(run_loop(run(json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()

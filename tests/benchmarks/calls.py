"""One frame in flight per socket: echo, latency, tasks, chords."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

from tests.benchmarks.client import RefusedError, Socket, frame, open_socket, open_sockets
from tests.benchmarks.window import (
    LOST_AFTER_SECONDS,
    PATIENCE_SECONDS,
    WARM_UP_SECONDS,
    Result,
    Spec,
    Window,
    clock,
    until,
)


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
    calls = {"/task/": task_calls, "/chord/": chord_calls}.get(spec["path"], echo_calls)
    events = calls is not echo_calls
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
    window.note(sum(caller.waiting for caller in callers), "sockets never got an answer")
    window.note(sum(caller.wrong for caller in callers), "answers were not what was asked for")
    await asyncio.gather(*(socket.close() for socket in sockets))
    return window.result()


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

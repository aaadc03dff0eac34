"""What other connections feel of one whose consumer is slow: sockets that send by the clock, with it and without it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from tests.benchmarks.calls import Caller, echo_calls, ready
from tests.benchmarks.client import Socket, frame, open_socket, open_sockets
from tests.benchmarks.window import LOST_AFTER_SECONDS, WARM_UP_SECONDS, Result, Spec, Window, clock, until

OTHERS = 50
PAUSE_SECONDS = 0.1
"""Between two frames of one socket."""


class Pacer:
    """Sends a frame every PAUSE_SECONDS, whether or not the last was answered. Answers have to come in order."""

    def __init__(self, socket: Socket, window: Window) -> None:
        self.wrong = 0
        self.waiting: deque[tuple[bytes, float]] = deque()
        self._write, self._latencies = socket.write, window.latencies
        socket.on_text = self._answer

    async def run(self, delay: float) -> None:
        await asyncio.sleep(delay)
        start, turn = clock(), 0
        while True:
            text = b"turn %d" % turn
            self.waiting.append((text, clock()))
            self._write(frame(text))
            turn += 1
            await asyncio.sleep(start + turn * PAUSE_SECONDS - clock())

    def _answer(self, text: bytes) -> None:
        if self.waiting and self.waiting[0][0] == text:
            self._latencies.append(clock() - self.waiting.popleft()[1])
        else:
            self.wrong += 1


async def neighbours(spec: Spec) -> dict[str, Result]:
    """Measure OTHERS sockets alone, then beside one that always has a frame with a consumer of a second."""
    await ready(spec["port"], "/echo/", echo_calls(0))
    sockets = await open_sockets(spec["port"], "/echo/", OTHERS)
    alone = await paced(sockets, spec)
    slow_socket = await open_socket(spec["port"], "/slow/")
    slow = Caller(slow_socket, echo_calls(0), Window({}), events=False)
    await until(lambda: slow.answers > 0, LOST_AFTER_SECONDS)
    beside = await paced(sockets, spec, slow_answers=lambda: slow.answers)
    slow.going = False
    await until(lambda: not slow.waiting, LOST_AFTER_SECONDS)
    await asyncio.gather(*(socket.close() for socket in [slow_socket, *sockets]))
    return {"neighbours": alone, "neighbours-slow": beside}


def never() -> int:
    return 0


async def paced(sockets: list[Socket], spec: Spec, slow_answers: Callable[[], int] = never) -> Result:
    window, slow_before = Window(spec["roles"]), slow_answers()
    pacers = [Pacer(socket, window) for socket in sockets]
    step = PAUSE_SECONDS / len(sockets)
    tasks = [asyncio.create_task(pacer.run(place * step)) for place, pacer in enumerate(pacers)]
    await asyncio.sleep(WARM_UP_SECONDS)
    await window.measure(spec["seconds"])
    for task in tasks:
        task.cancel()
    await until(lambda: not any(pacer.waiting for pacer in pacers), LOST_AFTER_SECONDS)
    window.note(sum(len(pacer.waiting) for pacer in pacers), "frames were never answered")
    window.note(sum(pacer.wrong for pacer in pacers), "answers were not what was asked for")
    return window.result(slow_answers=slow_answers() - slow_before)

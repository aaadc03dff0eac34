"""A group of 400: what it carries at most, and at a pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.benchmarks.calls import echo_calls, ready
from tests.benchmarks.client import RefusedError, Socket, frame, ignore, open_sockets
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

MEMBERS, SENDERS = 400, 8
SENDS_PER_SECOND = 10
QUIET_SECONDS = 0.5
"""After this long without a delivery, the next measure starts from an empty system."""


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
    window.note(sum(lost), f"deliveries lost in {len(lost)} broadcasts")
    window.note(crowd.strange, "frames came twice or too late")
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
    window.note(crowd.strange, "frames came twice or too late")
    return window.result(delivered_percent=100 * (asked - missing) / asked)

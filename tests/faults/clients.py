"""
The browsers: `python -m tests.faults.clients`, a process with many websockets that talk, and come back when closed.

Its specification is one line of JSON on standard input; then orders, one word a line:

    start           open the sockets, and talk
    calm            talk no more; once every socket is open and its last frame was answered, say {"calm": …}
    heard NAME      say {"heard": …} once every open socket has heard the message NAME
    abort COUNT     reset so many sockets without a word
    close           close them all; say {"closed": …}

Everything that is sent, heard, opened and closed is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.faults.orders import obey_orders, say
from tests.faults.recorder import Recorder

OPEN_SECONDS = 8
CLOSE_SECONDS = 3
LAST_SECONDS = 3
"""How long the last frame of all may take to be answered before another one is sent."""
KINDS = {"echo": 6, "step": 5, "sure": 4, "free": 3, "room": 2, "fail": 1, "side": 0.3}
BURST = 12


@dataclass(frozen=True)
class Spec:
    """What the driver asks for."""

    folder: str
    ports: list[int]
    rooms: list[str]
    sockets: int
    seed: str
    pause: float
    """Seconds between two things that a socket says, on average."""


class Browser:
    """One user: a socket at a time, opened anew whenever it is closed."""

    def __init__(self, number: int, spec: Spec, record: Recorder, news: asyncio.Condition) -> None:
        self.name = f"b{number}"
        self.socket: ClientConnection | None = None
        self.channel = ""
        """The socket's reply channel, once it was told."""
        self.heard: set[str] = set()
        self._nameless: list[str] = []
        self._named = asyncio.Event()
        self.settled = False
        """Whether everything that this socket said before was answered."""
        self._spec, self._record, self._news = spec, record, news
        self._random = random.Random(f"{spec.seed}/{number}")
        self.room = spec.rooms[number % len(spec.rooms)]
        self._number = 0
        self._last = ""
        self.calm = asyncio.Event()
        self.leaving = False

    async def live(self) -> None:
        """Be there until told to leave."""
        while not self.leaving:
            try:
                port = self._random.choice(self._spec.ports)
                await self._visit(port)
            except (OSError, TimeoutError, WebSocketException) as error:
                self._record("refused", browser=self.name, why=type(error).__name__)
            await asyncio.sleep(self._random.uniform(0.05, 0.3))

    async def _visit(self, port: int) -> None:
        url = f"ws://127.0.0.1:{port}/{self.room}/"
        options: dict[str, Any] = {"open_timeout": OPEN_SECONDS, "close_timeout": CLOSE_SECONDS, "ping_interval": None}
        async with connect(url, compression=None, **options) as socket:
            self.socket, self.channel, self.settled, self._number = socket, "", False, 0
            self.heard, self._nameless, self._named = set(), [], asyncio.Event()
            self._record("open", browser=self.name, port=port, room=self.room)
            talking = asyncio.create_task(self._talk(socket))
            try:
                async for text in socket:
                    await self._hear(json.loads(text))
            finally:
                talking.cancel()
                await asyncio.gather(talking, return_exceptions=True)
                self._record("closed", browser=self.name, channel=self.channel, code=socket.close_code)
                self.socket, self.settled = None, False

    async def _hear(self, told: dict[str, Any]) -> None:
        if "hello" in told:
            self.channel = told["hello"]
            self._named.set()
        self.heard.add(told["id"])
        self._nameless.append(told["id"])  # what was said to its room may come before its own name does
        if self.channel:
            for name in self._nameless:
                self._record("heard", channel=self.channel, m=name)
            self._nameless.clear()
        if self.calm.is_set() and told.get("n") == self._number and self._last == "last":
            self.settled = True
        async with self._news:
            self._news.notify_all()

    async def _talk(self, socket: ClientConnection) -> None:
        with contextlib.suppress(WebSocketException):
            await self._named.wait()
            while not self.calm.is_set():
                for _ in range(1 if self._random.random() < 0.85 else BURST):
                    await self._say(socket, self._random.choices(list(KINDS), list(KINDS.values()))[0])
                pause = self._random.expovariate(1 / self._spec.pause)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.calm.wait(), pause)
            while not self.settled:
                await self._say(socket, "last")
                await asyncio.sleep(LAST_SECONDS)

    async def _say(self, socket: ClientConnection, kind: str) -> None:
        self._number += 1
        self._last = kind
        slow = kind != "last" and self._random.random() < 0.12
        frame = {"n": self._number, "k": kind, "ms": self._random.randrange(10, 60) if slow else 0}
        self._record("say", browser=self.name, channel=self.channel, n=self._number, k=kind)
        await socket.send(json.dumps(frame))

    def abort(self) -> None:
        """Vanish."""
        if self.socket is not None:
            self._record("abort", browser=self.name, channel=self.channel)
            self.socket.transport.abort()


class Crowd:
    """All browsers, and what they are ordered to do."""

    def __init__(self, spec: Spec) -> None:
        self._record = Recorder(spec.folder, "clients")
        self._record.watch_stalls()
        self._news = asyncio.Condition()
        self._random = random.Random(spec.seed)
        self._browsers = [Browser(number, spec, self._record, self._news) for number in range(spec.sockets)]
        self._lives: list[asyncio.Task[None]] = []

    async def start(self, _: str) -> None:
        self._lives = [asyncio.create_task(browser.live()) for browser in self._browsers]

    async def calm(self, _: str) -> None:
        for browser in self._browsers:
            browser.calm.set()
        await self._until(lambda: all(browser.settled for browser in self._browsers))
        say("calm", {browser.channel: browser.room for browser in self._browsers})

    async def heard(self, name: str) -> None:
        await self._until(lambda: all(name in browser.heard for browser in self._browsers if browser.socket))
        say("heard", name)

    async def abort(self, count: str) -> None:
        for browser in self._random.sample(self._browsers, min(int(count), len(self._browsers))):
            browser.abort()

    async def close(self, _: str) -> None:
        for browser in self._browsers:
            browser.leaving = True
        await asyncio.gather(*(browser.socket.close() for browser in self._browsers if browser.socket))
        await asyncio.wait(self._lives, timeout=OPEN_SECONDS)
        say("closed", [browser.name for browser in self._browsers if browser.socket])

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with self._news:
            await self._news.wait_for(condition)


if __name__ == "__main__":
    asyncio.run(obey_orders(lambda words: Crowd(Spec(**words))))

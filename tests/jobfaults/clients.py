"""
The people: `python -m tests.jobfaults.clients`, a process with many websockets that escalate, vanish and come back.

Its specification is one line of JSON on standard input; then orders, one word a line:

    start           open the sockets and escalate; say {"made": …} when every one has asked for all of its jobs
    drop COUNT      lose so many connections, and stay away for a while
    calm            stay; say {"calm": …} once every job that anybody knows of has ended for whoever asked
    missing         say {"missing": …}: the jobs for which that is not so
    close           close the sockets; say {"closed": …}

What is asked, heard, opened and closed is recorded. What a client knows of its jobs is in `ledger`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.faults.orders import obey_orders, say
from tests.faults.recorder import Recorder
from tests.jobfaults.ledger import Ledger

OPEN_SECONDS = 8
CLOSE_SECONDS = 3
AWAY_SECONDS = 2.0
"""How long somebody stays away whose connection was dropped."""
ANSWER_SECONDS = 4.0
"""How long an answer may take before it is asked for again: the question is handled at most once."""
TICK_SECONDS = 0.1
DROPS, CANCELS = 0.05, 0.12
"""How often, for each thing that is asked for, a connection is dropped, and a job is cancelled."""


@dataclass(frozen=True)
class Spec:
    """What the driver asks for."""

    folder: str
    ports: list[int]
    clients: int
    jobs: int
    """How many each asks for."""
    shapes: list[str]
    seed: str
    pause: float
    """Seconds between two things that a client does, on average."""


class Client:
    """A user, or a guest who has nothing but claims: a socket at a time, opened anew whenever it is closed."""

    def __init__(self, number: int, spec: Spec, record: Recorder, news: asyncio.Condition) -> None:
        self.kind = "user" if number % 2 else "guest"
        self.name = f"{self.kind}{number}"
        self.ledger = Ledger()
        self.left = spec.jobs
        self.calm = asyncio.Event()
        self.leaving = False
        self.has_list = self.kind == "guest"
        """Whether, since it is calm, it has been told which jobs it has; a guest has none but those it knows."""
        self.socket: ClientConnection | None = None
        self._spec, self._record, self._news = spec, record, news
        self._random = random.Random(f"{spec.seed}/{number}")
        self._visits = 0
        self._dropped = False
        self._listed_at = 0.0

    @property
    def is_done(self) -> bool:
        """Whether every job that it knows of has ended for it, and there are no others."""
        return self.has_list and not self.ledger.unfinished()

    async def live(self) -> None:
        """Be there until told to leave."""
        while not self.leaving:
            try:
                await self._visit(self._random.choice(self._spec.ports))
            except (OSError, TimeoutError, WebSocketException) as error:
                self._record("refused", client=self.name, why=type(error).__name__)
            away = AWAY_SECONDS if self._dropped else self._random.uniform(0.05, 0.3)
            self._dropped = False
            await asyncio.sleep(away)

    async def _visit(self, port: int) -> None:
        url = f"ws://127.0.0.1:{port}/{self.kind}/{self.name}/"
        options: dict[str, Any] = {"open_timeout": OPEN_SECONDS, "close_timeout": CLOSE_SECONDS, "ping_interval": None}
        async with connect(url, compression=None, **options) as socket:
            self.socket, self._visits, self._listed_at = socket, self._visits + 1, 0.0
            self.ledger.forget_questions()
            self._record("open", client=self.name, visit=self._visits, port=port)
            talking = asyncio.create_task(self._talk(socket))
            try:
                async for text in socket:
                    await self._hear(json.loads(text))
            finally:
                talking.cancel()
                await asyncio.gather(talking, return_exceptions=True)
                self._record("closed", client=self.name, visit=self._visits, code=socket.close_code)
                self.socket = None

    async def _hear(self, told: dict[str, Any]) -> None:
        if "do" in told:
            self._record("answer", client=self.name, visit=self._visits, answer=told)
            self._note_answer(told)
        else:
            self._record("heard", client=self.name, visit=self._visits, told=told)
            self.ledger.hear(told)
        async with self._news:
            self._news.notify_all()

    def _note_answer(self, told: dict[str, Any]) -> None:
        if told["do"] == "list":
            self.ledger.add(job["job"] for job in told["jobs"])
            self.has_list = self.calm.is_set() or self.has_list
        elif told["do"] == "resume":
            self.ledger.answered(told["job"], is_fine=bool(told.get("done")))

    async def _talk(self, socket: ClientConnection) -> None:
        with contextlib.suppress(WebSocketException):
            while True:
                await self._ask(socket)
                if self.left and not self.calm.is_set():
                    await self._go_on(socket)
                    await asyncio.sleep(self._random.expovariate(1 / self._spec.pause))
                else:
                    await asyncio.sleep(TICK_SECONDS)

    async def _ask(self, socket: ClientConnection) -> None:
        """Ask for what is missing; on a new connection, that is everything that has not ended."""
        now = asyncio.get_running_loop().time()
        wants_list = self.kind == "user" and (not self._listed_at or (self.calm.is_set() and not self.has_list))
        if wants_list and now - self._listed_at > ANSWER_SECONDS:
            self._listed_at = now
            await self._say(socket, job=None, do="list")
        for job, known in self.ledger.questions(now, ANSWER_SECONDS):
            claim = {"claim": known.claim} if known.claim else {}
            await self._say(socket, job=job, do="resume", after=known.last, **claim)

    async def _go_on(self, socket: ClientConnection) -> None:
        unfinished = sorted(self.ledger.unfinished())
        if unfinished and self._random.random() < CANCELS:
            job = self._random.choice(unfinished)
            claim = self.ledger.jobs[job].claim
            await self._say(socket, job=job, do="cancel", **({"claim": claim} if claim else {}))
        if self._random.random() < DROPS:
            self.drop()
            return
        self.left -= 1
        await self._say(socket, make=self._random.choice(self._spec.shapes))

    async def _say(self, socket: ClientConnection, **frame: Any) -> None:
        self._record("say", client=self.name, visit=self._visits, frame=frame)
        await socket.send(json.dumps(frame))

    def drop(self) -> None:
        """Lose the connection, and stay away for a while."""
        if self.socket is not None:
            self._dropped = True
            self._record("drop", client=self.name, visit=self._visits)
            self.socket.transport.abort()


class Crowd:
    """All clients, and what they are ordered to do."""

    def __init__(self, spec: Spec) -> None:
        self._record = Recorder(spec.folder, "clients")
        self._news = asyncio.Condition()
        self._random = random.Random(spec.seed)
        self._clients = [Client(number, spec, self._record, self._news) for number in range(spec.clients)]
        self._lives: list[asyncio.Task[None]] = []

    async def start(self, _: str) -> None:
        self._lives = [asyncio.create_task(client.live()) for client in self._clients]
        while any(client.left for client in self._clients):
            for life in self._lives:
                if life.done():
                    life.result()
            await asyncio.sleep(TICK_SECONDS)
        say("made", True)

    async def drop(self, count: str) -> None:
        for client in self._random.sample(self._clients, min(int(count), len(self._clients))):
            client.drop()

    async def calm(self, _: str) -> None:
        for client in self._clients:
            client.calm.set()
        async with self._news:
            await self._news.wait_for(lambda: all(client.is_done for client in self._clients))
        say("calm", True)

    async def missing(self, _: str) -> None:
        say("missing", {client.name: sorted(client.ledger.unfinished()) for client in self._clients})

    async def close(self, _: str) -> None:
        for client in self._clients:
            client.leaving = True
        await asyncio.gather(*(client.socket.close() for client in self._clients if client.socket))
        await asyncio.wait(self._lives, timeout=OPEN_SECONDS)
        say("closed", [client.name for client in self._clients if client.socket])


if __name__ == "__main__":
    asyncio.run(obey_orders(lambda words: Crowd(Spec(**words))))

"""Histories made by hand: one gateway, one worker, one browser, and what each of them records when all goes well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.faults.history import Event

GATEWAY, WORKER, CLIENTS, DRIVER = 1, 2, 3, 4
SOCKET = "gw.1!a"
FRAMES: tuple[tuple[str, list[str]], ...] = (
    ("echo", []),
    ("step", ["plain.step"]),
    ("sure", ["sure.step"]),
    ("room", []),
    ("side", []),
)


class Story:
    """A list of events that grows by what happens; every one is a tenth of a second later than the one before."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now = 10.0
        self._calls = 0

    def add(self, event: str, pid: int = DRIVER, **fields: Any) -> Event:
        self.now = round(self.now + 0.1, 1)
        self.events.append({"t": self.now, "e": event, "pid": pid, **fields})
        return self.events[-1]

    def post(self, channel: str, name: str) -> None:
        """The gateway sends *name* in the socket's lane, and it is taken."""
        self._calls += 1
        self.add("post", GATEWAY, call=self._calls, sends=[[channel, name, SOCKET, False]])
        self.add("posted", GATEWAY, call=self._calls, refused=[])

    def hand(self, channel: str, name: str, *, begin: int = 1, attempt: int = 1, pid: int = WORKER) -> None:
        """A worker is given *name*."""
        self._calls += 1
        got = [[self._calls, channel, name, attempt]]
        self.add("told", pid, call=self._calls, lease="lease", held=True, refused=[], begin=begin, got=got)

    def handle(self, channel: str, name: str, *sends: list[Any], attempt: int = 1, pid: int = WORKER) -> None:
        """A worker runs the consumer of *name*."""
        lane = "" if name.startswith("plain.free") else SOCKET
        self.add("start", pid, m=name, channel=channel, lane=lane, attempt=attempt)
        self.add("end", pid, m=name, attempt=attempt)
        self.tell(name, *sends, pid=pid)

    def tell(self, name: str, *sends: list[Any], pid: int = WORKER) -> None:
        """A worker tells that it is done with *name*, and what its consumer sent."""
        self._calls += 1
        self.add("tell", pid, call=self._calls, lease="lease", finished=[[name, list(sends)]], begun=0)
        self.add("told", pid, call=self._calls, lease="lease", held=True, refused=[], begin=1, got=[])

    def answer(self, name: str) -> list[Any]:
        return [SOCKET, f"answer:{name}", "", False]

    def hear(self, name: str) -> None:
        self.add("heard", CLIENTS, channel=SOCKET, m=name)

    def serve(self, number: int, kind: str, onward: list[str]) -> None:
        """One frame, all the way and back."""
        name = f"receive:{SOCKET}:{number}"
        self.add("say", CLIENTS, channel=SOCKET, n=number, k=kind)
        self.post("websocket.receive", name)
        self.hand("websocket.receive", name)
        further = [[channel, f"{channel}:{name}", SOCKET, False] for channel in onward]
        to_room = [["red", f"room:{name}", "", True]] if kind == "room" else []
        self.handle("websocket.receive", name, *further, *to_room, self.answer(name))
        if to_room:
            self.hear(f"room:{name}")
        self.hear(f"answer:{name}")
        for channel in onward:
            follower = f"{channel}:{name}"
            self.hand(channel, follower)
            self.handle(channel, follower, self.answer(follower))
            self.hear(f"answer:{follower}")

    def end(self) -> None:
        """The rest, the roll call, the good-byes and the last look around."""
        self.add("faults_over")
        self.add("calm", members={SOCKET: "red"})
        self.hear("roll:first")
        self.hear("roll:second")
        self.add("groups", groups={"red": [SOCKET], "side.red": [SOCKET]})
        self.post("websocket.disconnect", f"disconnect:{SOCKET}")
        self.hand("websocket.disconnect", f"disconnect:{SOCKET}")
        self.handle("websocket.disconnect", f"disconnect:{SOCKET}")
        self.add("browsers_closed", left=[])
        self.add("counted", counters={"messages_count": 20}, dead_letters=[])
        self.add("statuses", statuses={"gateway1": 0, "worker1": 0})
        self.add("keys", left=[])


def told(before_the_end: Callable[[Story], object] = lambda _: None) -> list[Event]:
    """Return the history of a run in which all went well but for what *before_the_end* adds."""
    story = Story()
    story.add("store_up")
    story.add("started", name="gateway1", target=GATEWAY)
    story.add("started", name="worker1", target=WORKER)
    connect = f"connect:{SOCKET}:0"
    story.post("websocket.connect", connect)
    story.hand("websocket.connect", connect)
    story.handle("websocket.connect", connect, [SOCKET, "accept", "", False], story.answer(connect))
    story.hear(f"answer:{connect}")
    for number, (kind, onward) in enumerate(FRAMES, 1):
        story.serve(number, kind, onward)
    before_the_end(story)
    story.end()
    return story.events

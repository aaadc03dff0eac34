"""Rules about what browsers see of their sockets, and what others are told of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.faults.history import History, Sent, is_sure, place_of, socket_of
from tests.faults.messages import missing

SETTLE_SECONDS = 3.0
"""How long after Redis came back empty the gateways may take until it knows again what they know."""


def answers(history: History) -> Iterator[str]:
    """A socket hears nothing twice, and the answers to what it said in order."""
    for socket, heard in history.heard.items():
        names = [name for _, name in heard]
        furthest: dict[str, int] = defaultdict(lambda: -1)
        twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
        for name in sorted(twice):
            if not history.may_be_undone(name.partition(":")[2]):
                yield f"{socket} heard {name} {names.count(name)} times"
        for name in names:
            kind = name.rpartition(":receive:")[0]
            if not name.startswith("answer:") or not kind or name in twice or is_sure(kind.removeprefix("answer:")):
                continue
            if place_of(name) < furthest[kind]:
                yield f"{socket} heard {name} after the answer to number {furthest[kind]}"
            furthest[kind] = max(furthest[kind], place_of(name))


def all_heard(history: History) -> Iterator[str]:
    """Whoever is there in the end has heard everything that was sent to it, or to its room while it was there."""
    members: dict[str, str] = history.final["calm"]["members"] if "calm" in history.final else {}
    heard = {socket: {name for _, name in history.heard[socket]} for socket in members}
    joined = {socket: min((at for at, _ in history.heard[socket]), default=float("inf")) for socket in members}
    rooms = defaultdict(list)
    for socket, room in members.items():
        rooms[room].append(socket)
    for sent in history.sent.values():
        if sent.taken_at is None or sent.name == "accept" or history.may_be_lost(sent):
            continue
        if sent.address in members and sent.name not in heard[sent.address]:
            yield f"{sent.address} never heard {sent.name}, which was sent to it at {sent.taken_at:.3f}"
        if sent.to_group and not _is_unsettled(history, sent):
            for socket in rooms[sent.address]:
                if joined[socket] < sent.tried_at and sent.name not in heard[socket]:
                    yield f"{socket} never heard {sent.name}, which was sent to its room at {sent.taken_at:.3f}"


def groups(history: History) -> Iterator[str]:
    """In the end exactly the open sockets are members of their rooms, and hear what is sent there exactly once."""
    if "groups" not in history.final or "calm" not in history.final:
        return
    members: dict[str, str] = history.final["calm"]["members"]
    found: dict[str, list[str]] = history.final["groups"]["groups"]
    for room in sorted(set(members.values())):
        expected = {socket for socket, where in members.items() if where == room}
        yield from _difference(room, expected, expected, set(found[room]))
        side = f"side.{room}"
        certain, possible = _beside(history, expected)
        yield from _difference(side, certain, possible, set(found.get(side, [])))
    for socket in members:
        for turn in ("first", "second"):
            times = sum(name == f"roll:{turn}" for _, name in history.heard[socket])
            if times != 1:
                yield f"{socket} heard the {turn} call of the roll {times} times"


def farewells(history: History) -> Iterator[str]:
    """Of every socket that a consumer has heard of, one disconnect message comes."""
    lost = {sent.name for sent in missing(history)}
    for name, starts in history.starts.items():
        if not name.startswith("connect:"):
            continue
        socket = socket_of(name)
        farewell = f"disconnect:{socket}"
        if history.starts[farewell] or farewell in lost:  # `no_loss` and `balance` look after those
            continue
        sent = history.sent.get(farewell)
        if sent is not None and history.may_be_lost(sent):
            continue
        if not _may_be_forgotten(history, starts[0].at) and not _may_be_dropped(history, sent):
            said = "never sent" if sent is None else f"sent at {sent.tried_at:.3f}, taken at {sent.taken_at}"
            yield f"{socket}, connected at {starts[0].at:.3f}, was never disconnected: {said}"


def _may_be_forgotten(history: History, connected_at: float) -> bool:
    """Tell whether Redis may have lost a will that nobody could leave again, its process being dead by then."""
    return any(
        connected_at <= loss.back_at + SETTLE_SECONDS
        and any(loss.at - SETTLE_SECONDS <= at <= loss.back_at + SETTLE_SECONDS for at in _gateways_killed(history))
        for loss in history.losses
    )


def _gateways_killed(history: History) -> list[float]:
    return [at for pid, at in history.killed.items() if history.names.get(pid, "").startswith("gateway")]


def _may_be_dropped(history: History, sent: Sent | None) -> bool:
    """Tell whether it came from a will, and a worker may have died with it: `balance` has to account for it then."""
    counters = history.final["counted"]["counters"]
    return sent is None and counters.get("dropped:worker_died", 0) > 0


def _is_unsettled(history: History, sent: Sent) -> bool:
    return any(loss.at <= sent.tried_at <= loss.back_at + SETTLE_SECONDS for loss in history.losses)


def _difference(group: str, certain: set[str], possible: set[str], found: set[str]) -> Iterator[str]:
    for socket in sorted(certain - found):
        yield f"{socket} is open and was let into the group {group}, and is no member"
    for socket in sorted(found - possible):
        yield f"{socket} is a member of the group {group}, and nobody who is there"


def _beside(history: History, sockets: set[str]) -> tuple[set[str], set[str]]:
    """Return which of *sockets* heard that they joined the side group, and which said that they want to."""
    wish = {(event["channel"], event["n"]) for event in history.events if event["e"] == "say" and event["k"] == "side"}
    certain, possible = set(), set()
    for socket, number in wish & {(socket, number) for socket, number in wish if socket in sockets}:
        possible.add(socket)
        if any(name == f"answer:receive:{socket}:{number}" for _, name in history.heard[socket]):
            certain.add(socket)
    return certain, possible

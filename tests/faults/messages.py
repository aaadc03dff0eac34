"""Rules about messages on their way to consumers. Each takes a history and says what breaks it, a line a piece."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.faults.history import UNAWARE_SECONDS, History, Sent, Start, is_sure, process_of, socket_of

MOST_ATTEMPTS = 3
WAKING_SECONDS = 0.25
NOBODYS = ("accept", "roll:")
"""Names that are no single message's."""


def order(history: History) -> Iterator[str]:
    """
    What a connection sent is begun in order, whoever begins it: also what follows on one channel from its messages.

    Excused is a worker that did not run between being given a message and beginning with it: the message was given up
    meanwhile, and counted, and the next one's turn had come. So is what consumers go on to send in the lanes of a
    gateway that was taken for dead: their disconnect messages are there already. When Redis has come back with an older
    state, lanes begin anew where it knows of them.
    """
    lanes: dict[tuple[str, str], list[Start]] = defaultdict(list)
    for start in history.started_in_order():
        if start.lane:
            kind = "websocket" if start.channel.startswith("websocket.") else start.channel
            lanes[start.lane, kind].append(start)
    for starts in lanes.values():
        furthest = starts[0]
        for start in starts[1:]:
            goes_back = history.went_back_between(furthest, start)
            if goes_back or (start.place, start.attempt) > (furthest.place, furthest.attempt):
                furthest = start
            elif start.name != furthest.name and not _was_asleep(history, start) and not _is_posthumous(history, start):
                yield f"{_said(start)} came after {_said(furthest)}"


def at_most_once(history: History) -> Iterator[str]:
    """No message is begun twice, unless its channel promises at least once."""
    for name, starts in history.starts.items():
        if len(starts) == 1 or is_sure(starts[0].channel) or history.may_be_undone(name):
            continue
        if not (name.startswith("disconnect:") and history.is_undead(socket_of(name))):
            yield f"{name} was begun {len(starts)} times: {', '.join(map(_said, starts))}"


def attempts(history: History) -> Iterator[str]:
    """Every attempt at a message is told apart, there are no more than allowed, and none after it was finished."""
    for name, starts in history.starts.items():
        if not is_sure(starts[0].channel) or history.may_be_undone(name):
            continue
        if len({start.attempt for start in starts}) < len(starts) or starts[-1].attempt > MOST_ATTEMPTS:
            yield f"{name} was begun as {', '.join(map(_said, starts))}"
        finished_at = min((at for at, counted in history.told[name] if counted), default=float("inf"))
        for start in starts:
            if start.at > finished_at and not _was_asleep(history, start):
                yield f"{_said(start)} came after it was finished, at {finished_at:.3f}"


def at_least_once(history: History) -> Iterator[str]:
    """An acknowledged message of such a channel is handled to its end, or is a dead letter."""
    letters = {name for _, _, name, _ in history.final["counted"]["dead_letters"]}
    for sent in history.sent.values():
        if not is_sure(sent.address) or sent.taken_at is None or history.may_be_lost(sent):
            continue
        if not history.ends[sent.name] and sent.name not in letters and not history.may_be_undone(sent.name):
            starts = ", ".join(map(_said, history.starts[sent.name])) or "never begun"
            yield f"{sent.name}, taken at {sent.taken_at:.3f}: {starts}, never ended and no dead letter"


def no_loss(history: History) -> Iterator[str]:
    """An acknowledged message is begun, or there is a worker that may have been about to when it died."""
    for sent in missing(history):
        if not _may_have_died_with(history, sent):
            handed = [f"at {item.at:.3f} by {history.names.get(item.pid)}" for item in history.handed[sent.name]]
            yield f"{sent.name}, taken at {sent.taken_at:.3f}, was never begun; handed out {handed or 'never'}"


def balance(history: History) -> Iterator[str]:
    """
    What is missing is what was counted as dropped: acknowledged = begun + dropped.

    A message that was begun and whose worker died is counted too, unless its end had reached the layer just before.
    """
    if any(not loss.everything for loss in history.losses):
        return  # counts may be missing as well
    counted = sum(dropped(history).get(reason, 0) for reason in ("worker_died", "expired"))
    gone = len(missing(history)) + len(farewells_missing(history))
    current = [starts for starts in history.starts.values() if _is_current(history, starts)]
    surely = sum(_died_at_it(history, starts) for starts in current)
    perhaps = sum(not any(ok for _, ok in history.told[starts[0].name]) for starts in current)
    perhaps += sum(sent.taken_at is None and not history.starts[sent.name] for sent in history.sent.values())
    if counted < gone + surely:
        yield f"{gone} messages were not begun and {surely} not ended, but only {counted} are counted as dropped"
    if counted > gone + perhaps:
        yield f"{counted} messages are counted as dropped, but at most {gone + perhaps} can have been"


def reasons(history: History) -> Iterator[str]:
    """Every reason for which something was dropped is one that the faults of the run explain."""
    anybody_away = bool(history.killed) or any(history.absences.values()) or any(history.cut_off.values())
    explained = {"undeliverable"}  # answers to sockets that have been closed
    if anybody_away:
        explained |= {"worker_died", "process_died", "fenced"}
    for reason, number in dropped(history).items():
        if number and reason not in explained:
            yield f"{number} messages were dropped for the reason {reason!r}, which no fault of this run explains"


def missing(history: History) -> list[Sent]:
    """Return what was taken, is handled at most once, was never begun, and cannot have vanished with Redis' memory."""
    return [
        sent
        for sent in history.sent.values()
        if sent.taken_at is not None
        and not sent.to_group
        and "!" not in sent.address
        and not sent.name.startswith(NOBODYS)
        and not is_sure(sent.address)
        and not history.starts[sent.name]
        and not history.may_be_lost(sent)
        and not _is_farewell_of_nobody(history, sent.name)
        and not _came_too_late(history, sent)
    ]


def _came_too_late(history: History, sent: Sent) -> bool:
    """Tell whether a gateway sent it that was, about then, taken for dead: the layer drops what its sockets say."""
    if not sent.name.startswith("receive:") or sent.taken_at is None:
        return False
    return any(reaped_at - 1 <= sent.taken_at for reaped_at in history.reaped[process_of(socket_of(sent.name))])


def _is_farewell_of_nobody(history: History, name: str) -> bool:
    """Tell whether it takes leave of a socket that perhaps never arrived: then the layer need not store it."""
    if not name.startswith("disconnect:"):
        return False
    connect = f"connect:{socket_of(name)}:0"
    return not history.starts[connect] and (connect not in history.sent or history.sent[connect].taken_at is None)


def farewells_missing(history: History) -> list[str]:
    """Return the sockets of gateways taken for dead whose disconnect, sent in their name, nobody has begun with."""
    sockets = {name.split(":")[1]: starts[0] for name, starts in history.starts.items() if name.startswith("connect:")}
    return [
        socket
        for socket, start in sockets.items()
        if not history.starts[f"disconnect:{socket}"]
        and f"disconnect:{socket}" not in history.sent
        and start.at > history.last_loss_at
        and history.reaped[process_of(socket)]
    ]


def dropped(history: History) -> dict[str, int]:
    """Return what was counted as dropped, by reason."""
    counters = history.final["counted"]["counters"]
    return {name.removeprefix("dropped:"): n for name, n in counters.items() if name.startswith("dropped:")}


def _may_have_died_with(history: History, sent: Sent) -> bool:
    handed = history.handed[sent.name]
    if any(history.was_begun(item) and history.died_with(item) for item in handed):
        return True
    # The answer that handed it out may have been lost together with a worker: then `balance` has to account for it.
    since = sent.taken_at or 0.0
    for item in handed:
        free_at = history.was_given_back(item)
        if free_at is None and not history.died_with(item):
            return False
        since = max(since, history.killed.get(item.pid, item.at) if free_at is None else free_at)
    return any(killed_at > since or history.was_away(pid, since, float("inf")) for pid, killed_at in _workers(history))


def _workers(history: History) -> Iterator[tuple[int, float]]:
    for pid, name in history.names.items():
        if name.startswith("worker"):
            yield pid, history.killed.get(pid, float("-inf"))


def _is_current(history: History, starts: list[Start]) -> bool:
    return not is_sure(starts[0].channel) and starts[0].at > history.last_loss_at


def _died_at_it(history: History, starts: list[Start]) -> bool:
    first = starts[0]
    return not history.told[first.name] and history.killed.get(first.pid, float("-inf")) >= first.at


def _was_asleep(history: History, start: Start) -> bool:
    """Tell whether the worker did not run at some time between being given the message and beginning with it."""
    given = [item.at for item in history.handed[start.name] if item.pid == start.pid and item.at <= start.at]
    # Redis may have handed it out while the worker slept, waiting for just that: the answer lay there when it awoke.
    since = max(given, default=start.at) - WAKING_SECONDS
    return any(absence.touches(since, start.at) for absence in history.absences[start.pid])


def _is_posthumous(history: History, start: Start) -> bool:
    sent = history.sent.get(start.name)
    tried_at = sent.tried_at if sent else start.at
    if start.name.startswith("receive:"):  # what the connection itself sent is dropped once its will was carried out
        return history.is_undead(start.lane)
    reaped = history.reaped[process_of(start.lane)]
    return history.is_undead(start.lane) or any(at <= tried_at <= at + UNAWARE_SECONDS for at in reaped)


def _said(start: Start) -> str:
    return f"{start.name} (attempt {start.attempt}, at {start.at:.3f}, process {start.pid})"

"""
The offline check: takes the events of a run and returns what breaks the layer's promises.

Pure. The rules are in `messages` and `sockets`; those about how a run ended are here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.faults import messages, sockets
from tests.faults.history import Event, History
from tests.faults.reading import read

FOUND_NO_REDIS = {1, 3}
"""How daphne and workers, and uvicorn, end when Redis does not answer as they start."""
TERMINATED = -15
"""How uvicorn ends after a SIGTERM that it has obeyed."""


class Violation(NamedTuple):
    """A promise that was broken."""

    rule: str
    text: str


def rest(history: History) -> Iterator[str]:
    """Once nothing goes wrong any more, every socket is served again; no process ends by itself, or refuses to end."""
    for event in history.accidents:
        if event["e"] == "died" and _found_no_redis(history, event):
            continue
        about = event.get("why") or f"{event['name']} {event.get('status', '')}"
        yield f"{event['e']} at {event['t']:.3f}: {about}"
    for name, status in history.final["statuses"]["statuses"].items():
        if status not in {0, TERMINATED}:
            yield f"{name} ended with status {status}"
    for slot in sorted(set(history.names.values()) - set(history.final["statuses"]["statuses"])):
        yield f"{slot} did not end when it was told to"


def _found_no_redis(history: History, death: Event) -> bool:
    """Tell whether a process ended, as it should, because Redis did not answer when it started."""
    began_at = history.began.get(death["target"], 0.0)
    return death["status"] in FOUND_NO_REDIS and history.was_away(death["target"], began_at, death["t"])


def nothing_left(history: History) -> Iterator[str]:
    """
    When every socket is closed and every process has stopped, Redis holds nothing of them.

    Excused is how far a gateway had read that was killed when nobody was connected to it: nobody looks for its end, and
    that key ends by itself.
    """
    for browser in history.final.get("browsers_closed", {}).get("left", []):
        yield f"the socket of {browser} could not be closed"
    for key in history.final["keys"]["left"]:
        kind, _, name = key.partition(":")
        if kind != "position" or history.gateways.get(name) not in {None, *history.killed}:
            yield f"the key {key} was left behind"


RULES: dict[str, Callable[[History], Iterator[str]]] = {
    "order": messages.order,
    "at most once": messages.at_most_once,
    "attempts": messages.attempts,
    "at least once": messages.at_least_once,
    "no loss": messages.no_loss,
    "balance": messages.balance,
    "reasons": messages.reasons,
    "answers": sockets.answers,
    "all heard": sockets.all_heard,
    "groups": sockets.groups,
    "farewells": sockets.farewells,
    "rest": rest,
    "nothing left": nothing_left,
}


def check(events: list[Event]) -> list[Violation]:
    """Return everything in *events*, which are in order of their times, that breaks a rule."""
    history = read(events)
    return [Violation(name, text) for name, rule in RULES.items() for text in rule(history)]

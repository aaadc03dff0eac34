"""What the matrix is made of: canvases with one task in them that ends in some way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celery import chain, chord, group
from celery.canvas import Signature

from tests.tasks.project.consumers import ends, ends_as, replaced
from tests.tasks.project.tasks import add, number, total

Make = Callable[["Ending", str], Any]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """A way to end."""

    name: str
    how: str
    kind: str
    code: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Of the task."""
    act: str = ""
    """What is done to it from outside: `revoke` or `cancel`, while it runs (`waits`) or before."""
    message: str = "the task failed"

    def task(self, tell: str) -> Any:
        if not self.how:
            return Signature("nowhere.known")
        return ends.s(how=self.how, tell=tell).set(**self.options)


ENDINGS = [
    Ending(name="success", how="succeeds", kind="result"),
    Ending(name="failure", how="fails", kind="error", code="UnwellError"),
    Ending(name="task error", how="out of paper", kind="error", code="OutOfPaperError", message="tray 2 is empty"),
    Ending(name="retries spent", how="retries", kind="error", code="UnwellError"),
    Ending(name="soft limit", how="soft", kind="error", code="SoftTimeLimitExceeded", options={"soft_time_limit": 0.2}),
    Ending(name="hard limit", how="hard", kind="error", code="TimeLimitExceeded", options={"time_limit": 0.2}),
    Ending(name="child killed", how="killed", kind="error", code="WorkerLostError"),
    Ending(name="Ignore", how="ignores", kind="error", code="ignored"),
    Ending(name="Reject", how="rejects", kind="error", code="Reject"),
    Ending(name="Reject, requeued", how="requeued", kind="result"),
    Ending(name="unserialisable", how="unserialisable", kind="error", code="EncodeError"),
    Ending(
        name="expired",
        how="succeeds",
        kind="error",
        code="expired",
        options={"expires": 1e-6},
        message="the task expired before it was started",
    ),
    Ending(name="revoked before", how="succeeds", kind="cancelled", act="revoke", options={"countdown": 20}),
    Ending(name="revoked during", how="waits", kind="cancelled", act="revoke"),
    Ending(name="cancelled before", how="succeeds", kind="cancelled", act="cancel", options={"countdown": 20}),
    Ending(name="cancelled during", how="waits", kind="cancelled", act="cancel"),
    Ending(name="unregistered", how="", kind="error", code="NotRegistered"),
]


def _replaced(by: str) -> Make:
    return lambda end, tell: replaced.s(by=by, how=end.how, options=end.options, tell=tell)


SHAPES: dict[str, tuple[Make, Any, int]] = {
    # the canvas, its result, and the number of the task that ends as it is to (0: none of the job's own)
    "single": (lambda end, tell: end.task(tell), 1, 1),
    "chain, head": (lambda end, tell: chain(end.task(tell), add.s(1)), 2, 1),
    "chain, middle": (lambda end, tell: chain(number.s(1), end.task(tell), add.s(1)), 2, 2),
    "chain, end": (lambda end, tell: chain(number.s(1), add.s(1), end.task(tell)), 1, 3),
    "group": (lambda end, tell: group(number.s(3), end.task(tell), number.s(2)), [3, 1, 2], 2),
    "group in a chain": (lambda end, tell: chain(number.s(1), group(end.task(tell), add.s(1)), total.s()), 3, 2),
    "chord, header": (lambda end, tell: chord([number.s(1), end.task(tell)], total.s()), 2, 2),
    "chord, body": (lambda end, tell: chord([number.s(1), number.s(2)], end.task(tell)), 1, 3),
    "chord, chain as body": (lambda end, tell: chord([number.s(1), end.task(tell)], total.s() | add.s(1)), 3, 2),
    "chord, group as body": (lambda end, tell: chord([end.task(tell)], group(total.s(), total.s())), [1, 1], 1),
    "chord of chains": (lambda end, tell: chord([number.s(1) | end.task(tell), number.s(4)], total.s()), 5, 2),
    "chord in a chain": (
        lambda end, tell: chain(number.s(1), chord([add.s(1), end.task(tell)], total.s()), add.s(1)),
        4,
        3,
    ),
    "chord in a chord": (lambda end, tell: chord([chord([end.task(tell), number.s(1)], total.s())], total.s()), 2, 1),
    "two chords in a row": (
        lambda end, tell: chain(group(number.s(1), number.s(1)), total.s(), group(end.task(tell), add.s(1)), total.s()),
        4,
        4,
    ),
    "map": (lambda end, tell: ends_as.map([end.how]).set(**end.options), [1], 1),
    "starmap": (lambda end, tell: ends_as.starmap([(end.how, tell)]).set(**end.options), [1], 1),
    "chunks": (lambda end, tell: _with_options(ends_as.chunks([(end.how, tell)], 1).group(), end), [[1]], 1),
    "replaced by a task": (_replaced("task"), 1, 1),
    "replaced by a chain": (_replaced("chain"), 2, 0),
    "replaced by a chain's head": (lambda end, tell: chain(number.s(1), _replaced("head")(end, tell), add.s(1)), 3, 0),
    "replaced by a group": (_replaced("group"), [1, 1], 0),
    "replaced by a chord, in a group": (lambda end, tell: group(number.s(1), _replaced("chord")(end, tell)), [1, 2], 0),
}

ITERATING = {"map", "starmap", "chunks"}
"""Their tasks are called by another one, so that they cannot be revoked, rejected or tried again by themselves."""

COSTLY = {"soft", "hard", "killed", "waits"}
"""Most of these cost the worker a process, which takes a while to replace: not everywhere."""
EXPOSED = {
    "single", "chain, middle", "group", "chord, header", "chord, body", "chord in a chord", "starmap",
    "replaced by a chain", "replaced by a group",
}  # fmt: skip


def applies(shape: str, end: Ending) -> bool:
    """Whether there is such a cell."""
    if end.how in COSTLY and shape not in EXPOSED:
        return False
    if shape in ITERATING:
        return end.how not in {"", "waits", "requeued", "soft"}
    return end.name != "revoked before" or SHAPES[shape][2] > 0


def _with_options(canvas: Any, end: Ending) -> Any:
    for task in canvas.tasks:
        task.set(**end.options)
    return canvas

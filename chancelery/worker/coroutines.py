"""
Where async consumers run: one event loop, in a thread of its own, per worker process.

Threads fetch their messages and hand them over; a teller tells the layer when they are done. Both are started with the
first one.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from chancelery.layers.base import ChannelLayer
from chancelery.log import room
from chancelery.worker import databases
from chancelery.worker.calling import STOPPED
from chancelery.worker.dispatch import Outcome, Pending
from chancelery.worker.drain import Drain
from chancelery.worker.teller import Handed, Teller
from chancelery.worker.watch import Watch

_log = room("worker")
_MOST_WAITING = 64
"""How many may wait for their first step: while the loop is that late, other workers had better have them."""
_SLICE_SECONDS = 0.05
_THREADS = 32


class Coroutines:
    """Runs up to *most* async consumers at a time."""

    def __init__(self, layer: ChannelLayer, drain: Drain, most: int) -> None:
        self._drain = drain
        self._most = most
        self._teller = Teller(layer, drain, self._told)
        self._changed = threading.Condition()
        self._in_flight = 0
        self._waiting = 0
        self._incoming: deque[tuple[Pending, Handed]] = deque()
        self._expected = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._watch: Watch | None = None
        self._stopping = False

    @property
    def has_room(self) -> bool:
        """Whether more may be handed over."""
        return self._in_flight < self._most and self._waiting < _MOST_WAITING

    def await_room(self, seconds: float) -> bool:
        """Wait until more may be handed over, or the worker is told to stop; return whether that came in time."""
        if self.has_room or self._drain.begun:
            return True
        with self._changed:
            self._changed.wait_for(lambda: self.has_room, seconds)
        return self.has_room

    def start(self, pending: Pending, handed: Handed) -> None:
        """Run the consumer of a message, and then tell the layer. May be called by any thread."""
        with self._changed:
            self._in_flight += 1
            self._waiting += 1
            loop = self._loop or self._open()
        self._incoming.append((pending, handed))
        if not self._expected:  # the loop is woken once for all that come before it looks
            self._expected = True
            loop.call_soon_threadsafe(self._begin)

    def look(self) -> None:
        """Log what holds up the event loop, if something does. Called every 50 ms, by one thread."""
        watch = self._watch
        if watch is not None:
            watch.look()

    def close(self, grace_seconds: float) -> bool:
        """
        End the event loop; cancel what runs on it still, and give that *grace_seconds* to clean up.

        Returns whether all consumers came to their end by themselves, and the layer was told.
        """
        self._watch = None
        if self._loop is None or self._thread is None:
            return True
        while self._tasks and not self._drain.over:
            self._drain.pause(_SLICE_SECONDS)
        cancelled = self._cancel(self._loop, time.monotonic() + grace_seconds)
        self._teller.close()
        while self._teller.thread.is_alive() and not self._drain.over_for(grace_seconds):
            self._teller.thread.join(_SLICE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(grace_seconds)
        return not cancelled and self._teller.drained and not self._teller.thread.is_alive()

    def _open(self) -> asyncio.AbstractEventLoop:
        databases.note_opened()
        loop = self._loop = asyncio.new_event_loop()
        self._watch = Watch(loop)
        self._thread = threading.Thread(target=self._run, args=(loop,), name="worker event loop", daemon=True)
        self._thread.start()
        self._teller.thread.start()
        return loop

    def _cancel(self, loop: asyncio.AbstractEventLoop, deadline: float) -> bool:
        names = Counter(task.get_name() for task in list(self._tasks))
        if not names:
            return False
        self._stopping = True
        _log.error(
            "cancelled %d async consumers (%s): what they were doing will be dropped when its lease runs out",
            names.total(),
            ", ".join(f"{count} of {name}" for name, count in sorted(names.items())),
        )
        loop.call_soon_threadsafe(self._cancel_tasks)
        while self._tasks and time.monotonic() < deadline:
            time.sleep(_SLICE_SECONDS / 5)
        return True

    # In the loop's thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        executor = ThreadPoolExecutor(_THREADS, "worker pool")
        loop.set_default_executor(executor)
        asyncio.set_event_loop(loop)
        while not _runs_to_its_end(loop):
            _log.error("the event loop goes on after that")
        _end(loop)
        executor.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        self._expected = False
        loop = asyncio.get_running_loop()
        while self._incoming:
            pending, handed = self._incoming.popleft()
            context = contextvars.Context()
            self._tasks.add(loop.create_task(self._attend(pending, handed), name=pending.sender, context=context))

    async def _attend(self, pending: Pending, handed: Handed) -> None:
        with self._changed:
            self._waiting -= 1
            self._changed.notify_all()
        try:
            outcome = await pending.run()
        except asyncio.CancelledError:
            if self._stopping:
                return  # it stays in its lease
            outcome = Outcome([], [], handed.delivery.trail, pending.sender)
        finally:
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        self._teller.tell(handed, outcome)

    def _cancel_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel(STOPPED)

    # In the teller's thread

    def _told(self, number: int) -> None:
        with self._changed:
            self._in_flight -= number
            self._changed.notify_all()


def _runs_to_its_end(loop: asyncio.AbstractEventLoop) -> bool:
    """Run *loop* until it is stopped; False when a task's SystemExit, or the like, has fallen through it."""
    try:
        loop.run_forever()
    except BaseException:  # noqa: BLE001 - supervision: it is logged, and the work goes on
        _log.exception("a task on the event loop has raised what would end a process")
        return False
    return True


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what consumers have left behind, and close *loop*."""
    left_behind = asyncio.all_tasks(loop)
    for task in left_behind:
        task.cancel(STOPPED)
    if left_behind:
        loop.run_until_complete(asyncio.wait(left_behind, timeout=_SLICE_SECONDS))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()

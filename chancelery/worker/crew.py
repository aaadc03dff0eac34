"""The threads of one worker process: starts them, waits until it is told to stop, and has them drain."""

from __future__ import annotations

import contextlib
import fnmatch
import queue
import threading
from collections.abc import Iterable

from django.core.exceptions import ImproperlyConfigured

from chancelery import conf
from chancelery.log import room
from chancelery.registry import ChannelLayerWrapper
from chancelery.signals import worker_process_ready, worker_ready
from chancelery.worker.coroutines import Coroutines
from chancelery.worker.drain import Drain
from chancelery.worker.heartbeat import Heartbeat
from chancelery.worker.loop import Loop

_log = room("worker")
_SLICE_SECONDS = 0.2
_GRACE_SECONDS = 0.5
"""What a thread whose time is over gets to say what is lost."""


class Worker:
    """
    Handles the messages of a channel layer, in *threads* threads, and up to *coroutines* at a time on an event loop.

    only_channels, exclude_channels: globs. Raises: ImproperlyConfigured when the routing cannot be used, or they leave
    no channel of it.
    """

    def __init__(
        self,
        channel_layer: ChannelLayerWrapper,
        *,
        threads: int = 1,
        coroutines: int = 1000,
        only_channels: Iterable[str] | None = None,
        exclude_channels: Iterable[str] | None = None,
    ) -> None:
        channel_layer.router.check_default()
        self.channel_layer = channel_layer
        self.channels = _chosen(channel_layer.router.channels, only_channels, exclude_channels)
        self._drain = Drain(conf.current().drain_seconds)
        self._coroutines = Coroutines(channel_layer.layer, self._drain, coroutines)
        self._loops = [
            Loop(
                f"worker thread {number}",
                channel_layer,
                self.channels,
                self._drain,
                coroutines=self._coroutines,
                on_ready=self._announce,
            )
            for number in range(1, threads + 1)
        ]
        self._heartbeat = Heartbeat(channel_layer.layer, self._loops, self._coroutines, self._drain)
        # Its put() may be called by a signal handler at any point of get(), which Event.set() may not.
        self._orders: queue.SimpleQueue[None] = queue.SimpleQueue()

    def run(self) -> bool:
        """
        Handle messages until `stop` is called, then drain.

        Returns whether everything that was begun was ended, and told to the layer, within `drain_seconds`.
        """
        worker_process_ready.send(sender=type(self))
        threads = [loop.thread for loop in self._loops] + [self._heartbeat.thread]
        for thread in threads:
            thread.start()
        self._await_order()
        self._drain.begin()
        self._join(threads)
        for loop in self._loops:
            if loop.thread.is_alive():
                _log.error("%s is still busy: what it is doing will be dropped when its lease runs out", loop.name)
        all_ended = self._coroutines.close(_GRACE_SECONDS)
        return all_ended and all(loop.drained for loop in self._loops)

    def stop(self) -> None:
        """Have `run` drain and return. May be called from a signal handler, and more than once."""
        self._orders.put(None)

    def _await_order(self) -> None:
        # In slices: Python may notice a signal only when its main thread next does something.
        while True:
            with contextlib.suppress(queue.Empty):
                return self._orders.get(timeout=_SLICE_SECONDS)

    def _join(self, threads: Iterable[threading.Thread]) -> None:
        for thread in threads:
            while thread.is_alive() and not self._drain.over_for(_GRACE_SECONDS):
                thread.join(_SLICE_SECONDS)

    def _announce(self) -> None:
        worker_ready.send_robust(sender=type(self), worker=self)


def _chosen(channels: Iterable[str], only: Iterable[str] | None, exclude: Iterable[str] | None) -> list[str]:
    patterns, unwanted = list(only or ["*"]), list(exclude or [])
    chosen = [name for name in sorted(channels) if _matches(name, patterns) and not _matches(name, unwanted)]
    if not chosen:
        raise ImproperlyConfigured(
            f"no channel is left to work on: of {', '.join(sorted(channels))}, only {', '.join(patterns)} was asked "
            f"for, without {', '.join(unwanted) or 'exception'}"
        )
    return chosen


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

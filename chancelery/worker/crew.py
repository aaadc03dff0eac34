"""The threads of one worker process: starts them, waits until it is told to stop, and has them drain."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import queue
import threading
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chancelery import conf
from chancelery.log import room
from chancelery.registry import ChannelLayerWrapper
from chancelery.signals import worker_process_ready, worker_ready
from chancelery.worker import databases
from chancelery.worker.coroutines import Coroutines
from chancelery.worker.dispatch import Callback, Dispatch
from chancelery.worker.drain import Drain
from chancelery.worker.heartbeat import Heartbeat
from chancelery.worker.loop import Loop
from chancelery.worker.mover import Mover
from chancelery.worker.orders import obeyed
from chancelery.worker.postponing import DEFAULT_RETRIES

_log = room("worker")
_SLICE_SECONDS = 0.2
_GRACE_SECONDS = 0.5
"""What a thread whose time is over gets to say what is lost."""


class Worker:
    """
    Handles the messages of a channel layer, in *threads* threads, and up to *coroutines* at a time on an event loop.

    callback: called with each message's channel and the message, before its consumer; what it raises is logged.
    message_retries: how often a message is handled again whose consumer raises ConsumeLater.
    signal_handlers: whether SIGTERM and SIGINT have `run` drain and return, when it is in the process's main thread.
    only_channels, exclude_channels: globs.
    care: what is put around consumers for the sake of database connections.

    Raises: ImproperlyConfigured when the routing cannot be used, or they leave no channel of it; ValueError for numbers
    that make no sense.
    """

    def __init__(  # noqa: PLR0917 - Channels 1's signature
        self,
        channel_layer: ChannelLayerWrapper,
        callback: Callback | None = None,
        message_retries: int = DEFAULT_RETRIES,
        signal_handlers: bool = True,  # noqa: FBT001, FBT002 - Channels 1's signature
        only_channels: Iterable[str] | None = None,
        exclude_channels: Iterable[str] | None = None,
        *,
        threads: int = 1,
        coroutines: int = 1000,
        care: databases.Care = databases,
    ) -> None:
        channel_layer.router.check_default()
        self.channel_layer = channel_layer
        self.channels = _chosen(channel_layer.router.channels, only_channels, exclude_channels)
        self._obeys_signals = signal_handlers
        self._drain = Drain(conf.current().drain_seconds)
        layer = channel_layer.layer
        self._coroutines = Coroutines(layer, self._drain, coroutines)
        dispatch = Dispatch(channel_layer, callback=callback, message_retries=message_retries, care=care)
        self._loops = [
            Loop(
                f"worker thread {number}",
                layer,
                self.channels,
                self._drain,
                dispatch=dispatch,
                coroutines=self._coroutines,
                on_ready=self._announce,
            )
            for number in range(1, _require_some("threads", threads) + 1)
        ]
        self._mover = Mover(layer, self._drain)
        self._heartbeat = Heartbeat(layer, self._loops, self._coroutines, self._drain)
        # Its put() may be called by a signal handler at any point of get(), which Event.set() may not.
        self._orders: queue.SimpleQueue[None] = queue.SimpleQueue()

    def run(self) -> bool:
        """
        Handle messages until `stop` is called, then drain.

        Returns whether everything that was begun was ended, and told to the layer, within `drain_seconds`.
        """
        with obeyed(self.stop) if self._obeys_signals else contextlib.nullcontext():
            return self._run()

    def _run(self) -> bool:
        worker_process_ready.send(sender=type(self))
        threads = [loop.thread for loop in self._loops] + [self._heartbeat.thread, self._mover.thread]
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


class WorkerGroup(Worker):
    """A worker of *n_threads* threads, by default as many as there are processors: Channels 1's name for it."""

    def __init__(self, *args: Any, n_threads: int | None = None, **options: Any) -> None:
        """Takes what `Worker` takes, with *n_threads* for its threads."""
        super().__init__(*args, threads=(os.cpu_count() or 1) if n_threads is None else n_threads, **options)


def _require_some(name: str, number: int) -> int:
    if type(number) is not int or number < 1:
        raise ValueError(f"{name} is a whole number from 1, not {number!r}")
    return number


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

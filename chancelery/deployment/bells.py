"""
Waiting on several servers at once, in one thread, without asking any of them twice.

Each is sent a command that waits there. When the first answers, the others are told to stop waiting, so that none of
them takes a token from its list for somebody who is busy.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Mapping, Sequence

from chancelery.deployment import connections, wire
from chancelery.exceptions import LayerUnavailable


def wait_for_any(keys: Mapping[str, Sequence[str]], timeout: float) -> list[str]:
    """
    Return when a token came on one of *keys* (URL -> lists), was taken off, or after *timeout* seconds.

    Returns the URLs of the servers that did not answer.
    """
    waiting: dict[str, wire.Waiting] = {}
    silent: list[str] = []
    for url, lists in keys.items():
        try:
            waiting[url] = wire.thread_wire(url).begin_waiting(lists, timeout)
        except LayerUnavailable:
            silent.append(url)
    try:
        _first(list(waiting.values()), timeout if not silent else min(timeout, 1))
    finally:
        for url, wait in waiting.items():
            try:
                _end(url, wait)
            except LayerUnavailable:
                silent.append(url)
    return silent


def _first(waiting: Sequence[wire.Waiting], timeout: float) -> None:
    if any(wait.has_answer() for wait in waiting):  # it may have come with the answer before it
        return
    poll = select.poll()
    for wait in waiting:
        poll.register(wait.fileno, select.POLLIN)
    poll.poll(timeout * 1000)


def _end(url: str, wait: wire.Waiting) -> None:
    if not wait.has_answer():
        with contextlib.suppress(LayerUnavailable), connections.reporting(url):
            connections.sync_client(url).client_unblock(wait.client_id)
    wait.take_answer()

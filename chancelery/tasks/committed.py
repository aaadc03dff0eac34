"""
What waits until all is certain: the consumer has returned, and every transaction that is open has been committed.

Django's `on_commit` knows one database; here a rollback on any of them drops the call. Source: `django.db.transaction`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from django.db import connections, transaction

from chancelery import outbox


def afterwards(call: Callable[[], object]) -> None:
    """
    Call *call* after the commit of all transactions that are open now, and after the return of the running consumer.

    At once when there are none of either. Never, when a transaction is rolled back, or the savepoint in which this was
    asked for, or when the consumer raises. Raises: what *call* raises, if it is called at once.
    """
    certain = functools.partial(_after_consumer, call)
    uncommitted = [each.alias for each in connections.all(initialized_only=True) if each.in_atomic_block]
    if not uncommitted:
        certain()
        return
    waiting = _Waiting(certain, len(uncommitted))
    for alias in uncommitted:
        transaction.on_commit(waiting.count_down, using=alias)


class _Waiting:
    """A call that is made when the last of so many commits has come."""

    def __init__(self, call: Callable[[], object], commits: int) -> None:
        self._call = call
        self._commits = commits

    def count_down(self) -> None:
        self._commits -= 1
        if self._commits == 0:
            self._call()


def _after_consumer(call: Callable[[], object]) -> None:
    running = outbox.current()
    if running is not None:
        running.defer(call)
    else:
        call()

"""
What waits for a commit, run although none comes: a test case rolls back the transaction that it has put around a test.

Source: `django.test.TestCase.captureOnCommitCallbacks`, and the check of durable blocks in `django.db.transaction`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.db import connections

_log = logging.getLogger("django.test")


def run_due() -> None:
    """
    Run, once, what `transaction.on_commit` was given in blocks that have ended since the test began.

    Nothing is done where no test case has a transaction open, and within a block of the test's own.
    Raises: what the calls raise.
    """
    for connection in connections.all(initialized_only=True):
        while _only_the_test_is_open(connection) and (call := _next_call(connection)):
            call()


def _only_the_test_is_open(connection: Any) -> bool:
    blocks = connection.atomic_blocks
    return bool(blocks) and blocks[-1]._from_testcase and not connection.needs_rollback  # noqa: SLF001 - as durable blocks do


def _next_call(connection: Any) -> Callable[[], object] | None:
    """Take out what comes next. What waits since the test's class was set up, in the outer one of two blocks, stays."""
    depth = len(connection.atomic_blocks) - 1
    for index, (savepoints, call, robust) in enumerate(connection.run_on_commit):
        if len(savepoints) >= depth:
            del connection.run_on_commit[index]
            return _robust(call) if robust else call
    return None


def _robust(call: Callable[[], object]) -> Callable[[], object]:
    def called() -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - on_commit(robust=True) promises so
            _log.exception("error in %r, which was to be run on commit", call)

    return called

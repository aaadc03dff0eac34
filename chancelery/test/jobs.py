"""
Jobs in tests: what was escalated, and a Celery worker that does it when the test says so, in the test's own thread.

Records and events are on a Redis, changed by the scripts of production; the broker is in memory.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import msgspec
from celery import current_app
from django.test import TestCase, TransactionTestCase

from chancelery import names
from chancelery.deployment.address import url_of_pair
from chancelery.deployment.embedded import EmbeddedValkey
from chancelery.layers.redis import RedisChannelLayer
from chancelery.registry import DEFAULT_CHANNEL_LAYER, channel_layers
from chancelery.tasks import Job
from chancelery.tasks.canvas import Prepared
from chancelery.tasks.engine.backend import JOB_CLOCK, JOB_KEYPREFIX, JobBackend
from chancelery.tasks.engine.inline import InlineWorker, Ran
from chancelery.tasks.record import Records
from chancelery.test import commits, layers
from chancelery.test.cases import ChannelTestCaseMixin
from chancelery.test.clock import VirtualClock

MOST_RUNS = 10_000
"""How many tasks `Jobs.run` does before it takes them for a circle."""

_FOR_EVER_MS = 10 * 365 * 86_400_000
"""Events are stamped with the server's clock, and a test may read them years later by its own."""


class Escalated(Job):
    """A job that was escalated in this test."""

    def __init__(self, job_id: str, prepared: Prepared) -> None:
        super().__init__(job_id)
        self.canvas = prepared.canvas
        """Celery's signature, chain, group or chord, with its arguments."""
        self.tasks = [member.name for member in prepared.members]
        """The names of its tasks, in the order in which the canvas names them."""


class Jobs:
    """The jobs of a test."""

    def __init__(self, worker: InlineWorker, noted: list[Escalated]) -> None:
        self._worker = worker
        self._noted = noted

    def escalated(self) -> list[Escalated]:
        """Return what was escalated until now, the oldest first; what waits for a commit in a TestCase, too."""
        commits.run_due()
        return list(self._noted)

    @property
    def waiting(self) -> list[str]:
        """The names of the tasks that wait, and then of those that wait for their time."""
        commits.run_due()
        return self._worker.names()

    def run(self) -> list[Ran]:
        """
        Do all that is due, and what follows from it, until nothing is; return what was done, in order.

        Raises: AssertionError when that does not end.
        """
        done: list[Ran] = []
        while (one := self.run_next()) is not None:
            done.append(one)
            if len(done) == MOST_RUNS:
                raise AssertionError(f"after {MOST_RUNS} tasks there are still more: {one.name} comes again and again")
        return done

    def run_next(self) -> Ran | None:
        """Do the task that has been due for longest; None when none is."""
        return self._next(dying=False)

    def die_after_body(self) -> Ran | None:
        """
        As `run_next`, but the process dies when the task's body has come to its end, before anything of that is stored.

        The task is handed out again, and is next.
        """
        return self._next(dying=True)

    def redeliver(self, task: Ran | str) -> None:
        """
        Hand a task that was begun out again, as happens to one whose worker was thought dead; it is next.

        task: what `run` returned, or its id. Raises: AssertionError when it was not begun.
        """
        task_id = task.id if isinstance(task, Ran) else task
        if task_id not in self._worker.done:
            raise AssertionError(f"the task {task_id} was not begun in this test; begun were {[*self._worker.done]}")
        self._worker.redeliver(task_id)

    def _next(self, *, dying: bool) -> Ran | None:
        commits.run_due()
        return self._worker.run_next(dying=dying)


@contextlib.contextmanager
def inline(aliases: Iterable[str], *, clock: VirtualClock) -> Iterator[Jobs]:
    """
    Have new layers behind *aliases*, and jobs that a test runs itself.

    They are on the Redis of the default layer's TEST_CONFIG, if that has hosts, and else on one of the process's own.
    Raises: EmbeddedServerError, LayerUnavailable; ImproperlyConfigured.
    """
    url, prefix = _url(), f"test:{names.random_part()}:"
    app: Any = current_app._get_current_object()  # noqa: SLF001 - Celery's way to look behind the proxy
    now = _Now(clock)
    settings = {
        "broker_transport_options": {JOB_KEYPREFIX: f"{prefix}j:"},
        "result_backend_transport_options": {
            "global_keyprefix": f"{prefix}r:",
            JOB_KEYPREFIX: f"{prefix}j:",
            JOB_CLOCK: now.timestamp,
        },
    }
    noted: list[Escalated] = []
    make = functools.partial(_Backend, noted, app=app, url=url)
    with contextlib.ExitStack() as stack:
        stack.callback(_flush, url, prefix)
        stack.enter_context(layers.on_redis(aliases, url, f"{prefix}l:", clock=clock))
        worker = stack.enter_context(InlineWorker(app, make, settings, now))
        yield Jobs(worker, noted)


class _Now:
    """What time it is for jobs: it passes as ever, and a test's clock is moved beside that."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._began = clock()

    def timestamp(self) -> float:
        return time.time() + self._clock() - self._began

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp(), UTC)


class JobTestCaseMixin(ChannelTestCaseMixin):
    """As `ChannelTestCaseMixin`, with jobs: its layers are on a Redis, `self.jobs` does what was escalated."""

    jobs: Jobs

    @contextlib.contextmanager
    def surroundings(self) -> Iterator[None]:
        """Have the layers and the worker in place."""
        with inline(self.test_channel_aliases, clock=self.channel_clock) as self.jobs:
            yield


class JobTestCase(JobTestCaseMixin, TestCase):
    """A ChannelTestCase with jobs."""


class TransactionJobTestCase(JobTestCaseMixin, TransactionTestCase):
    """A TransactionChannelTestCase with jobs."""


class _WatchedRecords(Records):
    """Records that are noted when they are made."""

    def __init__(self, client: Any, prefix: str, noted: list[Escalated]) -> None:
        super().__init__(client, prefix)
        self._noted = noted

    def record(self, job_id: str, prepared: Prepared, **rest: Any) -> str:
        """See `Records`."""
        rest["terms"] = msgspec.structs.replace(rest["terms"], message_ms=_FOR_EVER_MS)
        recorded = super().record(job_id, prepared, **rest)
        if recorded == job_id:  # and not another one that goes on already
            self._noted.append(Escalated(job_id, prepared))
        return recorded


class _Backend(JobBackend):
    """The result backend of a test."""

    def __init__(self, noted: list[Escalated], **options: Any) -> None:
        super().__init__(**options)
        self._noted = noted

    @functools.cached_property
    def records(self) -> _WatchedRecords:
        """See `JobBackend`."""
        return _WatchedRecords(self.client, self._transport_options[JOB_KEYPREFIX], self._noted)


def _url() -> str:
    config = channel_layers.configs.get(DEFAULT_CHANNEL_LAYER, {}).get("TEST_CONFIG", {})
    return str(url_of_pair(config["hosts"][0])) if config.get("hosts") else _own_server(os.getpid())


@functools.cache
def _own_server(_process: int) -> str:
    """Return the URL of a Valkey that runs until this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="chancelery-test-"))
    server = EmbeddedValkey(folder)
    server.start()
    Finalize(None, _end, args=(server, folder), exitpriority=0)  # also in the processes of `manage.py test --parallel`
    return server.url


def _end(server: EmbeddedValkey, folder: Path) -> None:
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def _flush(url: str, prefix: str) -> None:
    """Remove what the test has left: whatever is under *prefix*, the results and the records too."""
    everything = RedisChannelLayer(hosts=[url], prefix=prefix)
    everything.flush()
    everything.close()

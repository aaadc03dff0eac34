"""
A Celery worker in threads of this process, for development: no signal handlers, no children, no logging of its own.

What is running when it is told to stop gets `drain_seconds`; what takes longer is given back to its queue, if it is
acknowledged late, and begins anew elsewhere, for this process is about to end. Source: `celery.worker`,
`celery.contrib.testing.worker`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from celery import Celery, current_app
from celery.concurrency.thread import TaskPool
from celery.worker import WorkController, state

from chancelery import conf

_LOOK_SECONDS = 0.5


class ThreadedWorker:
    """Does the tasks of *app*, *threads* at a time. One per process: Celery's switch for stopping is a global."""

    def __init__(self, app: Celery, threads: int, *, on_ready: Callable[[], object]) -> None:
        """Imports the tasks. Raises: whatever that does."""
        self._controller = WorkController(
            app=app,
            pool=_Pool,
            concurrency=threads,
            hostname=f"runserver-{os.getpid()}@{socket.gethostname()}",
            ready_callback=lambda _consumer: on_ready(),
            without_mingle=True,  # it would wait for the answers of other workers, a second at every reload
            without_gossip=True,
        )

    def run(self) -> bool:
        """Work until `stop`; return whether everything that was begun has ended."""
        controller = self._controller
        if controller.hub is not None:  # which sleeps up to ten seconds when nothing happens
            controller.timer.call_repeatedly(_LOOK_SECONDS, _wake)
        controller.start()
        return controller.pool is None or controller.pool.idle

    def stop(self) -> None:
        """Have `run` return, as SIGTERM does with a worker of its own process. From any thread."""
        state.should_stop = os.EX_OK


def configured_app() -> Celery | None:
    """Return this process's Celery application, if one with a broker has been made, and is not told to need none."""
    app = current_app._get_current_object()  # noqa: SLF001 - Celery's way to look behind the proxy
    return app if app.conf.broker_url and not app.conf.task_always_eager else None


class _Pool(TaskPool):  # type: ignore[misc] # Celery has no types
    """Threads that are waited for with a bound when they stop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._running: set[Future[object]] = set()
        self._changing = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether no task is running."""
        return not self._running

    def on_apply(self, *args: Any, **options: Any) -> Any:
        """Run a task, and remember it meanwhile."""
        result = super().on_apply(*args, **options)
        with self._changing:
            self._running.add(result.f)
        result.f.add_done_callback(self._forget)
        return result

    def on_stop(self) -> None:
        """Begin nothing more, and let what runs come to its end."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        wait(list(self._running), conf.current().drain_seconds)

    def _forget(self, future: Future[object]) -> None:
        with self._changing:
            self._running.discard(future)


def _wake() -> None:
    """Nothing: to have been called, the worker's event loop has looked whether it shall stop."""

"""What runs behind the gateway, each in a thread that can be told to stop: which ones, and how one of them ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.conf import settings

from chancelery.log import room
from chancelery.registry import ChannelLayerWrapper
from chancelery.worker import Worker

_log = room("management")
_THREADS = 4


class Part:
    """
    A thread.

    run: what it does until *stop* is called; False for what it could not end in time. stop: returns at once.
    """

    def __init__(self, name: str, run: Callable[[], object], stop: Callable[[], object]) -> None:
        self.name = name
        self._run = run
        self._stop = stop
        self._ended_well = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, seconds: float) -> bool:
        """Stop it, and return whether it has come to its end within *seconds*, with all that it had begun."""
        if self._thread.ident is None:
            return True
        self._stop()
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.error("%s has not stopped within %g s", self.name, seconds)
        return self._ended_well

    def _serve(self) -> None:
        try:
            self._ended_well = self._run() is not False
        except Exception:  # noqa: BLE001 - supervision: it is logged, and the others go on
            _log.exception("%s has ended by a fault of its own", self.name)


def parts_behind(
    channel_layer: ChannelLayerWrapper, options: dict[str, Any], say: Callable[[str], object]
) -> list[Part]:
    """Return what runs behind a gateway to *channel_layer*; *options* are those of the command."""
    threads = _THREADS if options["use_threading"] else 1
    worker = Worker(channel_layer, threads=threads, signal_handlers=False)
    if _serves_static_files(options):
        channel_layer.router.check_default("chancelery.staticfiles.static_files_consumer")
    first = Part(f"a worker of {_counted(threads)}", worker.run, worker.stop)
    return [first, *_celery(threads, say), *_delays(channel_layer)]


def _serves_static_files(options: dict[str, Any]) -> bool:
    wanted = settings.DEBUG or options["insecure_serving"]
    return bool(wanted and options["use_static_handler"] and apps.is_installed("django.contrib.staticfiles"))


def _celery(threads: int, say: Callable[[str], object]) -> list[Part]:
    from chancelery.tasks.engine.threaded import ThreadedWorker, configured_app  # noqa: PLC0415 - loads Celery

    app = configured_app()
    if app is None:
        return []
    worker = ThreadedWorker(app, threads, on_ready=lambda: say("Celery is ready."))
    return [Part(f"a Celery worker of {_counted(threads)}", worker.run, worker.stop)]


def _delays(channel_layer: ChannelLayerWrapper) -> list[Part]:
    if not apps.is_installed("chancelery.delay"):
        return []
    from chancelery.delay.worker import Worker as DelayServer  # noqa: PLC0415 - its model needs its app

    server = DelayServer(channel_layer, signal_handlers=False)
    return [Part("a delay server", server.run, server.stop)]


def _counted(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"

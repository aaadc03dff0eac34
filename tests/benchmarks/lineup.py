"""The systems compared: which processes each consists of, and what can be measured of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

SERVERS = {
    "daphne": ("daphne", "-v", "0", "-b", "127.0.0.1", "-p", "{port}", "{application}"),
    "uvicorn": (
        *("uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning", "--no-access-log"),
        "{application}",
    ),
}
CELERY_WORKER = ("celery", "-A", "{site}", "worker", "--concurrency", "2", "--loglevel", "WARNING")
SOCKETS = ("echo", "latency", "group", "connects")


@dataclass(frozen=True, kw_only=True)
class System:
    """
    One competitor.

    application: what the protocol server serves, or nothing when the system has no sockets.
    site: the Python package of its Django site, which is also its Celery application.
    worker: the arguments after `python -m django` of its worker processes, of which there are *workers*.
    worker_ready: what each of them writes when it is.
    ours: whether it runs in the project's environment, not in the peers'.
    """

    name: str
    application: str = ""
    site: str = ""
    worker: tuple[str, ...] = ()
    workers: int = 1
    worker_ready: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    ours: bool = False
    django: bool = True
    loads: tuple[str, ...] = SOCKETS


def _channels4(name: str, style: str, layer: str, loads: tuple[str, ...] = SOCKETS) -> System:
    return System(
        name=name,
        application="channels4_app.asgi:application",
        site="channels4_app",
        worker=("runworker", "frames") if style == "worker" else (),
        environment={"BENCHMARK_STYLE": style, "BENCHMARK_LAYER": layer},
        loads=loads,
    )


_OURS = System(
    name="chancelery",
    application="chancelery_app.asgi:channel_layer",
    site="chancelery_app",
    worker=("runworker", "--threads", "1"),
    worker_ready="Worker ready",
    ours=True,
    loads=(*SOCKETS, "celery"),
)
SYSTEMS = (
    System(name="bare", application="bare_app:application", ours=True, django=False),
    System(name="celery", site="celery_app", django=False, loads=("celery",)),
    _channels4("channels4-inprocess", "sync", "core"),
    _channels4("channels4-inprocess-pubsub", "sync", "pubsub"),
    _channels4("channels4-async-pubsub", "async", "pubsub"),
    _channels4("channels4", "worker", "core"),
    _channels4("channels4-pubsub", "worker", "pubsub"),
    _channels4("channels4-celery", "sync", "core", ("celery",)),
    _OURS,
    replace(_OURS, name="chancelery-answers", environment={"BENCHMARK_REPLY": "message"}, loads=("celery",)),
)
LOADS = (*SOCKETS, "celery")


def chancelery(workers: int, threads: int) -> System:
    """Return this project's system with so many worker processes of so many threads each."""
    return replace(_OURS, workers=workers, worker=("runworker", "--threads", str(threads)))

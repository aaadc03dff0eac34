"""A site with a real Celery worker, and sockets that are mailboxes of its layer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import _state
from django.test import override_settings

from chancelery import Group, channel_layers
from chancelery.deployment import Deployment
from chancelery.layers.base import Send, Will
from chancelery.message import Message
from chancelery.tasks import Job

ROUTING = "tests.tasks.project.routing.channel_routing"
PATIENCE_SECONDS = 30
ENDS = {"result", "error", "cancelled"}
ROOT = Path(__file__).parents[2]


class CeleryWorker:
    """`celery -A tests.tasks.project worker`, with two processes in its pool."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.lines: list[str] = []
        self._grown = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tests.tasks.project", "worker", "-c", "2", "-l", "INFO",
             "--without-gossip", "--without-mingle"],
            cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.until(" ready.")
        except AssertionError:
            self.stop()
            raise

    def until(self, text: str, after: int = 0) -> int:
        """Return the number of the first line, from *after* on, with *text* in it, when there is one."""

        def found() -> int | None:
            return next((at for at in range(after, len(self.lines)) if text in self.lines[at]), None)

        with self._grown:
            self._grown.wait_for(lambda: found() is not None, PATIENCE_SECONDS)
            at = found()
        assert at is not None, f"the worker did not write {text!r}:\n" + "".join(self.lines)
        return at

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._grown:
                self.lines.append(line)
                self._grown.notify_all()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(PATIENCE_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Socket:
    """Receives what a gateway would send to one socket."""

    def __init__(self) -> None:
        self.process = f"test.{uuid.uuid4().hex[:12]}!"
        self.name = self.process + "socket"
        self.layer = channel_layers["default"].layer
        self.claim = ""
        """The latest that came with the events of a job."""

    def message(self, **content: Any) -> Message:
        """A frame of this socket, as a consumer gets it."""
        content = {"reply_channel": self.name, "path": "/", "text": "hello", **content}
        return Message(content, "websocket.receive", channel_layers["default"])

    def contents(self) -> Iterator[dict[str, Any]]:
        """Everything that is sent to it, for as long as something comes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            _, content = self.layer.receive([self.process], block=True)
            if content is not None:
                yield content
        raise AssertionError(f"nothing more came to {self.name}")

    def frames(self, count: int) -> list[dict[str, Any]]:
        """The next frames that are sent to it."""
        contents = self.contents()
        found = [json.loads(next(contents)["text"]) for _ in range(count)]
        for frame in found:
            self.claim = frame.pop("claim", self.claim)
        return found

    def opens(self) -> None:
        """Come about as a real one does, for the layer: with a will."""
        body = self.layer.pack({"reply_channel": self.name})
        assert self.layer.post([Send("nobody-reads", body, self.name, will=Will("nobody-reads", body))]) == []

    def goes(self) -> None:
        """Be gone, for the layer."""
        body = self.layer.pack({"reply_channel": self.name})
        assert self.layer.post([Send("nobody-reads", body, self.name, leaves=True)]) == []

    def events(self) -> list[dict[str, Any]]:
        """The events of one job, up to the one that ends it."""
        found = []
        for content in self.contents():
            assert {"text"} <= set(content) <= {"text", "key", "keep"}, content
            found.append(json.loads(content["text"]))
            self.claim = found[-1].pop("claim", self.claim)
            if found[-1]["kind"] in ENDS:
                return found
        raise AssertionError

    def end(self) -> dict[str, Any]:
        """The event that ends a job."""
        return self.events()[-1]

    def is_silent(self) -> bool:
        """Whether nothing more is there now."""
        return self.layer.receive([self.process]) == (None, None)


@pytest.fixture(scope="package")
def deployment(redis_url: str) -> Deployment:
    return Deployment(redis_url, prefix=f"tasks-{os.getpid()}")


@pytest.fixture(scope="package")
def celery_app(deployment: Deployment) -> Iterator[Any]:
    """The project's Celery app, and Django's settings that go with it."""
    default, current = _state.default_app, _state._tls.current_app
    with override_settings(**deployment.django_settings(routing=ROUTING)):
        from tests.tasks.project.celery import app  # noqa: PLC0415 - it reads the settings

        _state._register_app(app)  # again, if the package's tests were interrupted by others: close() ends that
        app.set_default()
        app.set_current()
        app.autodiscover_tasks(["tests.tasks.project"], force=True)
        yield app
        app.close()
        _state.set_default_app(default)
        _state._set_current_app(current)


@pytest.fixture(scope="package")
def worker(celery_app: Any, deployment: Deployment) -> Iterator[CeleryWorker]:
    """A running Celery worker."""
    running = CeleryWorker(
        {
            "DJANGO_SETTINGS_MODULE": "tests.tasks.project.settings",
            "TESTS_REDIS_URL": deployment.url,
            "TESTS_PREFIX": deployment.prefix,
        }
    )
    yield running
    running.stop()


@pytest.fixture
def socket(celery_app: Any) -> Socket:
    return Socket()


@pytest.fixture
def group(socket: Socket) -> Iterator[Group]:
    """A group that a second socket of the same process is in."""
    found = Group(f"team.{uuid.uuid4().hex[:12]}")
    found.add(socket.name)
    yield found
    found.discard(socket.name)


def ends_of(job: Job) -> list[str]:
    """The kinds of the events that ended the job; there shall be one."""
    return [event["kind"] for event in job.events() if event["kind"] in ENDS]


@pytest.fixture
def quiet(celery_app: Any) -> Callable[..., None]:
    """Waits until every task of a job has ended, as far as Celery is concerned, but for those with some numbers."""

    def wait(job: Job, but_for: Iterable[int] = ()) -> None:
        of = job.events()[0]["data"]["of"]
        for number in set(range(1, of + 1)) - set(but_for):
            celery_app.AsyncResult(f"{job.id}-{number}").get(timeout=PATIENCE_SECONDS, propagate=False)

    return wait

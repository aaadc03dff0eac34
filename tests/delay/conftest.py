"""The app in the tests' database, and delay servers that stop when the test does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

from chancelery.delay import worker
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.registry import ChannelLayerWrapper
from tests.routed import routed

APPS = [*settings.INSTALLED_APPS, "chancelery.delay"]


@pytest.fixture(scope="session")
def delay_table(django_db_setup: None, django_db_blocker: Any) -> None:
    """Made by the app's migrations."""
    with django_db_blocker.unblock(), override_settings(INSTALLED_APPS=APPS):
        call_command("migrate", "chancelery_delay", verbosity=0)


@pytest.fixture(autouse=True)
def app(delay_table: None, db: None) -> Iterator[None]:
    """The app, installed."""
    with override_settings(INSTALLED_APPS=APPS):
        yield


@pytest.fixture
def channel_layer() -> Iterator[ChannelLayerWrapper]:
    """A layer in memory, with room for three."""
    with routed(layer=InMemoryChannelLayer(capacity=3)) as wrapper:
        yield wrapper


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Serves in this thread, since the database is this connection's, until a condition holds."""
    monkeypatch.setattr(worker, "_SLICE_SECONDS", 0.02)
    monkeypatch.setattr(worker, "_FIRST_PAUSE_SECONDS", 0.02)

    def serve(channel_layer: ChannelLayerWrapper, condition: Callable[[], object]) -> None:
        server = worker.Worker(channel_layer, signal_handlers=False, database_sleep_duration=0.01)
        with stopped_when(server, condition):
            server.run()

    return serve


@contextlib.contextmanager
def stopped_when(server: Any, condition: Callable[[], object]) -> Iterator[None]:
    """Have *server* stop when *condition*, which must not use the database, holds."""
    given_up: list[str] = []

    def watch() -> None:
        give_up_at = time.monotonic() + 30
        while not condition():
            if time.monotonic() > give_up_at:
                given_up.append("in vain")
                break
            time.sleep(0.01)
        server.stop()

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield
    watcher.join()
    assert given_up == []

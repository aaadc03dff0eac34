"""
The whole site for a test: daphne, the gateway, and workers, in threads of the test's own process.

Nothing is forked, so that the tests' database and layers are the site's, in memory too.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Self

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import TransactionTestCase
from django.test.utils import modify_settings

from chancelery import conf
from chancelery.gateway.application import Gateway
from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from chancelery.routing import Router, route
from chancelery.staticfiles import static_files_consumer
from chancelery.test import layers
from chancelery.test.cases import WithinContext
from chancelery.test.protocol import protocol_server
from chancelery.worker import Worker, databases

_GRACE_SECONDS = 5


class LiveServer:
    """
    A site that starts when its address is first asked for. As a context manager: with layers of its own, and an end.

    aliases: of the layers that have workers; sockets and requests come by the first one.
    """

    def __init__(
        self,
        aliases: Sequence[str] = (DEFAULT_CHANNEL_LAYER,),
        *,
        host: str = "localhost",
        worker_threads: int = 1,
        serve_static: bool = True,
    ) -> None:
        self.host = host
        self._aliases = aliases
        self._threads = worker_threads
        self._serve_static = serve_static
        self._opened = contextlib.ExitStack()
        self._port = 0

    def __enter__(self) -> Self:
        self._opened.enter_context(layers.isolated(self._aliases, configured=True))
        self._opened.enter_context(modify_settings(ALLOWED_HOSTS={"append": self.host}))
        return self

    def __exit__(self, *_: object) -> None:
        self._port = 0
        self._opened.close()

    @property
    def url(self) -> str:
        """Where its pages are, without a slash at the end."""
        return f"http://{self.host}:{self._started()}"

    @property
    def ws_url(self) -> str:
        """Where its sockets are, without a slash at the end."""
        return f"ws://{self.host}:{self._started()}"

    def _started(self) -> int:
        if not self._port:
            lending = self._opened.enter_context(_lending_databases(self._threads))
            wrappers = [self._served(alias) for alias in self._aliases]
            for wrapper in wrappers:
                self._opened.enter_context(_working(wrapper, self._threads, lending))
            self._port = self._opened.enter_context(_serving(wrappers[0], self.host))
        return self._port

    def _served(self, alias: str) -> ChannelLayerWrapper:
        """Return the layer with the routes of the moment: those that a test applies count, too."""
        wrapper = channel_layers[alias]
        routing = Router.resolve_routing(wrapper.routing)
        if self._serve_static and apps.is_installed("django.contrib.staticfiles"):
            routing.append(route("http.request", static_files_consumer))
        return ChannelLayerWrapper(wrapper.layer, alias, routing)


class ChannelLiveServerTestCase(WithinContext, TransactionTestCase):
    """
    A TransactionTestCase with the whole site: for browsers, and other clients that know nothing of Django.

    The site starts when a test first asks for an address. Its layers are made as their TEST_CONFIG says, if they have
    one, and else in memory.
    """

    host: ClassVar[str] = "localhost"
    worker_threads: ClassVar[int] = 1
    serve_static: ClassVar[bool] = True
    test_channel_aliases: Sequence[str] = [DEFAULT_CHANNEL_LAYER]

    _site: LiveServer

    @property
    def live_server_url(self) -> str:
        """Where the pages are, without a slash at the end."""
        return self._site.url

    @property
    def live_server_ws_url(self) -> str:
        """Where the sockets are, without a slash at the end."""
        return self._site.ws_url

    def surroundings(self) -> LiveServer:
        """Return the site."""
        self._site = LiveServer(
            self.test_channel_aliases,
            host=self.host,
            worker_threads=self.worker_threads,
            serve_static=self.serve_static,
        )
        return self._site


@contextlib.contextmanager
def _serving(wrapper: ChannelLayerWrapper, host: str) -> Iterator[int]:
    server = protocol_server()
    gateway = Gateway(wrapper)
    server.run(gateway.startup())
    server.application = gateway
    try:
        yield server.port("127.0.0.1" if host == "localhost" else host)
    finally:
        server.application = None
        server.run(gateway.drain())


@contextlib.contextmanager
def _working(wrapper: ChannelLayerWrapper, threads: int, care: databases.Care) -> Iterator[None]:
    worker = Worker(wrapper, signal_handlers=False, threads=threads, care=care)
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(worker.run()), name="live worker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(conf.current().drain_seconds + _GRACE_SECONDS)
        if outcome != [True]:
            raise RuntimeError(
                f"a consumer was still running {conf.current().drain_seconds:g} seconds after the end of the test: see "
                f"the log for its name"
            )


class _Lending:
    """See `databases.Care`: consumers use the test's connections to databases in memory, in any thread."""

    def __init__(self, lent: dict[str, Any]) -> None:
        self._lent = lent

    def looked_after(self) -> AbstractContextManager[None]:
        self._lend()
        return databases.looked_after()

    @contextlib.asynccontextmanager
    async def closed_behind(self) -> AsyncIterator[None]:
        async with databases.closed_behind():
            await sync_to_async(self._lend)()
            yield

    def _lend(self) -> None:
        for alias, connection in self._lent.items():
            connections[alias] = connection


@contextlib.contextmanager
def _lending_databases(threads: int) -> Iterator[_Lending]:
    """Lend the test's databases in memory to the workers' threads: another connection might find tables locked."""
    found: dict[str, Any] = {
        connection.alias: connection
        for connection in connections.all()
        if connection.vendor == "sqlite" and connection.is_in_memory_db()  # type: ignore[attr-defined]
    }
    if found and threads > 1:
        raise ImproperlyConfigured(
            f"worker_threads = {threads} with the database {min(found)!r} in memory: its one connection serves one "
            f"transaction at a time. Use one thread, or give the database a file for tests: TEST = {{'NAME': …}}"
        )
    for connection in found.values():
        connection.inc_thread_sharing()
    yield _Lending(found)  # if a worker does not end, what is lent stays so
    for connection in found.values():
        connection.dec_thread_sharing()

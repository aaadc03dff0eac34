"""A running site, a proxy that cuts its sockets off, pages to look at it with, and Chromium."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_connection
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from tests import chromium
from tests.example.site import free_ports
from tests.javascript.classic import SCRIPTS
from tests.tasks.conftest import CeleryWorker

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 40
PAGES = {
    "/module": '<script type="module">import * as names from "/bridge.js"; Object.assign(window, names);</script>',
    "/classic": '<script src="/websocketbridge.js"></script><script>Object.assign(window, channels);</script>',
}


class Site:
    """A gateway that can be killed and started again, behind a proxy that can be told to misbehave."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        [self._port] = free_ports(1)
        self._proxy = self._run("tests.faults.proxy", str(self._port), "sockets", stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)  # fmt: skip
        ports = json.loads(self._proxy.stdout.readline())
        self.url = f"ws://127.0.0.1:{ports['sockets']}/desk/"
        self.start_gateway()
        self._worker = self._run("django", "runworker")

    def start_gateway(self) -> None:
        self.gateway = self._run("daphne", "--port", str(self._port), "tests.javascript.site.asgi:channel_layer")

    def until_gateway_listens(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert self.gateway.poll() is None
            try:
                create_connection(("127.0.0.1", self._port), PATIENCE_SECONDS).close()
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def sockets(self, do: str) -> None:
        """Have the proxy `cut` the sockets, `shut` them out, or `heal`."""
        self._proxy.stdin.write(json.dumps({"do": do, "to": ["sockets"]}) + "\n")
        self._proxy.stdin.flush()
        assert self._proxy.stdout.readline() == "{}\n"

    def ask_to_stop(self) -> None:
        self._proxy.stdin.close()
        for process in (self.gateway, self._worker):
            process.terminate()

    def stop(self) -> None:
        self.ask_to_stop()
        for process in (self._proxy, self.gateway, self._worker):
            process.wait(PATIENCE_SECONDS)
        self._proxy.stdout.close()

    def _run(self, module: str, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, env=self._environment, **{**quiet, **options}
        )


@pytest.fixture(scope="package")
def site(redis_url: str) -> Iterator[Site]:
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.javascript.site.settings",
        "TESTS_REDIS_URL": redis_url,
        "TESTS_PREFIX": f"javascript-{os.getpid()}",
    }
    with contextlib.ExitStack() as stack:
        site = Site(environment)
        stack.callback(site.stop)
        celery = CeleryWorker(environment)
        stack.callback(celery.stop)
        stack.callback(site.ask_to_stop)
        site.until_gateway_listens()
        yield site


class _Pages(SimpleHTTPRequestHandler):
    """The scripts, and pages that load them."""

    def do_GET(self) -> None:
        page = PAGES.get(self.path)
        if page is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(f'<!doctype html><title>Bridge</title><link rel="icon" href="data:,">{page}'.encode())

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="package")
def pages() -> Iterator[str]:
    """The address of a server for the pages."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, directory=SCRIPTS))
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium.launched() as browser:
        yield browser


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, pages: str, site: Site) -> Iterator[OpenPage]:
    """
    Opens a page as another visitor each time, with a bridge that is connected to the site.

    The page's `bridge` is in `window`, what it heard in `heard`. At the end nothing may have been written to a console
    but Chromium's own word on each connection that failed.
    """
    contexts, said = [], []

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith("WebSocket connection to"):
            said.append(message.text)

    def opened(path: str = "/module", **options: Any) -> Page:
        contexts.append(browser.new_context())
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        page.on("console", heard)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(pages + path)
        page.evaluate(
            """async ([url, options]) => {
                window.heard = [];
                window.bridge = new WebSocketBridge();
                bridge.listen((message) => heard.push(message));
                bridge.connect(url, undefined, options);
                await new Promise((resolve) => bridge.on("open", resolve));
            }""",
            [site.url, options],
        )
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []

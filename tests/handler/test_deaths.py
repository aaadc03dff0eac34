"""Processes that are killed while a body or a response is on its way: whoever is left is not left waiting."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

from chancelery.layers.redis import RedisChannelLayer
from tests.gateway.servers.processes import PATIENCE, ROOT, Server, until
from tests.handler.test_servers import Site, heard, raw

UPLOAD = b"POST /swallow/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50000000\r\n\r\n"
ENDLESS = b"GET /endless/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BRIEF = '{"HTTP_TIMEOUT": 1.5}'


@pytest.fixture
def layer(redis_url):
    layer = RedisChannelLayer(hosts=[redis_url], prefix="http-deaths:")
    yield layer
    layer.flush()
    layer.close()


@pytest.fixture
def worker(redis_url, layer):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": Site.settings,
        "PYTHONPATH": str(ROOT),
        "TEST_REDIS_URL": redis_url,
        "TEST_PREFIX": layer.prefix,
        "TEST_CHANCELERY": BRIEF,
    }
    command = [sys.executable, "-m", "django", "runworker", "--threads", "1"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("Worker ready")
            yield process
        finally:
            process.kill()
            process.communicate(timeout=PATIENCE)


@pytest.fixture
def uvicorn(redis_url, layer):
    command = ["-m", "uvicorn", "--port", "0", "tests.handler.site.asgi:channel_layer"]
    with Site(command, r"running on http://127\.0\.0\.1:(\d+)", redis_url, layer.prefix, HTTP_TIMEOUT=1.5) as server:
        yield server


def test_a_client_whose_upload_lost_its_reader_is_answered_and_nothing_stays(uvicorn, worker, layer):
    with raw(uvicorn, UPLOAD, b"x" * 1_000_000) as client:
        heard(layer, "reads")
        worker.kill()
        with contextlib.suppress(ConnectionError):
            client.sendall(b"x" * 4_000_000)
        assert client.recv(12) == b"HTTP/1.1 503"
    until(lambda: not [each for each in layer.overview().channels if each.pending > 2])


def test_a_view_whose_stream_lost_its_gateway_ends(uvicorn: Server, worker, layer):
    with raw(uvicorn, ENDLESS) as client:
        client.recv(100_000)
        uvicorn.process.kill()
        assert heard(layer, "produced")["produced"] < 24_000_000

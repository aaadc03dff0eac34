"""The whole way: a client, daphne or uvicorn, Redis, `runworker`, and views."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chancelery.deployment import connections
from chancelery.layers.redis import RedisChannelLayer
from tests.gateway.servers.processes import PATIENCE, ROOT, Server, until
from tests.worker.conftest import answers

LARGE = 50 * 1024 * 1024
MORE_MEGABYTES = 24
"""What a process may need beyond what it had, for any number of bytes that pass through."""


class Site(Server):
    settings = "tests.handler.site.settings"


def daphne(url, prefix, *arguments):
    command = ["-m", "daphne", "-b", "127.0.0.1", "-p", "0", *arguments, "tests.handler.site.asgi:channel_layer"]
    return Site(command, r"Listening on TCP address 127\.0\.0\.1:(\d+)", url, prefix)


def uvicorn(url, prefix, *arguments):
    command = ["-m", "uvicorn", "--port", "0", *arguments, "tests.handler.site.asgi:channel_layer"]
    return Site(command, r"running on http://127\.0\.0\.1:(\d+)", url, prefix)


@pytest.fixture(scope="module")
def layer(redis_url):
    layer = RedisChannelLayer(hosts=[redis_url], prefix="http-site:")
    yield layer
    layer.flush()
    layer.close()


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "large.bin"
    path.write_bytes(bytes(range(256)) * (LARGE // 256))
    return path


@pytest.fixture(scope="module")
def worker(redis_url, layer, large_file):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": Site.settings,
        "PYTHONPATH": str(ROOT),
        "TEST_REDIS_URL": redis_url,
        "TEST_PREFIX": layer.prefix,
        "TEST_FILE": str(large_file),
    }
    command = [sys.executable, "-W", "error", "-m", "django", "runworker", "--threads", "4"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("Worker ready")
            yield process
            assert process.poll() is None, "the worker has died"
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def by_daphne(redis_url, layer, worker):
    with daphne(redis_url, layer.prefix) as server:
        yield server


@pytest.fixture(scope="module")
def by_uvicorn(redis_url, layer, worker):
    with uvicorn(redis_url, layer.prefix) as server:
        yield server


@pytest.fixture(params=["by_daphne", "by_uvicorn"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def ask(server):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as connection:

        def ask(method, path, body=None, headers=None):
            connection.request(method, path, body, headers or {})
            return connection.getresponse()

        yield ask


def megabytes(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def more_megabytes(before, processes):
    """How much the one of *processes* has grown that has grown most. Python gives little back."""
    return max(megabytes(process) - was for was, process in zip(before, processes, strict=True))


def heard(layer, *keys):
    """What the site has said of *keys*, once it has."""
    found = {}
    while not found.keys() >= set(keys):
        found |= answers(layer, 1, "said")[0]
    return found


def raw(server, *sent):
    client = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    for piece in sent:
        client.sendall(piece)
    return client


def an_upload(size):
    """A multipart body, piece by piece, with its headers and the digest of its file."""
    piece = os.urandom(65536).replace(b"-", b"x")  # no boundary is in it
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    tail = b"\r\n--b--\r\n"
    pieces = [head, *[piece] * (size // len(piece)), tail]
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(sum(map(len, pieces)))}
    return iter(pieces), headers, hashlib.sha256(piece * (size // len(piece))).hexdigest()


def test_a_view_answers_with_its_cookies_and_headers(ask):
    response = ask("GET", "/cookies/")
    assert (response.status, response.read()) == (200, b"cookies")
    assert response.headers.get_all("Set-Cookie") == ["a=1; Path=/", "b=2; Path=/"]
    assert response.getheader("X-CamelCase") == "kept"
    assert response.getheader("Content-Length") == "7"


def test_a_view_sees_the_request(ask):
    headers = {"Cookie": "a=1; b=2", "User-Agent": "tests"}
    found = json.loads(ask("GET", "/about/?q=caf%C3%A9", headers=headers).read())
    assert found == {
        "method": "GET",
        "path": "/about/",
        "path_info": "/about/",
        "cookies": {"a": "1", "b": "2"},
        "agent": "tests",
        "get": {"q": "café"},
        "scheme": "http",
    }


def test_several_cookie_headers_are_all_read(server):
    request = b"GET /about/ HTTP/1.0\r\nHost: 127.0.0.1\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n"
    with raw(server, request) as client, client.makefile("rb") as answer:
        assert b'"cookies": {"a": "1", "b": "2"}' in answer.read()


def test_a_head_request_gets_headers_only(ask):
    response = ask("HEAD", "/download/")
    assert (response.status, response.getheader("Content-Length"), response.read()) == (200, str(LARGE), b"")
    assert ask("GET", "/cookies/").read() == b"cookies"  # on the same connection


def test_a_large_upload_reaches_the_view_on_its_disk(ask, server, layer, by_daphne):
    size = LARGE // 8 if server is by_daphne else LARGE  # daphne itself takes long to read a body
    client = connections.sync_client(layer.url)
    client.config_resetstat()
    before = client.info("memory")["used_memory"]
    body, headers, digest = an_upload(size)
    found = json.loads(ask("POST", "/upload/", body, headers).read())
    assert found == {"size": size, "kind": "TemporaryUploadedFile", "digest": digest}
    assert client.info("memory")["used_memory_peak"] - before < 15_000_000


def test_with_uvicorn_a_large_upload_needs_no_memory(by_uvicorn, worker):
    processes = (by_uvicorn.process, worker)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", by_uvicorn.port, timeout=PATIENCE)) as connection:
        before = [megabytes(process) for process in processes]
        body, headers, _ = an_upload(LARGE)
        connection.request("POST", "/upload/", body, headers)
        assert connection.getresponse().status == 200
    assert more_megabytes(before, processes) < MORE_MEGABYTES


def test_a_large_download_needs_no_memory(ask, server, worker, large_file):
    processes = (server.process, worker)
    before = [megabytes(process) for process in processes]
    response = ask("GET", "/download/")
    digest = hashlib.sha256()
    while piece := response.read(1_000_000):
        digest.update(piece)
    assert digest.digest() == hashlib.sha256(large_file.read_bytes()).digest()
    assert more_megabytes(before, processes) < MORE_MEGABYTES


def test_the_first_part_of_a_stream_arrives_before_the_last_is_produced(ask, layer):
    response = ask("GET", "/stream/")
    assert response.read(5) == b"first"
    layer.send("go?on", {})
    assert response.read() == b" last"


def test_a_stream_waits_for_its_client_and_ends_with_it(server, layer, worker):
    before = megabytes(server.process)
    with raw(server, b"GET /endless/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as client:
        client.recv(100_000)
        sizes = [megabytes(server.process)]
        give_up_at = time.monotonic() + 0.3
        while time.monotonic() < give_up_at:
            sizes.append(megabytes(server.process))
            time.sleep(0.05)
        assert max(sizes) - before < MORE_MEGABYTES
    said = heard(layer, "produced", "left")
    assert said["produced"] < 24_000_000
    assert said["left"] == "/endless/"


def test_requests_wait_in_a_group_until_there_are_news(server, ask, layer):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as other:
        other.request("GET", "/poll/")
        heard(layer, "polls")
        layer.send_group("polls", {"status": 200, "headers": [[b"X-News", b"yes"]], "content": b"it rains"})
        response = other.getresponse()
        assert (response.status, response.getheader("X-News"), response.read()) == (200, "yes", b"it rains")
    assert ask("GET", "/cookies/").status == 200


def test_a_client_that_gives_up_waiting_is_told_of(server, layer):
    with raw(server, b"GET /poll/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):
        heard(layer, "polls")
    assert heard(layer, "left")["left"] == "/poll/"


def test_a_view_that_answers_later_is_answered_for(ask, layer, server):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as connection:
        connection.request("GET", "/later/")
        said = heard(layer, "waits")
        assert ask("GET", "/cookies/").read() == b"cookies"  # meanwhile, others are served
        layer.send(said["waits"], {"status": 201, "content": b"at last"})
        response = connection.getresponse()
        assert (response.status, response.read()) == (201, b"at last")


def test_a_form_in_chunks_is_read(ask):
    pieces = iter([b"a=1&", b"b=" + b"x" * 400_000])
    response = ask("POST", "/form/", pieces, {"Content-Type": "application/x-www-form-urlencoded"})
    assert {key: len(value) for key, value in json.loads(response.read()).items()} == {"a": 1, "b": 400_000}


def test_a_form_beyond_djangos_limit_is_refused(ask):
    body = b"a=" + b"x" * 2_700_000
    response = ask("POST", "/form/", body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert response.status in {400, 413}


def test_an_upload_that_the_view_refuses_leaves_nothing_behind(ask, layer):
    body, headers, _ = an_upload(2_000_000)
    response = ask("POST", "/refuse/", b"".join(body), headers)
    assert (response.status, response.read()) == (403, b"no, thank you")
    until(lambda: not [each for each in layer.overview().channels if each.name.startswith("http.request.body")])


def test_a_client_that_leaves_in_the_middle_of_its_upload_ends_the_view(by_uvicorn, layer):
    head = b"POST /swallow/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50000000\r\n\r\n"
    with raw(by_uvicorn, head, b"x" * 1_000_000):
        heard(layer, "reads")
    said = heard(layer, "aborted", "left")
    assert said["left"] == "/swallow/"
    assert 0 < said["aborted"] <= 1_000_000


def test_a_body_beyond_max_body_bytes_is_refused_before_it_is_sent(by_uvicorn):
    head = b"POST /swallow/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 200000000\r\n\r\n"
    with raw(by_uvicorn, head) as client:
        assert client.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /about/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"FOO /about/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /about/?q=%ff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /about/?q=\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /about/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Huge: " + b"x" * 60_000 + b"\r\n\r\n",
        b"GET /about/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: \xff\xfe=;;=\r\n\r\n",
        b"POST /form/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /form/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n",
        b"POST /form/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ],
    ids=["host", "method", "escape", "query", "path", "huge", "cookie", "negative", "length", "chunks", "noise"],
)
def test_what_an_attacker_sends_ends_neither_server_nor_worker(server, ask, request_):
    with raw(server, request_) as client:
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            client.recv(4096)
    assert ask("GET", "/cookies/").read() == b"cookies"


def test_daphnes_header_names_the_root_path(by_daphne):
    request = b"GET /site/about/ HTTP/1.0\r\nHost: 127.0.0.1\r\nDaphne-Root-Path: /site\r\n\r\n"
    with raw(by_daphne, request) as client, client.makefile("rb") as answer:
        assert b'"path": "/site/about/", "path_info": "/about/"' in answer.read()

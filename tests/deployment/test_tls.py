"""TLS with certificates on both sides, and ACL users, on real connections of every kind."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from celery import Celery
from django.core.cache import caches
from django.test import override_settings

from chancelery.deployment import Deployment, connections, scripts, wire
from chancelery.exceptions import LayerUnavailable
from tests.deployment.certificates import Certificates, make_certificates
from tests.deployment.encrypted import redis_with_tls, tls_front, tls_server

PASSWORD = "p@ss/w:o%rd?"
BINARY = redis_with_tls()
ECHO = scripts.Script("", "return {KEYS[1], ARGV[1]}")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=["front", "server"] if BINARY else ["front"])
def port(
    request: pytest.FixtureRequest, redis_url: str, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """Of a server that speaks TLS only."""
    if request.param == "front":
        opened = tls_front(urlsplit(redis_url).port or 0, certificates)
    else:
        opened = tls_server(BINARY or "", certificates, tmp_path_factory.mktemp("server"))
    with opened as port:
        yield port


@pytest.fixture(scope="module")
def url(port: int, certificates: Certificates) -> Iterator[str]:
    """As Deployment writes it out: an ACL user that may touch one site's keys, and the certificates."""
    own = f"ssl_certfile={certificates.client}&ssl_keyfile={certificates.client_key}"
    files = f"ssl_ca_certs={certificates.authority}&{own}"
    admin = f"rediss://127.0.0.1:{port}?{files}"
    client = connections.sync_client(admin)
    may = ("+@all", "-@dangerous", "+info", "~site:*", "&*")
    client.execute_command("ACL", "SETUSER", "site", "reset", "on", f">{PASSWORD}", *may)
    found = f"rediss://site:{quote(PASSWORD, safe='')}@127.0.0.1:{port}?{files}"
    yield Deployment(found).address.for_redis()
    client.execute_command("ACL", "DELUSER", "site")
    connections.close_sync(admin)
    connections.close_sync(Deployment(found).address.for_redis())
    wire.close_thread_wire(Deployment(found).address.for_redis())


def test_threads_use_it(url: str) -> None:
    found = wire.thread_wire(url)
    assert found.run(ECHO, "site:k", ["a"]) == [b"site:k", b"a"]
    assert found.run_after(("BLPOP", "site:empty", 0.01), ECHO, "site:k", ["b" * 100_000]) == [
        b"site:k",
        b"b" * 100_000,
    ]
    assert found.call("ACL", "WHOAMI") == b"site"


def test_event_loops_use_it(url: str) -> None:
    async def scenario() -> None:
        found = wire.loop_wire(url)
        answers = await asyncio.gather(*(found.run(ECHO, "site:k", [str(n) * 10_000]) for n in range(9)))
        assert [answer[1][:1] for answer in answers] == [str(n).encode() for n in range(9)]
        assert await found.run_after(("BLPOP", "site:empty", 0.01), ECHO, "site:k", ["b"]) == [b"site:k", b"b"]
        found.close()
        assert await found.call("ACL", "WHOAMI") == b"site", "it connects again"
        wire.close_loop_wires(url)

    asyncio.run(scenario())


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's own call
def test_celery_and_the_cache_use_it_with_the_same_certificates(url: str) -> None:
    settings = Deployment(url, prefix="site").django_settings(routing=[])
    app = Celery("site", set_as_current=False)
    app.config_from_object(types.SimpleNamespace(**settings), namespace="CELERY")
    with override_settings(**settings):
        caches["default"].set("key", "value")
        assert caches["default"].get("key") == "value"
    with app:
        app.send_task("nothing")
        app.backend.store_result("an-id", 1, "SUCCESS")
        assert app.backend.get_result("an-id") == 1
        app.backend.client.close()
        app.close()


def without_certificate(url: str) -> str:
    return "&".join(part for part in url.split("&") if not part.startswith(("ssl_certfile", "ssl_keyfile")))


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (lambda url: url.partition("?")[0], "certificate verify failed"),
        (without_certificate, "does not answer"),
        (lambda url: url.replace("rediss://", "redis://").partition("?")[0], "does not answer"),
        (lambda url: url.replace("o%25rd", "wrong"), "invalid username-password pair"),
    ],
    ids=["unknown authority", "no certificate", "no TLS", "wrong password"],
)
def test_what_is_refused_is_reported_without_the_password(
    changed: Callable[[str], str], complaint: str, url: str
) -> None:
    bad = changed(url)
    with pytest.raises(LayerUnavailable, match=complaint) as caught:
        wire.thread_wire(bad).call("PING")
    assert "p%40ss" not in str(caught.value)
    wire.close_thread_wire(bad)


def test_an_event_loop_refuses_a_server_that_it_does_not_know(url: str) -> None:
    async def scenario() -> None:
        with pytest.raises(LayerUnavailable, match="certificate verify failed"):
            await wire.loop_wire(url.partition("?")[0]).call("PING")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("redis://h", "redis://h"),
        ("redis://u:s3cret@h:1/0", "redis://***@h:1/0"),
        ("redis://:s3/cr@et@h", "redis://***@h"),
        ("redis://:s3\ncr@et@h", "redis://***@h"),
        ("redis://h?username=u&password=s3cret&db=1", "redis://h?username=u&password=***&db=1"),
        ("unix://:s3cret@/run/a.sock", "unix://***@/run/a.sock"),
    ],
)
def test_what_is_shown_of_a_url_has_no_password(written: str, shown: str, tmp_path: Path) -> None:
    assert connections.without_password(written) == shown

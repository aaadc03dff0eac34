"""The whole site in a test: real sockets and requests, a real gateway, real workers."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from django.contrib.auth.models import Group as Role
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from chancelery import Channel, Group, channel_layers, route
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.layers.redis import RedisChannelLayer
from chancelery.test import ChannelLiveServerTestCase, LiveServer, apply_routes
from tests.kit.site import LAYERS, MEMORY
from tests.kit.test_cases import outcome_of

PATIENCE = 30
pytestmark = pytest.mark.xdist_group("live")


STATIC = "live.txt"


def opened(url, **options):
    return connect(url, open_timeout=PATIENCE, **options)


def stored(message):
    role = Role.objects.create(name=message["text"])
    message.reply_channel.send({"text": str(role.pk)})


async def counted(message):
    message.reply_channel.send({"text": str(await Role.objects.acount())})


def relayed(message):
    Channel("elsewhere", alias="other").send({"to": message.reply_channel.name})


def arrived(message):
    Channel(message["to"]).send({"text": "by the other layer"})


STORING = [
    route("websocket.receive", stored, path="^/store/$"),
    route("websocket.receive", counted, path="^/count/$"),
    route("websocket.receive", relayed, path="^/relay/$"),
]


@override_settings(
    CHANNEL_LAYERS=LAYERS,
    ROOT_URLCONF="tests.kit.urls",
    STATIC_URL="/static/",
    STATICFILES_DIRS=[Path(__file__).parent / "static"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.staticfiles", "chancelery"],
    ALLOWED_HOSTS=[],
)
class SiteTests(ChannelLiveServerTestCase):
    def test_sockets_are_served(self):
        assert isinstance(channel_layers["default"].layer, InMemoryChannelLayer)
        url = f"{self.live_server_ws_url}/rooms/den/"
        with opened(url) as one, opened(url, origin=self.live_server_url) as two:
            one.send("hello")
            assert [one.recv(PATIENCE), two.recv(PATIENCE)] == ["hello", "hello"]
            Group("den").send({"text": "later"}, delay=0.05)
            Group("den").send({"text": "from the test"})
            assert [two.recv(PATIENCE), two.recv(PATIENCE)] == ["from the test", "later"]
        with pytest.raises(InvalidStatus, match="403"):
            opened(f"{self.live_server_ws_url}/denied/")
        with pytest.raises(InvalidStatus, match="403"):
            opened(url, origin="http://evil.example")

    def test_pages_and_static_files_are_served(self):
        url = f"{self.live_server_url}/hello/?name=ann"
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            assert response.read() == b"hello ann"
        with urllib.request.urlopen(f"{self.live_server_url}/static/{STATIC}", timeout=PATIENCE) as response:
            assert response.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{self.live_server_url}/static/{STATIC}.none", timeout=PATIENCE)

    @apply_routes(STORING)
    def test_consumers_plain_and_async_and_the_test_share_the_database_in_memory(self):
        Role.objects.create(name="by the test")
        with opened(f"{self.live_server_ws_url}/store/") as client:
            client.send("by a consumer")
            key = client.recv(PATIENCE)
        assert Role.objects.get(pk=key).name == "by a consumer"
        with opened(f"{self.live_server_ws_url}/count/") as client:
            client.send("?")
            assert client.recv(PATIENCE) == "2"

    @apply_routes(STORING)
    def test_nothing_is_left_in_the_database_from_test_to_test(self):
        with opened(f"{self.live_server_ws_url}/count/") as client:
            client.send("?")
            assert client.recv(PATIENCE) == "0"


@override_settings(CHANNEL_LAYERS=LAYERS)
class SeveralLayersTests(ChannelLiveServerTestCase):
    test_channel_aliases = ("default", "other")

    @apply_routes(STORING)
    @apply_routes({"elsewhere": arrived}, aliases=["other"])
    def test_every_layer_has_its_workers(self):
        with opened(f"{self.live_server_ws_url}/relay/") as client:
            client.send("?")
            assert client.recv(PATIENCE) == "by the other layer"


def test_the_layer_of_a_live_site_is_made_as_test_config_says(redis_url, settings, transactional_db):
    config = {"BACKEND": "chancelery.layers.redis", "ROUTING": "tests.kit.consumers.routing"}
    settings.CHANNEL_LAYERS = {"default": {**config, "CONFIG": {"hosts": ["redis://127.0.0.1:1"]}}}
    settings.CHANNEL_LAYERS["default"]["TEST_CONFIG"] = {"hosts": [redis_url], "prefix": "kit:"}
    with LiveServer() as server, opened(f"{server.ws_url}/rooms/den/") as client:
        layer = channel_layers["default"].layer
        assert isinstance(layer, RedisChannelLayer)
        assert layer.prefix.startswith("kit:")
        client.send("hello")
        assert client.recv(PATIENCE) == "hello"
    leftover = channel_layers.make_test_backend("default")
    assert leftover.layer.prefix.startswith("kit:")
    assert leftover.layer.prefix != layer.prefix
    assert layer.global_statistics()["messages_count"] == 0
    layer.close()


@pytest.mark.usefixtures("small_site")
class TestFixtures:
    def test_the_site_is_a_fixture(self, channel_live_server):
        with opened(f"{channel_live_server.ws_url}/rooms/den/") as client:
            client.send(json.dumps("hello"))
            assert json.loads(client.recv(PATIENCE)) == "hello"


def test_a_failing_live_test_is_over_at_once_and_its_sockets_are_closed(settings, transactional_db):
    class Failing(ChannelLiveServerTestCase):
        def test_it(self):
            clients.append(stack.enter_context(opened(f"{self.live_server_ws_url}/rooms/den/")))
            raise LookupError("in the test")

    settings.CHANNEL_LAYERS = LAYERS
    clients = []
    with contextlib.ExitStack() as stack:
        [(_, told)] = outcome_of(Failing).errors
        with pytest.raises(ConnectionClosed):
            clients[0].recv(PATIENCE)
    assert "in the test" in told
    assert clients[0].close_code == 1012
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("worker", "live worker"))]


def test_a_consumer_that_does_not_end_is_an_error_of_the_test(settings, transactional_db):
    def stuck(message):
        begun.set()
        release.wait(PATIENCE)

    class Stuck(ChannelLiveServerTestCase):
        @apply_routes({"websocket.receive": stuck})
        def test_it(self):
            with opened(self.live_server_ws_url) as client:
                client.send("?")
                assert begun.wait(PATIENCE)

    begun, release = threading.Event(), threading.Event()
    settings.CHANNEL_LAYERS = LAYERS
    settings.CHANCELERY = {"DRAIN_SECONDS": 0.2}
    try:
        [(_, told)] = outcome_of(Stuck).errors
    finally:
        release.set()
    assert "a consumer was still running 0.2 seconds after the end of the test" in told


def test_several_threads_and_one_connection_are_refused(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": MEMORY, "ROUTING": []}}
    with LiveServer(worker_threads=2) as server, pytest.raises(ImproperlyConfigured, match="worker_threads = 2"):
        _ = server.url


def test_routes_that_cannot_be_used_are_said_by_the_first_look_at_an_address(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": MEMORY, "ROUTING": "nowhere.routing"}}
    with LiveServer() as server, pytest.raises(ImproperlyConfigured, match="nowhere"):
        _ = server.ws_url


def test_between_tests_nobody_is_served(settings, transactional_db):
    settings.CHANNEL_LAYERS = LAYERS
    with LiveServer() as server:
        url, ws_url = server.url, server.ws_url
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(url, timeout=PATIENCE)
    with pytest.raises(InvalidStatus, match="403"):
        opened(ws_url)

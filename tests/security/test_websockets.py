"""Decorators that turn away pages of other sites."""

from __future__ import annotations

import asyncio

import pytest

from chancelery.exceptions import DenyConnection
from chancelery.generic.websockets import WebsocketConsumer
from chancelery.message import Message
from chancelery.routing import is_async
from chancelery.security.websockets import AllowedHostsOnlyOriginValidator, BaseOriginValidator, allowed_hosts_only
from tests.routed import received, routed


@pytest.fixture
def wrapper():
    with routed() as wrapper:
        yield wrapper


@pytest.fixture
def connecting(wrapper):
    """A connect message with the Origin headers that are given; `host` is what the browser had asked for."""

    def make(*origins, host=b"example.com", scheme="ws"):
        headers = [[b"host", host], *([b"origin", origin] for origin in origins)]
        return Message({"reply_channel": "gw!one", "headers": headers, "scheme": scheme}, "websocket.connect", wrapper)

    return make


@allowed_hosts_only
def consumer(message, **kwargs):
    return kwargs


def is_admitted(message):
    try:
        consumer(message)
    except DenyConnection:
        return False
    return True


NOT_ADMITTED = [b"http://evil.net", b"null", b"http://", b"http://[::1", b"example.com", b"http://example.com.evil.net"]


@pytest.mark.parametrize(
    "origins",
    [(), (b"",), (b"http://ex\xc3\xa4mple.com",), (b"http://example.com",) * 2, *([each] for each in NOT_ADMITTED)],
)
def test_an_origin_that_is_missing_empty_not_ascii_or_not_allowed_denies_the_connection(connecting, settings, origins):
    settings.ALLOWED_HOSTS = ["example.com"]
    assert not is_admitted(connecting(*origins))


def test_an_origin_of_an_allowed_host_is_admitted(connecting, settings):
    settings.ALLOWED_HOSTS = ["example.com", ".example.org"]
    assert consumer(connecting(b"http://example.com"), room="a") == {"room": "a"}
    assert is_admitted(connecting(b"http://www.example.org"))
    assert is_admitted(connecting(b"https://EXAMPLE.com"))


@pytest.mark.parametrize(
    ("origin", "socket", "admitted"),
    [
        (b"http://example.com", "wss://example.com", False),
        (b"https://example.com", "wss://example.com", True),
        (b"https://example.com", "ws://example.com", True),  # a proxy ends TLS
        (b"ftp://example.com", "ws://example.com", False),
        (b"chrome-extension://example.com", "ws://example.com", False),
        (b"http://example.com:8000", "ws://example.com:8000", True),
        (b"http://example.com:8001", "ws://example.com:8000", False),
        (b"http://example.com", "ws://example.com:8000", False),
        (b"http://example.com:8000", "ws://example.com", False),
        (b"https://example.com:8443", "wss://example.com:8443", True),
        (b"https://example.com:443", "wss://example.com", True),
        (b"http://example.com", "ws://example.com:80", True),
        (b"http://[::1]:8000", "ws://[::1]:8000", True),
        (b"http://[::1]:8000", "ws://[::1]", False),
    ],
)
def test_the_scheme_and_port_of_the_origin_count(connecting, settings, origin, socket, admitted):
    """Fault 8: both were ignored."""
    settings.ALLOWED_HOSTS = ["example.com", "[::1]"]
    scheme, _, host = socket.partition("://")
    assert is_admitted(connecting(origin, host=host.encode(), scheme=scheme)) is admitted


def test_the_port_does_not_count_where_the_server_does_not_tell_it(connecting, settings):
    settings.ALLOWED_HOSTS = ["example.com"]
    settings.USE_X_FORWARDED_HOST = True
    message = connecting(b"http://example.com:8000", host=b"backend:9")
    assert is_admitted(message)
    message.content["headers"].append([b"x-forwarded-host", b"example.com:8000"])
    assert is_admitted(message)
    message.content["headers"][-1][1] = b"example.com"
    assert not is_admitted(message)


def test_an_origin_that_csrf_trusts_is_admitted_whatever_its_port(connecting, settings):
    settings.ALLOWED_HOSTS = ["example.com"]
    settings.CSRF_TRUSTED_ORIGINS = ["http://example.com:8000", "https://*.partner.net"]
    assert is_admitted(connecting(b"http://example.com:8000", host=b"example.com:8001"))
    assert is_admitted(connecting(b"https://www.partner.net"))
    assert not is_admitted(connecting(b"http://www.partner.net"))


@pytest.mark.parametrize(
    ("host", "admitted"),
    [(b"localhost", True), (b"app.localhost", True), (b"127.0.0.1", True), (b"[::1]", True), (b"example.com", False)],
)
def test_debug_with_empty_allowed_hosts_allows_localhost_in_all_forms(connecting, settings, host, admitted):
    settings.DEBUG = True
    settings.ALLOWED_HOSTS = []
    assert is_admitted(connecting(b"http://" + host + b":8000", host=host + b":8000")) is admitted
    settings.DEBUG = False
    assert not is_admitted(connecting(b"http://" + host + b":8000", host=host + b":8000"))


def test_methods_can_be_decorated(connecting, settings, wrapper):
    """Fault 8: the decorator was no descriptor, and got no `self`."""
    settings.ALLOWED_HOSTS = ["example.com"]

    class Prices(WebsocketConsumer):
        @allowed_hosts_only
        def connect(self, message, **kwargs):
            """Say hello."""
            self.send(text=f"hello {kwargs['name']}")

    Prices(connecting(b"http://example.com"), name="ann")
    assert received(wrapper.layer, "gw!") == [{"text": "hello ann"}]
    with pytest.raises(DenyConnection):
        Prices(connecting(b"http://evil.net"), name="ann")
    assert received(wrapper.layer, "gw!") == []
    assert isinstance(Prices.connect, AllowedHostsOnlyOriginValidator)
    assert (Prices.connect.__name__, Prices.connect.__doc__) == ("connect", "Say hello.")


def test_async_consumers_can_be_decorated(connecting, settings):
    settings.ALLOWED_HOSTS = ["example.com"]

    @allowed_hosts_only
    async def consumer(message):
        return "called"

    assert is_async(consumer)
    assert not is_async(allowed_hosts_only(print))
    assert asyncio.run(consumer(connecting(b"http://example.com"))) == "called"
    with pytest.raises(DenyConnection):
        asyncio.run(consumer(connecting(b"http://evil.net")))


def test_a_validator_of_ones_own_says_which_origins_are_valid(connecting):
    class PartnersOnly(BaseOriginValidator):
        def validate_origin(self, message, origin):
            return origin == "https://partner.example" and self.get_header(message, b"host") == [b"example.com"]

    @PartnersOnly
    def consumer(message):
        return "called"

    assert consumer(connecting(b"https://partner.example")) == "called"
    with pytest.raises(DenyConnection):
        consumer(connecting(b"https://other.example"))
    with pytest.raises(KeyError, match="no header named b'cookie'"):
        consumer.get_header(connecting(), b"cookie")


def test_the_base_says_that_a_validator_is_missing(connecting):
    """Fault 8: it raised a TypeError, by calling NotImplemented."""
    with pytest.raises(NotImplementedError, match="BaseOriginValidator does not say which origins are valid"):
        BaseOriginValidator(print)(connecting(b"http://example.com"))


def test_what_is_no_message_is_refused():
    with pytest.raises(ValueError, match="AllowedHostsOnlyOriginValidator is for consumers"):
        consumer("no message")

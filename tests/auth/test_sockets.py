"""A logout reaches a real socket: daphne as a process, a worker, the web's side here, and one Valkey between them."""

from __future__ import annotations

import threading

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chancelery import route
from chancelery.auth import addresses, channel_session_user, channel_session_user_from_http
from chancelery.deployment.connections import sync_client
from chancelery.exceptions import DenyConnection
from chancelery.registry import channel_layers
from chancelery.sessions import channel_session
from chancelery.worker import Worker
from tests.auth.conftest import logged_in
from tests.gateway.servers.processes import PATIENCE, daphne, until

pytestmark = pytest.mark.django_db(transaction=True)

PREFIX = "users:"


@channel_session_user_from_http
def connect(message):
    if not message.user.is_authenticated:
        raise DenyConnection
    message.channel_session["name"] = message.user.get_username()


@channel_session_user
def receive(message):
    message.reply_channel.send({"text": f"{message.channel_session['name']} is {message.user}"})


@channel_session
def disconnect(message):
    """The session is removed with the socket."""


@pytest.fixture(scope="module")
def server(redis_url):
    with daphne(redis_url, f"{PREFIX}l:") as server:
        server.port  # noqa: B018 - waits until it listens
        yield server


@pytest.fixture(autouse=True)
def worker(settings, redis_url):
    """A worker in a thread, and the settings of the web's side."""
    settings.CHANCELERY = {"CLOSE_ON_LOGOUT": True}
    settings.SESSION_ENGINE = settings.CHANNEL_SESSION_ENGINE = "chancelery.sessions.redis"
    settings.CHANCELERY_SESSIONS = {"URL": redis_url, "PREFIX": f"{PREFIX}s:"}
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "chancelery.layers.redis",
            "CONFIG": {"hosts": [redis_url], "prefix": f"{PREFIX}l:"},
            "ROUTING": [
                route("websocket.connect", connect),
                route("websocket.receive", receive),
                route("websocket.disconnect", disconnect),
            ],
        }
    }
    worker = Worker(channel_layers["default"], threads=2)
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield
    worker.stop()
    thread.join()


def cookies(browser):
    return {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}


def close_code(socket):
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(PATIENCE)
    return closed.value.rcvd.code


def test_a_logout_or_deactivation_closes_the_sockets_it_concerns_and_leaves_nothing(server, user, redis_url):
    """Faults 4 and 17, with the parts of a deployment."""
    browser, another = logged_in(user), logged_in(user)
    with (
        server.connect(additional_headers=cookies(browser)) as one,
        server.connect(additional_headers=cookies(another)) as two,
    ):
        for socket in (one, two):
            socket.send("who am I?")
            assert socket.recv(PATIENCE) == "ann is ann"
        browser.logout()
        assert close_code(one) == 4401
        two.send("who am I?")
        assert two.recv(PATIENCE) == "ann is ann"
        user.is_active = False
        user.save()
        assert close_code(two) == 4401
    client = sync_client(redis_url)
    kept = f"{PREFIX}s:{another.cookies['sessionid'].value}".encode()
    until(lambda: list(client.scan_iter(match=f"{PREFIX}s:*")) == [kept])
    until(lambda: channel_layers["default"].layer.group_channels(addresses.of_user(user)) == [])


def test_who_is_not_logged_in_is_turned_away(server, user):
    browser = logged_in(user)
    headers = cookies(browser)
    browser.logout()
    for given in ({}, headers):
        with pytest.raises(InvalidStatus), server.connect(additional_headers=given):
            raise AssertionError("it is let in")

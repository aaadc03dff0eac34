"""Messages of a socket, on a layer in memory."""

from __future__ import annotations

import pytest
from django.contrib.sessions.backends.db import SessionStore

from chancelery.message import Message
from tests.routed import routed

BACKENDS = "django.contrib.sessions.backends"


@pytest.fixture
def wrapper():
    with routed() as wrapper:
        yield wrapper


@pytest.fixture
def a_message(wrapper):
    def make(channel="websocket.receive", reply_channel="gw!one", **content):
        return Message({"reply_channel": reply_channel, **content}, channel, wrapper)

    return make


def cookie(key, name="sessionid"):
    """The headers of a handshake that names a session."""
    return [[b"host", b"testserver"], [b"cookie", f"theme=dark; {name}={key}".encode()]]


def stored_session(**data):
    """A browser's session that exists."""
    session = SessionStore()
    session.update(data)
    session.create()
    return session

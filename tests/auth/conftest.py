"""Users, their browsers, and messages of their sockets."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.conf import settings as current
from django.test import Client

from chancelery.message import Message
from chancelery.registry import channel_layers
from tests.sessions.conftest import cookie


@pytest.fixture(autouse=True)
def layers(settings):
    """Two layers in memory; sockets are on the second."""
    layer = {"BACKEND": "chancelery.layers.memory", "ROUTING": []}
    settings.CHANNEL_LAYERS = {"default": layer, "sockets": layer}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    yield channel_layers
    channel_layers.clear()


@pytest.fixture
def user(db, django_user_model):
    return django_user_model.objects.create_user("ann", password="secret")


@pytest.fixture
def browser(user):
    """A browser in which the user is logged in."""
    return logged_in(user)


@pytest.fixture
def a_message(layers):
    def make(channel="websocket.receive", reply_channel="gw!one", browser=None, **content):
        if browser is not None:
            content["headers"] = cookie(browser.cookies["sessionid"].value)
        return Message({"reply_channel": reply_channel, **content}, channel, layers["sockets"])

    return make


def logged_in(user):
    browser = Client()
    browser.force_login(user)
    return browser


def session_of(browser):
    return import_module(current.SESSION_ENGINE).SessionStore(browser.cookies["sessionid"].value)

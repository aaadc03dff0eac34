"""`RECHECK_USER`: each message of a socket is checked for its user being logged in still (fault 4)."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from chancelery.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    http_session_user,
)
from chancelery.exceptions import WebsocketCloseException
from tests.auth.conftest import session_of

pytestmark = pytest.mark.django_db

DECORATORS = [channel_session_user, channel_session_user_from_http, channel_and_http_session_user_from_http]


@pytest.fixture(autouse=True)
def switched_on(settings):
    settings.CHANCELERY = {"RECHECK_USER": True}


@pytest.fixture
def open_socket(a_message, browser):
    def connect(decorator):
        first = channel_session_user_from_http if decorator is channel_session_user else decorator
        first(repr)(a_message("websocket.connect", browser=browser))

    return connect


def whoever(message):
    return message.user.get_username() or None


@pytest.mark.parametrize("decorator", DECORATORS)
def test_a_message_of_a_user_who_is_logged_in_still_is_handled(a_message, open_socket, decorator):
    open_socket(decorator)
    assert decorator(whoever)(a_message()) == "ann"


def log_out(browser):
    browser.logout()


def deactivate(_):
    get_user_model().objects.update(is_active=False)


def delete(_):
    get_user_model().objects.all().delete()


def change_password(_):
    get_user_model().objects.update(password="another")


@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize("happen", [log_out, deactivate, delete, change_password])
def test_a_message_of_a_user_who_is_not_closes_the_socket(a_message, open_socket, browser, decorator, happen):
    open_socket(decorator)
    happen(browser)
    handled = []
    with pytest.raises(WebsocketCloseException) as raised:
        decorator(handled.append)(a_message())
    assert raised.value.code == 4401
    assert handled == []


@pytest.mark.parametrize("decorator", [channel_session_user, channel_session_user_from_http])
def test_a_browser_in_which_somebody_else_has_logged_in_meanwhile_is_closed(a_message, open_socket, browser, decorator):
    open_socket(decorator)
    found = session_of(browser)
    other = get_user_model().objects.create_user("bob")
    found.update({"_auth_user_id": str(other.pk), "_auth_user_hash": other.get_session_auth_hash()})
    found.save()
    with pytest.raises(WebsocketCloseException):
        decorator(repr)(a_message())


def test_what_was_sent_on_to_another_channel_is_checked_too(a_message, open_socket, browser):
    open_socket(channel_session_user)
    assert channel_session_user(whoever)(a_message("chat.message")) == "ann"
    browser.logout()
    with pytest.raises(WebsocketCloseException):
        channel_session_user(whoever)(a_message("chat.message"))


def test_the_disconnect_consumer_is_called_in_any_case(a_message, open_socket, browser):
    open_socket(channel_session_user)
    browser.logout()
    assert channel_session_user(lambda message: "called")(a_message("websocket.disconnect")) == "called"


def test_sockets_of_nobody_are_let_alone(a_message):
    for decorator in [*DECORATORS, http_session_user]:
        assert decorator(whoever)(a_message("websocket.connect")) is None
        assert decorator(whoever)(a_message()) is None

"""Who is at the other end: `message.user`, by each decorator."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.test import Client

from chancelery import auth, sessions
from chancelery.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    http_session_user,
    transfer_user,
)
from chancelery.sessions import channel_session, http_session, session_for_reply_channel
from tests.auth.conftest import logged_in, session_of

pytestmark = pytest.mark.django_db

DECORATORS = [
    channel_session_user,
    http_session_user,
    channel_session_user_from_http,
    channel_and_http_session_user_from_http,
]


def whoever(message):
    return message.user.get_username() or None


@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize("channel", ["websocket.connect", "websocket.receive", "websocket.disconnect"])
def test_the_user_is_anonymous_where_nobody_is_known(a_message, decorator, channel):
    message = a_message(channel)
    assert decorator(lambda message: isinstance(message.user, AnonymousUser))(message)
    message = a_message(channel, browser=_visitor())
    assert decorator(lambda message: isinstance(message.user, AnonymousUser))(message)


def test_http_session_user_is_whom_the_browsers_session_knows(a_message, browser, user):
    assert http_session_user(whoever)(a_message("websocket.connect", browser=browser)) == "ann"
    assert http_session_user(whoever)(a_message()) is None


def test_channel_session_user_is_whom_the_channel_session_knows(a_message, browser):
    @channel_session
    def log_in(message):
        transfer_user(session_of(browser), message.channel_session)

    assert channel_session_user(whoever)(a_message("websocket.connect", browser=browser)) is None
    log_in(a_message())
    assert channel_session_user(whoever)(a_message()) == "ann"
    assert channel_session_user(whoever)(a_message(reply_channel="gw!two")) is None


def test_channel_session_user_from_http_knows_the_user_of_the_handshake_from_then_on(a_message, browser):
    assert channel_session_user_from_http(whoever)(a_message("websocket.connect", browser=browser)) == "ann"
    assert channel_session_user(whoever)(a_message()) == "ann"
    assert channel_session_user_from_http(whoever)(a_message()) == "ann"
    assert channel_session_user(whoever)(a_message("websocket.disconnect")) == "ann"
    assert channel_session_user(whoever)(a_message()) is None


def test_channel_and_http_session_user_from_http_sees_a_logout_at_the_next_message(a_message, browser):
    """Fault 4: a logout was unseen by open sockets."""
    consumer = channel_and_http_session_user_from_http(whoever)
    assert consumer(a_message("websocket.connect", browser=browser)) == "ann"
    assert consumer(a_message()) == "ann"
    browser.logout()
    assert consumer(a_message()) is None


@pytest.mark.parametrize("decorator", DECORATORS[1:])
def test_a_user_who_was_deactivated_or_has_a_new_password_is_nobody(a_message, browser, user, decorator):
    user.is_active = False
    user.save()
    assert decorator(whoever)(a_message("websocket.connect", browser=browser)) is None
    user.is_active = True
    user.set_password("another")
    user.save()
    assert decorator(whoever)(a_message("websocket.connect", reply_channel="gw!two", browser=browser)) is None


def test_the_channel_session_stays_usable_when_django_empties_it_for_a_new_password(a_message, browser, user):
    """Fault 17: Django's flush took its key away."""
    channel_session_user_from_http(whoever)(a_message("websocket.connect", browser=browser))
    user.set_password("another")
    user.save()

    @channel_session_user
    def go_on(message):
        assert not message.user.is_authenticated
        message.channel_session["seen"] = True

    go_on(a_message())
    assert dict(session_for_reply_channel("gw!one").items()) == {"seen": True}


def test_a_secret_key_that_was_replaced_logs_nobody_out_of_the_site(a_message, browser, settings):
    """Fault 17: Django's new key for the session was one that the browser never learned of."""
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"
    settings.SESSION_SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"
    consumer = channel_session_user_from_http(whoever)
    assert consumer(a_message("websocket.connect", browser=browser)) == "ann"
    assert Session.objects.filter(pk=browser.cookies["sessionid"].value).exists()
    assert consumer(a_message()) == "ann"


def test_the_user_is_not_read_unless_looked_at(a_message, browser, django_assert_num_queries):
    channel_session_user_from_http(whoever)(a_message("websocket.connect", browser=browser))
    with django_assert_num_queries(0):
        channel_session_user(repr)(a_message())


@pytest.mark.parametrize("outer", [channel_session, http_session, *DECORATORS])
@pytest.mark.parametrize("inner", [channel_session, http_session, *DECORATORS])
def test_user_decorators_nest_in_any_order(a_message, browser, outer, inner):
    @outer
    @channel_session_user_from_http
    @inner
    def consumer(message, **kwargs):
        return whoever(message), kwargs

    assert consumer(a_message("websocket.connect", browser=browser), a="1") == ("ann", {"a": "1"})
    assert consumer(a_message()) == ("ann", {})


@pytest.mark.parametrize("decorator", DECORATORS)
def test_user_decorators_are_for_methods_and_not_for_async_functions(a_message, decorator):
    class Consumer:
        @decorator
        def connect(self, message, **kwargs):
            return kwargs

    assert Consumer().connect(a_message("websocket.connect"), room="a") == {"room": "a"}

    async def consumer(message): ...

    with pytest.raises(TypeError, match=f"{decorator.__name__} decorates a plain def"):
        decorator(consumer)


def test_transfer_user_carries_over_the_user_alone(browser):
    found = session_of(browser)
    found["cart"] = []
    to = SessionBase()
    transfer_user(found, to)
    assert to.keys() == {"_auth_user_id", "_auth_user_backend", "_auth_user_hash"}
    transfer_user(SessionBase(), to)
    assert to["_auth_user_id"] == found["_auth_user_id"]


def test_a_user_may_be_another_in_each_browser(a_message, browser, django_user_model):
    other = logged_in(django_user_model.objects.create_user("bob"))
    consumer = channel_session_user_from_http(whoever)
    assert consumer(a_message("websocket.connect", browser=browser)) == "ann"
    assert consumer(a_message("websocket.connect", reply_channel="gw!two", browser=other)) == "bob"
    assert consumer(a_message()) == "ann"


@pytest.mark.parametrize("name", [decorator.__name__ for decorator in DECORATORS] + ["transfer_user"])
def test_the_names_are_also_where_the_talk_looks_for_them(name):
    assert getattr(sessions, name) is getattr(auth, name)


def test_no_other_name_is():
    with pytest.raises(AttributeError, match=r"'chancelery.sessions' has no attribute 'user'"):
        sessions.user  # noqa: B018 - it raises


def _visitor():
    """A browser with a session in which nobody is logged in."""
    browser = Client()
    session = browser.session
    session["cart"] = []
    session.save()
    return browser

"""The browser's own session, for consumers."""

from __future__ import annotations

import pytest
from django.contrib.sessions.backends import signed_cookies
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session

from chancelery.sessions import channel_and_http_session, channel_session, http_session
from tests.sessions.conftest import BACKENDS, cookie, stored_session

pytestmark = pytest.mark.django_db


@http_session
def look(message):
    return message.http_session and dict(message.http_session.items())


@http_session
def change(message):
    message.http_session["seen"] = True


def test_http_session_is_the_one_of_the_cookie(a_message):
    key = stored_session(cart=[1, 2]).session_key
    assert look(a_message("websocket.connect", headers=cookie(key))) == {"cart": [1, 2]}


def test_the_cookie_has_the_name_of_the_settings(a_message, settings):
    settings.SESSION_COOKIE_NAME = "site"
    key = stored_session(cart=[]).session_key
    assert look(a_message("websocket.connect", headers=cookie(key, name="site"))) == {"cart": []}
    assert look(a_message("websocket.connect", headers=cookie(key))) is None


def test_several_cookie_headers_are_read(a_message):
    key = stored_session(cart=[]).session_key
    headers = [[b"cookie", b"a=b"], [b"cookie", f"sessionid={key}".encode()], [b"cookie", b"c=d"]]
    assert look(a_message("websocket.connect", headers=headers)) == {"cart": []}


@pytest.mark.parametrize(
    "content",
    [{}, {"headers": []}, {"headers": cookie("")}, {"headers": cookie("x" * 32)}, {"headers": cookie("short")}],
    ids=["no headers", "no cookie", "empty", "unknown", "short"],
)
def test_http_session_is_none_without_a_session_that_exists(a_message, content):
    assert look(a_message("websocket.connect", **content)) is None
    assert not Session.objects.exists()


def test_what_is_changed_in_http_session_is_stored_also_when_the_consumer_raises(a_message):
    @http_session
    def fail(message):
        change(message)
        raise RuntimeError

    key = stored_session(cart=[]).session_key
    with pytest.raises(RuntimeError):
        fail(a_message("websocket.connect", headers=cookie(key)))
    assert SessionStore(key)["seen"] is True


def test_an_http_session_that_is_only_read_is_not_stored(a_message, django_assert_num_queries):
    key = stored_session(cart=[]).session_key
    with django_assert_num_queries(1):
        look(a_message("websocket.connect", headers=cookie(key)))


def test_an_http_session_keeps_its_key_since_the_browser_would_not_learn_of_another(a_message):
    @http_session
    def cycle(message):
        message.http_session.cycle_key()
        message.http_session["seen"] = True

    key = stored_session(cart=[]).session_key
    cycle(a_message("websocket.connect", headers=cookie(key)))
    assert dict(SessionStore(key).items()) == {"cart": [], "seen": True}


def test_a_session_that_a_consumer_removes_stays_removed(a_message):
    @http_session
    def flush(message):
        message.http_session.flush()
        message.http_session["seen"] = True

    flush(a_message("websocket.connect", headers=cookie(stored_session().session_key)))
    assert not Session.objects.exists()


def test_a_session_that_was_removed_meanwhile_is_not_brought_back(a_message, caplog):
    @http_session
    def change_late(message):
        message.http_session["seen"] = True
        SessionStore(message.http_session.session_key).flush()

    change_late(a_message("websocket.connect", headers=cookie(stored_session().session_key)))
    assert not Session.objects.exists()
    assert "a logout, or the like, has removed it" in caplog.text


def test_sessions_in_cookies_can_be_read_but_not_changed(a_message, settings, caplog):
    settings.SESSION_ENGINE = f"{BACKENDS}.signed_cookies"
    session = signed_cookies.SessionStore()
    session["cart"] = []
    session.save()
    message = a_message("websocket.connect", headers=cookie(session.session_key))
    assert look(message) == {"cart": []}
    assert not caplog.text
    change(a_message("websocket.connect", headers=cookie(session.session_key)))
    assert "SESSION_ENGINE keeps it in a cookie" in caplog.text
    assert look(a_message("websocket.connect", headers=cookie("forged:forged:forged"))) is None


def test_a_session_key_in_the_url_is_taken_only_when_that_is_switched_on(a_message, settings):
    """Fault 5: it used to be taken first, from logs and links."""
    query = f"session_key={stored_session(cart=[]).session_key}".encode()
    assert look(a_message("websocket.connect", query_string=query)) is None
    settings.CHANCELERY = {"SESSION_KEY_IN_URL": True}
    assert look(a_message("websocket.connect", query_string=query)) == {"cart": []}
    assert look(a_message("websocket.connect", query_string=b"session_key")) is None
    assert look(a_message("websocket.connect", query_string=b"\xff=%ff&session_key=%ff")) is None


def test_the_cookie_comes_before_the_url(a_message, settings):
    """Fault 5: a link made its reader somebody else."""
    settings.CHANCELERY = {"SESSION_KEY_IN_URL": True}
    query = f"session_key={stored_session(name='foreign').session_key}".encode()
    message = a_message("websocket.connect", query_string=query, headers=cookie(stored_session(name="own").session_key))
    assert look(message) == {"name": "own"}


@channel_and_http_session
def look_at_both(message):
    message.channel_session["frames"] = message.channel_session.get("frames", 0) + 1
    return message.channel_session["frames"], look(message)


def test_channel_and_http_session_has_both_on_later_messages_too(a_message):
    key = stored_session(cart=[1]).session_key
    assert look_at_both(a_message("websocket.connect", headers=cookie(key))) == (1, {"cart": [1]})
    assert look_at_both(a_message()) == (2, {"cart": [1]})
    SessionStore(key).flush()
    assert look_at_both(a_message()) == (3, None)


def test_channel_and_http_session_stores_what_a_later_message_changes(a_message):
    @channel_and_http_session
    def change_later(message):
        message.http_session["seen"] = message.channel.name

    key = stored_session().session_key
    change_later(a_message("websocket.connect", headers=cookie(key)))
    change_later(a_message())
    assert SessionStore(key)["seen"] == "websocket.receive"


@pytest.mark.parametrize("outer", [http_session, channel_session, channel_and_http_session])
@pytest.mark.parametrize("inner", [http_session, channel_session, channel_and_http_session])
def test_session_decorators_nest_in_any_order(a_message, outer, inner):
    @outer
    @channel_and_http_session
    @inner
    def consumer(message):
        message.channel_session["n"] = message.channel_session.get("n", 0) + 1
        message.http_session["n"] = message.channel_session["n"]

    key = stored_session().session_key
    consumer(a_message("websocket.connect", headers=cookie(key)))
    consumer(a_message())
    assert SessionStore(key)["n"] == 2


@pytest.mark.parametrize("decorator", [http_session, channel_and_http_session])
def test_session_decorators_are_for_methods_too(a_message, decorator):
    class Consumer:
        @decorator
        def connect(self, message, **kwargs):
            return message.http_session["cart"], kwargs

    message = a_message("websocket.connect", headers=cookie(stored_session(cart=7).session_key))
    assert Consumer().connect(message, a="1") == (7, {"a": "1"})


@pytest.mark.parametrize("decorator", [http_session, channel_and_http_session])
def test_session_decorators_refuse_async_functions_and_what_is_no_message(decorator):
    async def consumer(message): ...

    with pytest.raises(TypeError, match=f"{decorator.__name__} decorates a plain def"):
        decorator(consumer)
    with pytest.raises(ValueError, match=f"{decorator.__name__} is for consumers"):
        decorator(print)({"text": "no message"})

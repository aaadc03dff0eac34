"""A session per connection, on each of Django's engines that can hold one, and on ours."""

from __future__ import annotations

import hashlib

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from chancelery.exceptions import ConsumeLater
from chancelery.message import Message
from chancelery.sessions import channel_session, session_for_reply_channel
from tests.sessions.conftest import BACKENDS

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["db", "cache", "cached_db", "file", "redis"])
def engine(request, settings, tmp_path, redis_url):
    settings.SESSION_ENGINE = f"{BACKENDS}.{request.param}"
    if request.param == "redis":
        settings.CHANNEL_SESSION_ENGINE = "chancelery.sessions.redis"
        settings.CHANCELERY_SESSIONS = {"URL": redis_url, "PREFIX": f"{tmp_path.name}:s:"}
    settings.SESSION_FILE_PATH = str(tmp_path)
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": str(tmp_path)}
    }
    yield request.param
    session_for_reply_channel("gw!one").flush()  # Django's file engine keeps its first directory


def stored(reply_channel="gw!one"):
    """What the next message of this connection would find."""
    return dict(session_for_reply_channel(reply_channel).items())


@channel_session
def remember(message):
    message.channel_session["room"] = "kitchen"


@channel_session
def look(message):
    return message.channel_session.get("room")


@channel_session
def do_nothing(message):
    pass


def test_what_is_kept_is_there_for_the_next_message_of_the_connection(engine, a_message):
    remember(a_message("websocket.connect"))
    assert look(a_message()) == "kitchen"
    assert look(a_message(reply_channel="gw!two")) is None


def test_it_is_removed_when_the_socket_is_gone(engine, a_message):
    remember(a_message("websocket.connect"))
    assert look(a_message("websocket.disconnect")) == "kitchen"
    assert stored() == {}


def test_it_stays_when_the_disconnect_message_is_to_be_handled_again(engine, a_message):
    @channel_session
    def wait(message):
        raise ConsumeLater

    remember(a_message("websocket.connect"))
    with pytest.raises(ConsumeLater):
        wait(a_message("websocket.disconnect"))
    assert stored() == {"room": "kitchen"}
    last = a_message("websocket.disconnect")
    last.__doomed__ = True
    with pytest.raises(ConsumeLater):
        wait(last)
    assert stored() == {}


def test_an_untouched_session_costs_nothing(a_message, django_assert_num_queries):
    with django_assert_num_queries(0):
        do_nothing(a_message())


def test_reading_a_session_stores_nothing(a_message, django_assert_num_queries):
    with django_assert_num_queries(1):
        look(a_message())


def test_it_is_stored_also_when_the_consumer_raises(engine, a_message):
    @channel_session
    def fail(message):
        message.channel_session["tried"] = True
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fail(a_message())
    assert stored() == {"tried": True}


def test_an_empty_new_session_is_not_stored(a_message):
    @channel_session
    def take_back(message):
        message.channel_session["a"] = 1
        del message.channel_session["a"]

    take_back(a_message())
    assert not session_for_reply_channel("gw!one").exists(session_for_reply_channel("gw!one").session_key)


def test_a_session_that_was_emptied_stays_empty(engine, a_message):
    @channel_session
    def clear(message):
        message.channel_session.clear()

    remember(a_message())
    clear(a_message())
    assert stored() == {}


def test_it_keeps_its_key_when_somebody_logs_in_or_out(engine, a_message):
    @channel_session
    def log_in(message):
        message.channel_session["user"] = 7
        message.channel_session.cycle_key()

    @channel_session
    def log_out(message):
        message.channel_session.flush()
        message.channel_session["left"] = True

    remember(a_message())
    log_in(a_message())
    assert stored() == {"room": "kitchen", "user": 7}
    log_out(a_message())
    assert stored() == {"left": True}


def test_it_is_stored_anew_when_it_was_removed_meanwhile(engine, a_message):
    @channel_session
    def change(message):
        message.channel_session["room"] = "hall"
        session_for_reply_channel("gw!one").delete(message.channel_session.session_key)

    remember(a_message())
    change(a_message())
    assert stored() == {"room": "hall"}


def test_it_is_stored_when_somebody_else_stored_one_first(engine, a_message):
    @channel_session
    def change(message):
        message.channel_session["room"] = "hall"
        remember(a_message())

    change(a_message())
    assert stored() == {"room": "hall"}


def test_a_session_that_django_code_creates_is_the_connections(engine, a_message):
    @channel_session
    def create(message):
        message.channel_session["a"] = 1
        message.channel_session.create()

    create(a_message())
    assert stored() == {"a": 1}


def test_decorators_nest(a_message):
    @channel_session
    def outer(message):
        message.channel_session["outer"] = 1
        remember(message)
        assert message.channel_session["room"] == "kitchen"

    outer(a_message())
    assert stored() == {"outer": 1, "room": "kitchen"}


def test_methods_have_sessions_too(a_message):
    class Consumer:
        @channel_session
        def receive(self, message, **kwargs):
            message.channel_session["kwargs"] = kwargs
            return "returned"

    assert Consumer().receive(a_message(), a="1") == "returned"
    assert stored() == {"kwargs": {"a": "1"}}


def test_the_consumer_keeps_its_name():
    assert remember.__name__ == "remember"


def test_channel_sessions_may_have_an_engine_of_their_own(settings, a_message):
    settings.SESSION_ENGINE = f"{BACKENDS}.signed_cookies"
    settings.CHANNEL_SESSION_ENGINE = f"{BACKENDS}.db"
    remember(a_message())
    assert look(a_message()) == "kitchen"


def test_its_key_cannot_be_told_from_the_reply_channel(settings, django_user_model):
    """Or whoever reads a name in a log could send the key as a cookie, and be the user of that socket on the site."""
    ann = django_user_model.objects.create_user("ann")
    session = session_for_reply_channel("daphne.response.ab!c")
    session.update({SESSION_KEY: ann.pk, BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0]})
    session[HASH_SESSION_KEY] = ann.get_session_auth_hash()
    session.keep()
    browser = Client()
    for key in ("chn" + hashlib.sha1(b"daphne.response.ab!c").hexdigest()[:29], session.session_key[3:]):
        browser.cookies[settings.SESSION_COOKIE_NAME] = key
        assert not get_user(browser).is_authenticated
    settings.SECRET_KEY = "another"
    assert session_for_reply_channel("daphne.response.ab!c").session_key != session.session_key


def test_djangos_own_tools_can_read_it(a_message):
    remember(a_message())
    key = session_for_reply_channel("gw!one").session_key
    assert Session.objects.get(pk=key).get_decoded() == {"room": "kitchen"}


@pytest.mark.parametrize("engine", ["no.such.engine", "json"])
def test_what_is_no_engine_is_refused(settings, a_message, engine):
    settings.CHANNEL_SESSION_ENGINE = engine
    with pytest.raises(ImproperlyConfigured, match=f"{engine}, which is no module with a SessionStore .*set CHANNEL"):
        do_nothing(a_message())


@pytest.mark.parametrize("error", [ImproperlyConfigured, ValueError])
def test_cookies_cannot_hold_them(settings, a_message, error):
    settings.SESSION_ENGINE = f"{BACKENDS}.signed_cookies"
    with pytest.raises(error, match=r"cannot be kept in cookies .*Set CHANNEL_SESSION_ENGINE"):
        remember(a_message())


def test_a_message_without_reply_channel_has_none(wrapper):
    with pytest.raises(ValueError, match="has no reply_channel, and so no session"):
        remember(Message({}, "jobs", wrapper))


def test_only_consumers_can_be_decorated():
    with pytest.raises(ValueError, match=r"whose first argument .* is a message"):
        remember({"reply_channel": "gw!one"})


def test_an_async_function_is_refused():
    with pytest.raises(TypeError, match=r"channel_session decorates a plain def, .* write <function .* as one"):

        @channel_session
        async def consumer(message): ...

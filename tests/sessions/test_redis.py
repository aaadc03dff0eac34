"""The engine that keeps sessions in Redis: what it reads and writes, and how often it asks."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings

from chancelery.deployment.connections import sync_client
from chancelery.exceptions import LayerUnavailable
from chancelery.sessions import channel_session, session_for_reply_channel
from chancelery.sessions.redis import SessionStore, server

ENGINE = "chancelery.sessions.redis"
PREFIX = "engine:s:"


@pytest.fixture(autouse=True)
def client(settings, redis_url):
    settings.SESSION_ENGINE = ENGINE
    settings.CHANCELERY_SESSIONS = {"URL": redis_url, "PREFIX": PREFIX}
    client = sync_client(redis_url)
    yield client
    for key in client.scan_iter(match=f"{PREFIX}*"):
        client.delete(key)


@pytest.fixture
def asked(client):
    """Appends to its list how often which commands were run within it, from outside and by functions."""

    @contextlib.contextmanager
    def counting():
        counts = []
        client.config_resetstat()
        yield counts
        calls = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
        counts.append({name: number for name, number in calls.items() if name != "cmdstat_config|resetstat"})

    return counting


@pytest.fixture
def session():
    """A session that is stored."""
    session = SessionStore()
    session.update({"a": 1, "b": [1, 2], "c": "é"})
    session.create()
    return session


def stored(session):
    return dict(SessionStore(session.session_key).items())


def test_a_session_is_a_hash_with_a_field_for_each_key(client, session):
    assert client.hgetall(PREFIX + session.session_key) == {b"": b"", b"a": b"1", b"b": b"[1,2]", b"c": b'"\\u00e9"'}
    assert stored(session) == {"a": 1, "b": [1, 2], "c": "é"}


def test_two_who_change_different_keys_do_not_overwrite_each_other(session):
    """Fault 17: the last writer used to win over everything."""
    one, other = SessionStore(session.session_key), SessionStore(session.session_key)
    one["a"], other["b"] = 2, "new"
    one["d"] = "one's"
    del other["c"]
    one.save()
    other.save()
    assert stored(session) == {"a": 2, "b": "new", "d": "one's"}


def test_what_is_changed_within_a_value_is_stored(session):
    again = SessionStore(session.session_key)
    again["b"].append(3)
    again.modified = True
    again.save()
    assert stored(session)["b"] == [1, 2, 3]


def test_clearing_removes_what_was_never_read(session):
    other = SessionStore(session.session_key)
    other.clear()
    other["z"] = 1
    other.save()
    assert stored(session) == {"z": 1}


def test_one_that_was_removed_is_not_brought_back_by_who_had_read_it(session):
    late = SessionStore(session.session_key)
    late["a"] = 5
    session.flush()
    with pytest.raises(UpdateError):
        late.save()
    assert not late.exists(late.session_key)


def test_one_that_never_was_cannot_be_changed():
    late = SessionStore("x" * 32)
    with pytest.raises(UpdateError):
        late.save()
    assert not late.exists("x" * 32)


def test_one_that_exists_is_not_created_over(session):
    with pytest.raises(CreateError):
        SessionStore(session.session_key).save(must_create=True)
    assert stored(session)["a"] == 1


def test_an_empty_session_can_be_stored_and_found():
    session = SessionStore()
    session.create()
    assert session.exists(session.session_key)
    found = SessionStore(session.session_key)
    assert not found.keys()
    assert found.session_key == session.session_key


def test_one_that_does_not_exist_loses_its_key_as_in_every_engine():
    session = SessionStore("x" * 32)
    assert session.get("a") is None
    assert session.session_key is None
    assert not session.exists(None)
    session.delete()


def test_a_cycled_key_leaves_nothing_under_the_old_one(session):
    old = session.session_key
    session.cycle_key()
    assert session.session_key != old
    assert not session.exists(old)
    assert stored(session) == {"a": 1, "b": [1, 2], "c": "é"}


@pytest.mark.parametrize(("expiry", "seconds"), [(None, 1209600), (90, 90), (timedelta(hours=1), 3600), (1.5, 2)])
def test_the_server_removes_it_when_it_expires(client, session, expiry, seconds):
    session.set_expiry(expiry)
    session.save()
    assert seconds - 30 < client.ttl(PREFIX + session.session_key) <= seconds


def test_one_that_has_expired_is_gone(session):
    session.set_expiry(timedelta(seconds=-1))
    session.save()
    assert not session.exists(session.session_key)
    SessionStore.clear_expired()


@pytest.mark.parametrize("key", [1, None, "", ("a",)])
def test_a_key_that_is_no_text_is_refused_and_nothing_is_stored(session, key):
    session[key] = 1
    with pytest.raises(TypeError, match="a key of a session is a text that is not empty"):
        session.save()
    assert stored(session) == {"a": 1, "b": [1, 2], "c": "é"}


def test_a_value_that_cannot_be_read_is_left_out_and_left_alone(client, session, caplog):
    client.hset(PREFIX + session.session_key, "b", b"\x80pickle")
    again = SessionStore(session.session_key)
    assert dict(again.items()) == {"a": 1, "c": "é"}
    assert "the key 'b' of a session is left out" in caplog.text
    again["a"] = 2
    again.save()
    assert client.hget(PREFIX + session.session_key, "b") == b"\x80pickle"
    assert stored(session) == {"a": 2, "c": "é"}


def test_a_channel_session_is_read_and_stored_with_one_command_each(a_message, asked, client):
    @channel_session
    def count(message):
        message.channel_session["n"] = message.channel_session.get("n", 0) + 1

    count(a_message("websocket.connect"))
    with asked() as commands:
        count(a_message())
    called_by_them = {"cmdstat_exists": 2, "cmdstat_hgetall": 1, "cmdstat_hset": 2, "cmdstat_pexpire": 1}
    assert commands == [{"cmdstat_fcall": 2, **called_by_them}]
    assert session_for_reply_channel("gw!one")["n"] == 2


def test_a_channel_session_that_nobody_looks_at_costs_nothing(a_message, asked):
    with asked() as commands:
        channel_session(repr)(a_message())
    assert commands == [{}]


def test_a_channel_session_is_removed_with_its_socket_and_expires_without(a_message, client):
    """Fault 17: rows were never removed."""

    @channel_session
    def consumer(message):
        message.channel_session["n"] = 1

    consumer(a_message("websocket.connect"))
    [key] = client.scan_iter(match=f"{PREFIX}*")
    assert client.ttl(key) > 0
    consumer(a_message("websocket.disconnect"))
    assert not list(client.scan_iter(match=f"{PREFIX}*"))


def test_two_consumers_of_one_connection_do_not_overwrite_each_others_keys(a_message):
    """Fault 17, where two reply to one socket: a nested consumer with a session of its own."""

    @channel_session
    def inner(message):
        message.channel_session["inner"] = 1

    @channel_session
    def outer(message):
        message.channel_session["outer"] = 1
        inner(a_message())

    outer(a_message())
    assert dict(session_for_reply_channel("gw!one").items()) == {"outer": 1, "inner": 1}


@pytest.mark.django_db
def test_it_can_be_the_engine_of_the_sites_own_sessions(django_user_model):
    user = django_user_model.objects.create_user("ann")
    browser = Client()
    browser.force_login(user)
    assert SessionStore(browser.cookies["sessionid"].value)["_auth_user_id"] == str(user.pk)
    browser.logout()
    assert not list(sync_client(server()._url).scan_iter(match=f"{PREFIX}*"))


def test_async_views_can_use_it():
    async def visit(session):
        await session.aset("seen", True)
        await session.asave()
        return await SessionStore(session.session_key).aget("seen")

    assert asyncio.run(visit(SessionStore())) is True


@pytest.mark.parametrize(
    "given",
    [None, {}, {"URL": "redis://h"}, {"URL": "redis://h", "PREFIX": ""}, {"URL": 1, "PREFIX": "s:"}, "redis://h"],
)
def test_settings_that_do_not_say_where_are_refused(given):
    with (
        override_settings(CHANCELERY_SESSIONS=given),
        pytest.raises(ImproperlyConfigured, match=r"needs CHANCELERY_SESSIONS = \{'URL': …, 'PREFIX': …\}"),
    ):
        SessionStore().create()


def test_a_server_that_does_not_answer_is_told():
    with (
        override_settings(CHANCELERY_SESSIONS={"URL": "redis://127.0.0.1:1", "PREFIX": "s:"}),
        pytest.raises(LayerUnavailable, match=r"Redis at .* does not answer"),
    ):
        SessionStore("x" * 32).load()

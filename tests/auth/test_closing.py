"""Which sockets a logout, or a change of a user, closes. Fault 4: open sockets used not to notice."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import auth
from django.contrib.auth import get_user_model
from django.db import models, transaction
from django.test import RequestFactory

from chancelery import outbox
from chancelery.auth import (
    LOGGED_OUT,
    addresses,
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    close_sockets,
    closing,
    http_session_user,
)
from chancelery.exceptions import LayerUnavailable, WebsocketCloseException
from tests.auth.conftest import logged_in, session_of

pytestmark = pytest.mark.django_db(transaction=True)

DECORATORS = [http_session_user, channel_session_user_from_http, channel_and_http_session_user_from_http]
CLOSED = {"close": 4401}


@pytest.fixture(autouse=True)
def switched_on(settings):
    settings.CHANCELERY = {"CLOSE_ON_LOGOUT": True}


@pytest.fixture
def connect(a_message):
    def connect(browser, reply_channel="gw!one", decorator=channel_session_user_from_http, channel="websocket.connect"):
        decorator(repr)(a_message(channel, reply_channel, browser))

    return connect


@pytest.fixture
def closed(layers):
    """The sockets that were closed since it was last asked, in alphabetical order."""

    def closed():
        found = []
        layer = layers["sockets"].layer
        while (letter := layer.receive(["gw!"]))[0] is not None:
            assert letter[1] == CLOSED
            found.append(letter[0].removeprefix("gw!"))
        return sorted(found)

    return closed


@pytest.mark.parametrize("decorator", DECORATORS)
def test_a_logout_closes_the_sockets_of_that_browser(connect, closed, user, browser, decorator):
    connect(browser, decorator=decorator)
    connect(logged_in(user), "gw!two", decorator)
    browser.logout()
    assert closed() == ["one"]


def test_a_logout_by_a_view_closes_them_too(connect, closed, browser, user):
    connect(browser)
    request = RequestFactory().post("/logout/")
    request.session, request.user = session_of(browser), user
    auth.logout(request)
    assert closed() == ["one"]


def test_whoever_joins_after_the_close_was_sent_finds_the_browsers_session_gone(connect, browser, monkeypatch):
    """Django removes it only after it has told of the logout."""
    there = []
    session = session_of(browser)
    monkeypatch.setattr(closing, "_close_group", lambda *_: there.append(session.exists(session.session_key)))
    browser.logout()
    assert there == [False, False]  # one for each layer


def test_saving_a_user_who_is_not_active_closes_all_their_sockets(connect, closed, user, browser, django_user_model):
    connect(browser)
    connect(logged_in(user), "gw!two")
    connect(logged_in(django_user_model.objects.create_user("bob")), "gw!three")
    user.is_active = False
    user.save()
    assert closed() == ["one", "two"]


def test_deleting_a_user_closes_all_their_sockets(connect, closed, user, browser):
    connect(browser)
    connect(logged_in(user), "gw!two")
    user.delete()
    assert closed() == ["one", "two"]


def test_a_new_password_closes_the_sockets_that_were_opened_with_the_old_one(connect, closed, user, browser):
    connect(browser)
    user.set_password("another")
    user.save()
    assert closed() == ["one"]


def test_who_has_logged_in_with_a_new_password_stays_when_they_are_saved_again(connect, closed, user):
    user.set_password("another")
    user.save()
    connect(logged_in(user))
    user.save()
    assert closed() == []


def test_what_else_is_saved_of_a_user_closes_nothing(connect, closed, user, browser):
    connect(browser)
    user.first_name = "Ann"
    user.save()
    user.save(update_fields=["last_login"])
    logged_in(user)
    assert closed() == []


def test_an_update_that_sends_no_signal_can_be_said(connect, closed, user, browser):
    connect(browser)
    get_user_model().objects.update(is_active=False)
    assert closed() == []
    close_sockets(user)
    assert closed() == ["one"]


def test_it_is_done_when_the_transaction_is_committed_and_only_then(connect, closed, user, browser):
    connect(browser)
    with transaction.atomic():
        user.is_active = False
        user.save()
        assert closed() == []
    assert closed() == ["one"]
    with transaction.atomic():
        browser.logout()
        transaction.set_rollback(True)
    assert closed() == []


def test_a_consumer_that_logs_somebody_out_closes_their_sockets_whatever_becomes_of_its_sends(
    connect, closed, user, browser
):
    connect(browser)
    with outbox.holding():  # and never sent
        user.is_active = False
        user.save()
    assert closed() == ["one"]


def test_nothing_is_done_unless_it_is_switched_on(connect, closed, user, browser, settings):
    connect(browser)
    settings.CHANCELERY = {}
    browser.logout()
    user.is_active = False
    user.save()
    user.delete()
    assert closed() == []


def test_only_connecting_sockets_with_a_user_join_groups(connect, layers, user, browser):
    layer = layers["sockets"].layer
    connect(browser, decorator=channel_session_user)
    connect(None)
    assert layer.group_channels(addresses.of_user(user)) == []
    connect(browser)
    connect(browser, "gw!two", channel="websocket.receive")
    for name in addresses.of_socket(user, browser.cookies["sessionid"].value):
        assert layer.group_channels(name) == ["gw!one"]
        assert browser.cookies["sessionid"].value not in name


@pytest.mark.parametrize("what", ["log out", "deactivate", "delete", "new password"])
def test_who_is_logged_out_while_the_socket_connects_is_turned_away(a_message, user, browser, what, monkeypatch):
    """What is sent between the reading of the user and the joining of the groups reaches nobody."""

    def change():
        if what == "log out":
            browser.logout()
        elif what == "delete":
            get_user_model().objects.all().delete()
        else:
            changed = {"is_active": False} if what == "deactivate" else {"password": "x"}
            get_user_model().objects.update(**changed)

    @channel_session_user_from_http
    def connected(message):
        raise AssertionError("it is called")

    message = a_message("websocket.connect", browser=browser)
    group_add = type(message.channel_layer.layer).group_add

    def late(self, *args):
        change()
        group_add(self, *args)

    monkeypatch.setattr(type(message.channel_layer.layer), "group_add", late)
    with pytest.raises(WebsocketCloseException) as raised:
        connected(message)
    assert raised.value.code == LOGGED_OUT


def test_a_layer_that_does_not_answer_keeps_nobody_from_logging_out(connect, user, browser, monkeypatch, caplog):
    connect(browser)

    def fail(*_):
        raise LayerUnavailable("Redis does not answer")

    monkeypatch.setattr(closing, "_close_group", fail)
    browser.logout()
    user.delete()
    assert "Redis does not answer" in caplog.text


def test_models_that_are_derived_from_the_users_are_listened_to(connect, closed, user, browser, monkeypatch):
    class Editor(get_user_model()):
        class Meta:
            proxy = True
            app_label = "auth"

    try:
        closing.listen()
        connect(browser)
        editor = Editor.objects.get(pk=user.pk)
        editor.is_active = False
        editor.save()
        assert closed() == ["one"]
    finally:
        models.signals.post_save.disconnect(sender=Editor, dispatch_uid=closing.__name__)
        models.signals.post_delete.disconnect(sender=Editor, dispatch_uid=closing.__name__)
        del apps.all_models["auth"]["editor"]
        apps.clear_cache()


def test_a_project_without_users_starts(settings):
    settings.AUTH_USER_MODEL = "nobody.Knows"
    closing.listen()


def test_a_logout_of_nobody_closes_nothing(closed, user, browser, connect):
    connect(browser)
    request = RequestFactory().post("/")
    request.session = session_of(browser)
    auth.logout(request)
    assert closed() == []

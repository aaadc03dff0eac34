"""A small site, for the tests of the test kit."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as Role
from django.db import transaction

from chancelery import Channel, Group, route
from chancelery.exceptions import ConsumeLater, DenyConnection, WebsocketCloseException
from chancelery.sessions import channel_session


def connected(message, room):
    Group(room).add(message.reply_channel)


def said(message, room):
    Group(room).send({"text": message["text"]})


def gone(message, room):
    Group(room).discard(message.reply_channel)


def doubled(message):
    Channel("result").send({"value": message["value"] * 2})
    return "returned"


def answered(message):
    message.reply_channel.send({"another": message["value"]})


def failed(message):
    message.reply_channel.send({"said": "before"})
    raise LookupError("in the consumer")


def denied(message):
    raise DenyConnection


def closed(message):
    raise WebsocketCloseException(4001)


def postponed(message):
    if not message.get("__retries__"):
        message.reply_channel.send({"text": "too early"})
        raise ConsumeLater(delay=30)
    message.reply_channel.send({"tries": message["__retries__"]})


@channel_session
def counted(message):
    message.channel_session["count"] = message.channel_session.get("count", 0) + 1
    message.reply_channel.send({"text": str(message.channel_session["count"])})


def reminded(message):
    Channel("reminder").send({"text": "now"}, delay=60)


def registered(message):
    Role.objects.create(name=message["name"])
    transaction.on_commit(lambda: Group("news").send({"text": message["name"]}))


async def looked_up(message):
    user = await get_user_model().objects.aget(username=message["name"])
    message.reply_channel.send({"id": user.pk})
    return user.pk


routing = [
    route("websocket.connect", connected, path=r"^/rooms/(?P<room>\w+)/$"),
    route("websocket.receive", said, path=r"^/rooms/(?P<room>\w+)/$"),
    route("websocket.disconnect", gone, path=r"^/rooms/(?P<room>\w+)/$"),
    route("websocket.connect", denied, path=r"^/denied/$"),
    route("websocket.connect", closed, path=r"^/closed/$"),
    route(["websocket.connect", "websocket.receive"], counted, path=r"^/counted/$"),
    route("double", doubled),
    route("answer", answered),
    route("fail", failed),
    route("later", postponed),
    route("remind", reminded),
    route("register", registered),
    route("look-up", looked_up),
]

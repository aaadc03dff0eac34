"""Consumers as one writes them for Channels 1, with their routes."""

from django.contrib.auth.models import Group as Role

from chancelery import Channel, Group, route, route_class
from chancelery.auth import channel_session_user, channel_session_user_from_http
from chancelery.generic.websockets import JsonWebsocketConsumer


def squared(message):
    Channel("result").send({"value": message["value"] ** 2})


def subscribed(message):
    Group("subscribers").add(message.reply_channel)


@channel_session_user_from_http
def connected(message):
    message.channel_session["frames"] = 0
    message.reply_channel.send({"accept": message.user.is_authenticated})


@channel_session_user
def received(message):
    message.channel_session["frames"] += 1
    Role.objects.create(name=f"{message.user.username} {message.channel_session['frames']}")
    message.reply_channel.send({"text": message["text"].upper()})


class Echo(JsonWebsocketConsumer):
    """Says what it heard."""

    def receive(self, content, **kwargs):
        self.send({"heard": content})


channel_routing = [
    route("square", squared),
    route("subscribe", subscribed),
    route("websocket.connect", connected, path=r"^/members/"),
    route("websocket.receive", received, path=r"^/members/"),
    route_class(Echo, path=r"^/echo/"),
]

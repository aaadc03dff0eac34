"""Channels 4 with its answers given elsewhere: sockets forward to a channel, and `runworker frames` answers them."""

from asgiref.sync import async_to_sync
from channels.consumer import SyncConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

GROUP = "everybody"


class Echo(AsyncWebsocketConsumer):
    """Async, since forwarding is all it does: the fastest that Channels has for that."""

    does = "echo"

    async def connect(self):
        await self.forward("greet")

    async def receive(self, text_data=None, bytes_data=None):
        await self.forward(self.does, text=text_data)

    async def forward(self, kind, **content):
        await self.channel_layer.send("frames", {"type": kind, "socket": self.channel_name, **content})

    async def welcome(self, event):
        await self.accept()

    async def deliver(self, event):
        await self.send(text_data=event["text"])


class Member(Echo):
    """Joins the group itself: the pubsub layer lets nobody else do it."""

    groups = (GROUP,)


class Sender(Echo):
    does = "broadcast"


class Frames(SyncConsumer):
    """What the worker runs."""

    def greet(self, message):
        self.answer(message, {"type": "welcome"})

    def echo(self, message):
        self.answer(message, {"type": "deliver", "text": message["text"]})

    def broadcast(self, message):
        async_to_sync(self.channel_layer.group_send)(GROUP, {"type": "deliver", "text": message["text"]})

    def answer(self, message, event):
        async_to_sync(self.channel_layer.send)(message["socket"], event)

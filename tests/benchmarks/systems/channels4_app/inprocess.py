"""Channels 4 as its tutorial has it: consumers that answer in the protocol server's process."""

from asgiref.sync import async_to_sync
from celery import chord
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer

from channels4_app.tasks import answer, merge, part

GROUP = "everybody"


class Echo(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data)


class Member(WebsocketConsumer):
    groups = (GROUP,)

    def deliver(self, event):
        self.send(text_data=event["text"])


class Sender(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        async_to_sync(self.channel_layer.group_send)(GROUP, {"type": "deliver", "text": text_data})


class AsyncEcho(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data)


class AsyncMember(AsyncWebsocketConsumer):
    groups = (GROUP,)

    async def deliver(self, event):
        await self.send(text_data=event["text"])


class AsyncSender(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.channel_layer.group_send(GROUP, {"type": "deliver", "text": text_data})


class Task(WebsocketConsumer):
    """The usual glue: the task gets the socket's channel name and sends the result there itself."""

    def receive(self, text_data=None, bytes_data=None):
        answer.delay(self.channel_name, int(text_data))

    def deliver(self, event):
        self.send(text_data=event["text"])


class Chord(Task):
    def receive(self, text_data=None, bytes_data=None):
        chord([part.s(int(text_data), place) for place in range(10)])(merge.s(self.channel_name))

import json

from channels import Channel, Group
from channels.auth import channel_session_user, channel_session_user_from_http
from channels.generic.websockets import JsonWebsocketConsumer, WebsocketDemultiplexer
from channels.sessions import channel_session, enforce_ordering

from .bindings import RoomBinding
from .models import Line, Room


@enforce_ordering
@channel_session_user_from_http
def ws_connect(message, room):
    message.channel_session['room'] = room
    Room.objects.get_or_create(slug=room)
    Group('room-%s' % room).add(message.reply_channel)
    message.reply_channel.send({'accept': True})


@enforce_ordering
@channel_session_user
def ws_receive(message):
    room = message.channel_session['room']
    command = json.loads(message['text'])
    if 'remind' in command:
        Channel('asgi.delay').send({
            'channel': 'chat.remind',
            'content': {'reply_channel': message.reply_channel.name, 'text': command['remind']},
            'delay': 100,
        }, immediately=True)
        return
    author = message.user.username or 'somebody'
    Line.objects.create(room=Room.objects.get(slug=room), author=author, text=command['say'])
    Group('room-%s' % room).send({'text': json.dumps({'author': author, 'text': command['say']})})


@channel_session
def ws_disconnect(message):
    Group('room-%s' % message.channel_session.get('room', 'nowhere')).discard(message.reply_channel)


def remind(message):
    message.reply_channel.send({'text': json.dumps({'reminder': message['text']})})


class Echo(JsonWebsocketConsumer):
    def receive(self, content, multiplexer=None, **kwargs):
        multiplexer.send({'echo': content})


class Live(WebsocketDemultiplexer):
    http_user = True
    consumers = {
        'rooms': RoomBinding.consumer,
        'echo': Echo,
    }

    def connection_groups(self, **kwargs):
        return ['rooms']

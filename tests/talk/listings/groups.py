from chancelery import Group
from chancelery.routing import route


def ws_connect(message):
    Group('chat').add(message.reply_channel)


def ws_disconnect(message):
    Group('chat').discard(message.reply_channel)


def ws_message(message):
    Group('chat').send({
        'text': message.content['text'],
    })


channel_routing = [
    route('websocket.connect', ws_connect),
    route('websocket.disconnect', ws_disconnect),
    route('websocket.receive', ws_message),
]

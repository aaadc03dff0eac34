from chancelery import WebsocketDemultiplexer
from chancelery import route_class, route


class Demultiplexer(WebsocketDemultiplexer):
    mapping = {
        'intval': 'binding.intval',
    }


def ws_message(message):
    message.reply_channel.send({'text': 'got %r' % message.content['payload']})


channel_routing = [
    route_class(Demultiplexer, path='^/binding/'),
    route('binding.intval', ws_message),
]

from chancelery.routing import route

from tests.talk.listings.groups import ws_connect

channel_routing = [
    route('websocket.connect', ws_connect,
          path=r'^/chat/$'),
]

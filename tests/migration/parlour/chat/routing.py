from channels.routing import route

from .consumers import ws_connect, ws_disconnect, ws_receive

websocket_routing = [
    route('websocket.connect', ws_connect, path=r'^/(?P<room>[a-z]+)/$'),
    route('websocket.receive', ws_receive),
    route('websocket.disconnect', ws_disconnect),
]

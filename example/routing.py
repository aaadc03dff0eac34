"""Which consumer answers on which path of the sockets. The pages are in urls.py."""

from chancelery import route, route_class
from example import consumers

channel_routing = [
    route("websocket.connect", consumers.connected, path=r"^/ws/(?:echo|jobs)/\Z"),
    route("websocket.receive", consumers.echo, path=r"^/ws/echo/\Z"),
    route("websocket.receive", consumers.jobs, path=r"^/ws/jobs/\Z"),
    route_class(consumers.Sliders, path=r"^/ws/sliders/\Z"),
    route_class(consumers.Chat, path=r"^/ws/chat/(?P<room>[A-Za-z0-9_.-]{1,50})/\Z"),
]

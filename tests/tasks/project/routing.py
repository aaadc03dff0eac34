"""Routes for the tests of the bridge."""

from chancelery import route
from tests.tasks.project.tasks import echoed, named

channel_routing = [
    route("websocket.receive", named, path=r"^/named/(?P<name>\w+)/$"),
    route("websocket.receive", echoed),
]

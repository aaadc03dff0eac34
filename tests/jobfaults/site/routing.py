"""Channel -> consumer."""

from chancelery import route
from tests.jobfaults.site import consumers

_PATH = r"^/(?P<kind>user|guest)/(?P<name>\w+)/$"

channel_routing = [
    route("websocket.connect", consumers.connected, path=_PATH),
    route("websocket.receive", consumers.received, path=_PATH),
    route("websocket.disconnect", consumers.gone, path=_PATH),
]

from channels import include, route, route_class

from chat.consumers import Live, remind

channel_routing = [
    include('chat.routing.websocket_routing', path=r'^/chat'),
    route_class(Live, path=r'^/live/$'),
    route('chat.remind', remind),
]

"""What the protocol server is given."""

from chancelery.asgi import get_channel_layer

channel_layer = get_channel_layer()

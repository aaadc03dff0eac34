"""
HTTP over channels: a message from `http.request` becomes a request for Django's own middleware and views, and their
response messages on its reply channel, sent at once.

Source: Channels 1's message formats; `django.core.handlers.asgi` for how a request is read and a response sent.
"""

from chancelery.handler.consumer import ViewConsumer, view_consumer
from chancelery.handler.request import AsgiRequest
from chancelery.handler.views import AsgiHandler

__all__ = ["AsgiHandler", "AsgiRequest", "ViewConsumer", "view_consumer"]

"""As in the talk: what the protocol server is given."""

import functools
import os

from chancelery.asgi import get_channel_layer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.gateway.site.settings")

channel_layer = get_channel_layer()


async def wrapped(scope, receive, send):
    """The same behind a middleware that hides the server's objects."""

    async def hidden(event):
        await send(event)

    await channel_layer(scope, functools.partial(receive), hidden)

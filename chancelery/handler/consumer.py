"""The consumer of requests: has Django's handler answer them, and sends what it says as fast as the client takes it."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from chancelery.exceptions import RequestAborted
from chancelery.handler.sending import Sending
from chancelery.handler.views import AsgiHandler
from chancelery.log import room
from chancelery.message import Message

_log = room("handler")


class ViewConsumer:
    """The consumer for requests that no other route takes: the project's views, by its URLconf."""

    handler_class = AsgiHandler

    def __call__(self, message: Message, **_: Any) -> None:
        """
        Answer *message* at once. When its client goes away meanwhile, the rest of the response is not produced.

        Raises: ChannelFull when there was no room for a part of the response; what a stream's content raises.
        """
        if message.reply_channel is None:
            raise ValueError(f"{message!r} has no reply_channel: nobody to respond to")
        sending = Sending(message.reply_channel, confirms=bool(message.get("confirms")))
        try:
            with contextlib.closing(self._handler(message)) as contents:
                for content in contents:
                    sending.send(content)
        except RequestAborted as error:
            _log.debug("no more of the response to a request for %r: %s", message["path"], error)

    @functools.cached_property
    def _handler(self) -> AsgiHandler:
        return self.handler_class()


view_consumer = ViewConsumer()

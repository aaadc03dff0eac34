"""Several streams on one socket, on their way out: frames of `{"stream": …, "payload": …}`."""

from __future__ import annotations

import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from chancelery.channel import Channel, Group
from chancelery.generic.websockets.frames import require_close
from chancelery.types import Content


class WebsocketMultiplexer:
    """One stream of one socket. Consumers of a demultiplexer get theirs as the keyword argument `multiplexer`."""

    def __init__(self, stream: str, reply_channel: Channel) -> None:
        self.stream = stream
        self.reply_channel = reply_channel

    def send(self, payload: Any) -> None:
        """Send *payload*, what JSON and Django's encoder can say, to the socket on this stream."""
        self.reply_channel.send(self.encode(self.stream, payload))

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return *content* as JSON; dates, decimals and UUIDs are texts in it. Raises: TypeError, ValueError."""
        return json.dumps(content, cls=DjangoJSONEncoder)

    @classmethod
    def encode(cls, stream: str, payload: Any) -> Content:
        """Return a message with *payload* on *stream*, for a reply channel or a group."""
        return {"text": cls.encode_json({"stream": stream, "payload": payload})}

    @classmethod
    def group_send(cls, name: str, stream: str, payload: Any, close: bool | int = False) -> None:  # noqa: FBT001, FBT002 - Channels 1's signature
        """Send *payload* on *stream* to every socket of the group *name*, then close them if *close* says so."""
        content = cls.encode(stream, payload)
        if close is not False:
            content["close"] = require_close(close)
        Group(name).send(content)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stream!r} of {self.reply_channel}>"

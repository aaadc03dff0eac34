"""A consumer for sockets whose frames are JSON."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from chancelery.generic.websockets.consumer import WebsocketConsumer
from chancelery.message import Message


class JsonWebsocketConsumer(WebsocketConsumer):
    """Frames of JSON: `receive` gets what was parsed, `send` takes what is to be encoded."""

    def raw_receive(self, message: Message, **kwargs: Any) -> None:
        """Parse the frame and pass it to `receive`, or what is wrong with it to `receive_invalid`."""
        text = message.get("text")
        if not isinstance(text, str):
            self.receive_invalid("this socket takes text frames with JSON in them, not binary ones")
            return
        try:
            content = self.decode_json(text)
        except ValueError as error:
            self.receive_invalid(f"this frame is not JSON: {error}")
        except RecursionError:
            self.receive_invalid("this frame is not JSON that can be read: it is nested too deeply")
        else:
            self.receive(content, **kwargs)

    def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Handle what a frame said."""

    def receive_invalid(self, error_text: str) -> None:
        """Handle a frame that is not JSON. Tells the client so, and keeps the socket open."""
        self.send({"error": error_text})

    def send(self, content: Any, close: bool | int = False) -> None:  # type: ignore[override] # noqa: FBT001, FBT002 - Channels 1's signature
        """
        Send *content* as JSON, then close the socket if *close* is true, or a close code.

        Behind a stream, *content* is the payload, and goes out as the multiplexer encodes it.
        """
        if self.multiplexer is None:
            super().send(text=self.encode_json(content), close=close)
            return
        self.multiplexer.send(content)
        if close is not False:
            self.close(close)

    @classmethod
    def group_send(cls, name: str, content: Any, close: bool | int = False) -> None:  # type: ignore[override] # noqa: FBT001, FBT002 - Channels 1's signature
        """Send *content* as JSON to every socket of the group *name*."""
        WebsocketConsumer.group_send(name, text=cls.encode_json(content), close=close)

    @classmethod
    def decode_json(cls, text: str) -> Any:
        """Return what *text* says. Raises: ValueError."""
        return json.loads(text, parse_constant=_refuse)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return *content* as JSON. Raises: TypeError, ValueError."""
        return json.dumps(content)


def _refuse(constant: str) -> NoReturn:
    """Python reads NaN and Infinity, which no browser can read when they are passed on to it."""
    raise ValueError(f"{constant} is no number of JSON")

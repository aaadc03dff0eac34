"""
Consumers for websockets: one class has what happens when a socket connects, says something, and goes.

A socket that `connect` says nothing to is accepted when it returns, and turned away when it raises.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from chancelery.channel import Channel, Group
from chancelery.generic.base import BaseConsumer
from chancelery.message import Message
from chancelery.types import Content


class WebsocketConsumer(BaseConsumer):
    """
    Text and binary frames. `connect`, `receive` and `disconnect` are to be overridden.

    groups: what every socket joins as it connects and leaves as it disconnects; `connection_groups` may be computed.
    strict_ordering, slight_ordering: accepted, and without effect: what a socket sends is always handled one at a time
    and in order, its connect first.
    """

    method_mapping: ClassVar[dict[str, str]] = {
        "websocket.connect": "raw_connect",
        "websocket.receive": "raw_receive",
        "websocket.disconnect": "raw_disconnect",
    }
    groups: Iterable[str] | None = None
    strict_ordering: bool = False
    slight_ordering: bool = False

    @property
    def path(self) -> str:
        """The path that the socket was opened with."""
        return str(self.message.content["path"])

    def connection_groups(self, **_: Any) -> Iterable[str]:
        """Return the groups of this socket. May be overridden without keyword arguments, too."""
        return self.groups or ()

    def raw_connect(self, message: Message, **kwargs: Any) -> None:
        """Join the groups, then `connect`. Messages to them reach the socket once it is accepted, not before."""
        for group in self._groups(message):
            group.add(self._socket)
        self.connect(message, **kwargs)

    def raw_receive(self, message: Message, **kwargs: Any) -> None:
        """Pass the frame to `receive`."""
        if message.get("bytes") is not None:
            self.receive(bytes=message["bytes"], **kwargs)
        else:
            self.receive(text=message.get("text"), **kwargs)

    def raw_disconnect(self, message: Message, **kwargs: Any) -> None:
        """Leave the groups, then `disconnect`."""
        for group in self._groups(message):
            group.discard(self._socket)
        self.disconnect(message, **kwargs)

    def connect(self, message: Message, **kwargs: Any) -> None:
        """Handle a socket that connects. It is accepted unless this answers it or raises."""

    def receive(self, text: str | None = None, bytes: bytes | None = None, **kwargs: Any) -> None:  # noqa: A002 - Channels 1's names
        """Handle a frame, either text or bytes."""

    def disconnect(self, message: Message, **kwargs: Any) -> None:
        """Handle a socket that is gone."""

    def send(self, text: str | None = None, bytes: bytes | None = None, close: bool | int = False) -> None:  # noqa: A002, FBT001, FBT002 - Channels 1's signature
        """
        Send a frame to the socket, then close it if *close* is true, or a close code.

        Raises: ValueError unless there is one of text and bytes, or only something to close.
        """
        self._socket.send(_frame(text, bytes, close))

    @classmethod
    def group_send(
        cls,
        name: str,
        text: str | None = None,
        bytes: bytes | None = None,  # noqa: A002 - Channels 1's names
        close: bool | int = False,  # noqa: FBT001, FBT002 - Channels 1's signature
    ) -> None:
        """Send a frame to every socket of the group *name*; otherwise as `send`."""
        Group(name).send(_frame(text, bytes, close))

    def close(self, status: bool | int = True) -> None:  # noqa: FBT001, FBT002 - Channels 1's signature
        """Close the socket, with the code *status* if it is a number; one that connects is turned away."""
        self._socket.send({"close": status})

    @property
    def _socket(self) -> Channel:
        if self.message.reply_channel is None:
            raise ValueError(f"{self.message!r} has no reply_channel: no socket to speak to")
        return self.message.reply_channel

    def _groups(self, message: Message) -> list[Group]:
        taken = _parameters(getattr(self.connection_groups, "__func__", self.connection_groups))
        kwargs = self.kwargs if taken is None else {key: self.kwargs[key] for key in taken & self.kwargs.keys()}
        names = self.connection_groups(**kwargs)
        if isinstance(names, str):
            raise TypeError(f"connection_groups() and groups are lists of names, not the text {names!r}")
        return [Group(name, channel_layer=message.channel_layer) for name in names]


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
        """Send *content* as JSON, then close the socket if *close* is true, or a close code."""
        super().send(text=self.encode_json(content), close=close)

    @classmethod
    def group_send(cls, name: str, content: Any, close: bool | int = False) -> None:  # type: ignore[override] # noqa: FBT001, FBT002 - Channels 1's signature
        """Send *content* as JSON to every socket of the group *name*."""
        WebsocketConsumer.group_send(name, text=cls.encode_json(content), close=close)

    @classmethod
    def decode_json(cls, text: str) -> Any:
        """Return what *text* says. Raises: ValueError."""
        return json.loads(text)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return *content* as JSON. Raises: TypeError, ValueError."""
        return json.dumps(content)


def _frame(text: str | None, data: bytes | None, close: bool | int) -> Content:  # noqa: FBT001 - as `send`
    if text is not None and data is not None:
        raise ValueError("a frame is either text or bytes, not both")
    if text is None and data is None and close is False:
        raise ValueError("a frame needs text or bytes, or a reason to close")
    frame: Content = {}
    if text is not None:
        frame["text"] = text
    if data is not None:
        frame["bytes"] = data
    if close is not False:
        frame["close"] = close
    return frame


@functools.lru_cache(maxsize=1000)
def _parameters(function: Callable[..., Any]) -> frozenset[str] | None:
    """Return the names of the arguments that *function* takes, or None when it takes any."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)

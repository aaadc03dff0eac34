"""A consumer for sockets of text and binary frames."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from chancelery.auth import channel_and_http_session_user_from_http, channel_session_user_from_http
from chancelery.channel import Channel, Group
from chancelery.exceptions import SendNotAvailableOnDemultiplexer
from chancelery.generic.base import BaseConsumer
from chancelery.generic.websockets.frames import frame, require_close
from chancelery.generic.websockets.multiplexer import WebsocketMultiplexer
from chancelery.message import Message


class WebsocketConsumer(BaseConsumer):
    """
    Text and binary frames. `connect`, `receive` and `disconnect` are to be overridden.

    groups: what every socket joins as it connects and leaves as it disconnects; `connection_groups` may be computed.
    http_user: whether the methods find the user of the browser's session in `message.user`, from `connect` on.
    http_user_and_session: the same, and that session in `message.http_session`.
    strict_ordering, slight_ordering: accepted, and without effect: what a socket sends is always handled one at a time
    and in order, its connect first.
    """

    method_mapping: ClassVar[dict[str, str]] = {
        "websocket.connect": "raw_connect",
        "websocket.receive": "raw_receive",
        "websocket.disconnect": "raw_disconnect",
    }
    groups: Iterable[str] | None = None
    http_user: bool = False
    http_user_and_session: bool = False
    strict_ordering: bool = False
    slight_ordering: bool = False

    @property
    def path(self) -> str:
        """The path that the socket was opened with."""
        return str(self.message.content["path"])

    @property
    def multiplexer(self) -> WebsocketMultiplexer | None:
        """The stream that this consumer is behind, or None when it has the socket for itself."""
        found = self.kwargs.get("multiplexer")
        return found if isinstance(found, WebsocketMultiplexer) else None

    @classmethod
    def uses_sessions(cls) -> bool:
        """See `BaseConsumer`."""
        return super().uses_sessions() or cls.http_user or cls.http_user_and_session

    def get_handler(self, message: Message, **kwargs: Any) -> Callable[..., Any]:
        """See `BaseConsumer`."""
        handler = super().get_handler(message, **kwargs)
        if self.http_user_and_session:
            return channel_and_http_session_user_from_http(handler)
        return channel_session_user_from_http(handler) if self.http_user else handler

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

        Raises: ValueError unless there is one of text and bytes, or only something to close, and for a code that nobody
        may send; SendNotAvailableOnDemultiplexer for a frame of a consumer that is behind a stream.
        """
        if self.multiplexer is not None and not (text is None and bytes is None):
            raise SendNotAvailableOnDemultiplexer(
                f"{type(self).__name__} is behind the stream {self.multiplexer.stream!r}, where no frames are sent but "
                f"payloads: call multiplexer.send(payload), with the keyword argument multiplexer"
            )
        self._socket.send(frame(text, bytes, close))

    @classmethod
    def group_send(
        cls,
        name: str,
        text: str | None = None,
        bytes: bytes | None = None,  # noqa: A002 - Channels 1's names
        close: bool | int = False,  # noqa: FBT001, FBT002 - Channels 1's signature
    ) -> None:
        """Send a frame to every socket of the group *name*; otherwise as `send`."""
        Group(name).send(frame(text, bytes, close))

    def close(self, status: bool | int = True) -> None:  # noqa: FBT001, FBT002 - Channels 1's signature
        """
        Close the socket, with the code *status* if it is a number; one that connects is turned away.

        Raises: ValueError for a code that nobody may send.
        """
        self._socket.send({"close": require_close(status)})

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


@functools.lru_cache(maxsize=1000)
def _parameters(function: Callable[..., Any]) -> frozenset[str] | None:
    """Return the names of the arguments that *function* takes, or None when it takes any."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)

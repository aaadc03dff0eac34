"""
Several streams on one socket, on their way in: each has a consumer, or a channel that consumers read.

A consumer gets a message of its own, as if it had the socket for itself. Nothing is done to the consumer.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn

from django.core.exceptions import ImproperlyConfigured

from chancelery import names
from chancelery.channel import Channel
from chancelery.exceptions import MessageTooLarge, SendNotAvailableOnDemultiplexer
from chancelery.generic.websockets.frames import frame
from chancelery.generic.websockets.json_consumer import JsonWebsocketConsumer
from chancelery.generic.websockets.multiplexer import WebsocketMultiplexer
from chancelery.message import Message
from chancelery.routing import Consumer, Route, is_async
from chancelery.sessions import channel_session
from chancelery.types import Content

_SHOWN = 50


class WebsocketDemultiplexer(JsonWebsocketConsumer):
    """
    Takes frames of `{"stream": …, "payload": {…}}`, and hands each payload to whom its stream belongs.

    consumers: stream -> consumer, a class, a function or the dotted name of either. It is called with what a socket of
        its own would send it, the payload as the text and `stream` beside it, and `multiplexer`; for connect and
        disconnect all of them are.
    mapping: stream -> channel, to which `{"reply_channel", "path", "order", "stream", "payload"}` is sent.
    multiplexer_class: what the consumers get as `multiplexer`, a subclass of WebsocketMultiplexer.

    A frame that is none, or names no stream, is answered with `{"error": …}`. See `receive_invalid`.
    """

    consumers: ClassVar[Mapping[str, Consumer | str]] = {}
    mapping: ClassVar[Mapping[str, str]] = {}
    multiplexer_class: ClassVar[type[WebsocketMultiplexer]] = WebsocketMultiplexer

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _require_streams(cls)

    def get_handler(self, message: Message, **kwargs: Any) -> Callable[..., Any]:
        """See `BaseConsumer`. The session of a socket that is gone is removed when all streams have had it."""
        handler = super().get_handler(message, **kwargs)
        if message.channel.name == "websocket.disconnect" and any(map(_uses_sessions, self.consumers.values())):
            return channel_session(handler)
        return handler

    def connect(self, message: Message, **kwargs: Any) -> None:
        """Have every consumer handle the new socket; one that raises ends that, and turns it away."""
        for stream in self.consumers:
            self._hand_on(stream, message, kwargs)

    def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override] # as its own base has it
        """Hand the payload of a frame on, or what is wrong with the frame to `receive_invalid`."""
        wrong = self._wrong_with(content)
        if wrong:
            self.receive_invalid(wrong)
        elif content["stream"] in self.consumers:
            text = self.encode_json(content["payload"])
            self._hand_on(content["stream"], self.message, kwargs, text=text)
        else:
            self._send_on(content["stream"], content["payload"])

    def disconnect(self, message: Message, **kwargs: Any) -> None:
        """Have every consumer handle that the socket is gone, also when another one failed."""
        with contextlib.ExitStack() as calls:
            for stream in reversed(list(self.consumers)):  # the last to be put in is the first to be called
                calls.callback(self._hand_on, stream, message, kwargs)

    def receive_invalid(self, error_text: str) -> None:
        """Handle a frame that no stream gets. Tells the client so, and keeps the socket open."""
        self._socket.send(frame(self.encode_json({"error": error_text}), None, close=False))

    def send(self, *_: Any, **__: Any) -> NoReturn:
        """Raise SendNotAvailableOnDemultiplexer: what is sent belongs to a stream."""
        raise SendNotAvailableOnDemultiplexer(
            f"{type(self).__name__} has no stream of its own to send on: have the consumer of a stream call "
            f"multiplexer.send(payload)"
        )

    @classmethod
    def group_send(cls, *_: Any, **__: Any) -> NoReturn:
        """Raise SendNotAvailableOnDemultiplexer: what is sent belongs to a stream."""
        raise SendNotAvailableOnDemultiplexer(
            f"{cls.__name__} has no stream of its own to send on: call "
            f"{cls.multiplexer_class.__name__}.group_send(group, stream, payload)"
        )

    def _wrong_with(self, content: Any) -> str:
        if not isinstance(content, dict) or not {"stream", "payload"} <= content.keys():
            return 'a frame on this socket is {"stream": …, "payload": {…}}'
        stream = content["stream"]
        if not isinstance(stream, str) or not (stream in self.consumers or stream in self.mapping):
            return f"this socket has no stream {_shown(stream)}"
        return "" if isinstance(content["payload"], dict) else "the payload of a stream is an object"

    def _hand_on(self, stream: str, message: Message, kwargs: Mapping[str, Any], **content: Any) -> None:
        multiplexer = self.multiplexer_class(stream, self._socket)
        consumer = _consumer(stream, self.consumers[stream])
        consumer(_part(message, {**content, "stream": stream}), **{**kwargs, "multiplexer": multiplexer})

    def _send_on(self, stream: str, payload: Content) -> None:
        channel = Channel(self.mapping[stream], channel_layer=self.message.channel_layer)
        kept = {key: self.message[key] for key in ("path", "order") if key in self.message}
        try:
            channel.send({**kept, "reply_channel": self._socket.name, "stream": stream, "payload": payload})
        except (TypeError, MessageTooLarge) as error:  # JSON says more than a message may carry
            self.receive_invalid(f"this payload cannot be passed on: {error}")


def _part(message: Message, content: Content) -> Message:
    """Return *message* with other content, for one stream; what decorators have put on it is there, too."""
    part = copy.copy(message)
    part.content = {**message.content, **content}
    return part


@functools.lru_cache(maxsize=1000)
def _consumer(stream: str, consumer: Consumer | str) -> Consumer:
    found = Route("websocket.receive", consumer).consumer
    if is_async(found):
        raise ImproperlyConfigured(
            f"the consumer of the stream {stream!r}, {found!r}, is an async function: a demultiplexer calls its "
            f"consumers in a thread. Write a plain def, or send the stream on to a channel with mapping"
        )
    return found


def _uses_sessions(consumer: Any) -> bool:
    return bool(getattr(consumer, "uses_sessions", bool)())


def _require_streams(kind: type[WebsocketDemultiplexer]) -> None:
    """Raises: ImproperlyConfigured for streams that can never get anything."""
    for attribute in ("consumers", "mapping"):
        if not isinstance(getattr(kind, attribute), Mapping | property):
            raise ImproperlyConfigured(f"{kind.__qualname__}.{attribute} is a dict with streams as its keys")
    if isinstance(kind.consumers, Mapping) and isinstance(kind.mapping, Mapping):
        twice = kind.consumers.keys() & kind.mapping.keys()
        if twice:
            raise ImproperlyConfigured(
                f"{kind.__qualname__} has the stream {min(twice)!r} in both consumers and mapping: choose one"
            )
        for channel in kind.mapping.values():
            names.require_channel(channel)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"

"""Bindings whose clients are sockets, with a stream each: frames of `{"action", "pk", "data", "model"}`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model

from chancelery.auth import channel_and_http_session_user_from_http, channel_session_user_from_http
from chancelery.binding.base import Binding
from chancelery.generic.websockets import JsonWebsocketConsumer, WebsocketMultiplexer
from chancelery.message import Message
from chancelery.types import Content


class WebsocketBinding(Binding):
    """
    A binding with a `stream` of a WebsocketDemultiplexer, which has its `consumer` behind that stream.

    http_user, http_user_and_session: as a WebsocketConsumer's, for sockets whose demultiplexer has them not.
    strict_ordering, slight_ordering: accepted, and without effect: order always holds.
    """

    model: type[Model] | str | None = None
    http_user: bool = False
    http_user_and_session: bool = False
    strict_ordering: bool = False
    slight_ordering: bool = False

    @classmethod
    def consumer(cls, message: Message, **kwargs: Any) -> None:
        """See `Inbound`. A socket that connects is handled as well when its user is to be kept."""
        if message.channel.name == "websocket.connect" and (cls.http_user or cls.http_user_and_session):
            cls.get_handler()(message, **kwargs)
        else:
            super().consumer(message, **kwargs)

    @classmethod
    def get_handler(cls) -> Callable[..., None]:
        """See `Inbound`."""
        handler = super().get_handler()
        if cls.http_user_and_session:
            return channel_and_http_session_user_from_http(handler)
        return channel_session_user_from_http(handler) if cls.http_user else handler

    @classmethod
    def encode(cls, stream: str, payload: Any) -> Content:
        """Return a frame with *payload* on *stream*."""
        return WebsocketMultiplexer.encode(stream, payload)

    def serialize(self, instance: Model, action: str) -> dict[str, Any]:
        """Return the payload that tells of *action* on *instance*."""
        return {
            "action": action,
            "pk": instance.pk,
            "data": self.serialize_data(instance),
            "model": self.model_label,
        }

    def serialize_data(self, instance: Model) -> dict[str, Any]:
        """Return the fields that cross, in types of JSON. More may be added, which then crosses as well."""
        return self.crossing.data(instance)

    def deserialize(self, message: Message) -> tuple[Any, Any, Any]:
        """Return what a frame says, or the payload that a demultiplexer has sent on to a channel."""
        body = message["payload"] if "payload" in message else _parsed(message.get("text"))
        if not isinstance(body, dict):
            raise ValidationError('this takes {"action": …, "pk": …, "data": {…}}')
        return body.get("action"), body.get("pk"), body.get("data")

    def send_errors(self, errors: Mapping[str, list[str]]) -> None:
        """Answer `{"action", "pk", "errors"}` on the stream. Raises: ValueError when nobody is there to be answered."""
        if self.message.reply_channel is None or self.answer_stream is None:
            raise ValueError(f"{self.message!r} has no reply_channel to answer: {dict(errors)}")
        self.message.reply_channel.send(self.encode(self.answer_stream, {**self.echo(), "errors": errors}))


class WebsocketBindingWithMembers(WebsocketBinding):
    """
    Tells of more than fields.

    send_members: names of attributes, properties and methods of the model; "owner.name" is told as `owner__name`, None
    when there is no owner.
    """

    model: type[Model] | str | None = None
    send_members: Iterable[str] = ()
    encoder = DjangoJSONEncoder()

    def serialize_data(self, instance: Model) -> dict[str, Any]:
        """See `WebsocketBinding`."""
        members = {name.replace(".", "__"): _member(instance, name) for name in self.send_members}
        return {**super().serialize_data(instance), **json.loads(self.encoder.encode(members))}


def _parsed(text: Any) -> Any:
    try:
        return JsonWebsocketConsumer.decode_json(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValidationError("this is not JSON") from error


def _member(instance: Model, name: str) -> Any:
    found: Any = instance
    for part in name.split("."):
        found = None if found is None else getattr(found, part)
    return found() if callable(found) else found

"""
The way in: what a client asks for is checked, allowed or not, and done, or answered with what is wrong with it.

What clients send wrongly is never an error of the consumer: nobody can fill a log by it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.db import DataError, IntegrityError

from chancelery.auth import channel_session_user
from chancelery.binding import checking, coalescing, users, writing
from chancelery.binding.changes import CREATE, DELETE, UPDATE
from chancelery.log import Burst, room
from chancelery.message import Message
from chancelery.sessions import channel_session

if TYPE_CHECKING:
    from chancelery.binding.fields import Crossing

_refused = Burst(room("binding"))
_WITHOUT_FRAME = ("websocket.connect", "websocket.disconnect")
_LONGEST_ECHO = 100
_MOST_PARTS = 10


class Inbound:
    """
    The half of a binding that clients speak to.

    channel_session_user, channel_session: as a BaseConsumer's; the first is True, so that `self.user` is known.
    coalesce: seconds; of the changes to the same fields of an object that come within them only the latest is stored,
        and told. None stores and tells all.
    """

    channel_session_user: bool = True
    channel_session: bool = False
    coalesce: float | None = None
    stream: str | None = None

    message: Message
    kwargs: Mapping[str, Any]
    user: Any
    """Who asks: `message.user`, or an AnonymousUser."""
    action: Any = None
    pk: Any = None
    data: Any = None

    @property
    def crossing(self) -> Crossing:
        """The fields that cross."""
        raise NotImplementedError

    @classmethod
    def consumer(cls, message: Message, **kwargs: Any) -> None:
        """Handle a frame of a stream, or a message of a channel: to be named in a demultiplexer or a route."""
        if message.channel.name not in _WITHOUT_FRAME:
            cls.get_handler()(message, **kwargs)

    @classmethod
    def get_handler(cls) -> Callable[..., None]:
        """Return what handles a message: `trigger_inbound`, with what the class's attributes ask for around it."""
        if cls.channel_session_user:
            return channel_session_user(cls.trigger_inbound)
        return channel_session(cls.trigger_inbound) if cls.channel_session else cls.trigger_inbound

    @classmethod
    def trigger_inbound(cls, message: Message, **kwargs: Any) -> None:
        """Do what *message* asks for, or answer what is wrong with it."""
        if message.channel.name in _WITHOUT_FRAME:
            return
        self = cls.asked(message, kwargs, getattr(message, "user", None))
        with self.answering():
            self.action, self.pk, self.data = self.deserialize(message)
            self.run_action(self.action, self.pk, self.data)

    @classmethod
    def asked(cls, message: Message, kwargs: Mapping[str, Any], user: Any) -> Self:
        """Return a binding that is to do what *message* of *user* (None: nobody known) asks for."""
        self = cls()
        self.message, self.kwargs = message, kwargs
        self.user = users.nobody() if user is None else user
        return self

    def deserialize(self, message: Message) -> tuple[Any, Any, Any]:
        """Return the action, the primary key and the data that *message* has, unchecked. Raises: ValidationError."""
        raise NotImplementedError

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:  # noqa: ARG002 - to be overridden
        """Tell whether *user* may do *action* to the object with *pk* (None for "create"). By default nobody may."""
        return False

    def run_action(self, action: Any, pk: Any, data: Any) -> None:
        """Do what is asked for, if it is allowed. Raises: ValidationError, PermissionDenied, `model.DoesNotExist`."""
        if action not in (CREATE, UPDATE, DELETE):
            raise ValidationError({"action": "this is create, update or delete"})
        if action != DELETE and not isinstance(data, dict):
            raise ValidationError({"data": "this is an object: the values by the names of their fields"})
        key = None if action == CREATE else self._key(pk)
        if not self.has_permission(self.user, action, key):
            raise PermissionDenied
        if self.coalesce is None or action == CREATE:
            self.perform(action, key, data)
        else:
            coalescing.pass_on(self, action, key, data)

    def perform(self, action: str, pk: Any, data: Any) -> None:
        """Do what was found to be allowed."""
        if action == CREATE:
            self.create(data)
        elif action == UPDATE:
            self.update(pk, data)
        else:
            self.delete(pk)

    def create(self, data: Mapping[str, Any]) -> None:
        """Store a new object. Raises: ValidationError, whose messages the client gets; so do the next two."""
        writing.create(self.crossing, data)

    def update(self, pk: Any, data: Mapping[str, Any]) -> None:
        """Change the object with *pk*. Raises: `model.DoesNotExist`, too."""
        writing.update(self.crossing, pk, data)

    def delete(self, pk: Any) -> None:
        """Remove the object with *pk*. Raises: `model.DoesNotExist`, too."""
        writing.delete(self.crossing.model, pk)

    def send_errors(self, errors: Mapping[str, list[str]]) -> None:
        """Answer whoever asked with what was wrong: texts by field, those of no field under `__all__`."""
        raise NotImplementedError

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Meanwhile, answer what is wrong with what was asked for."""
        try:
            yield
        except ValidationError as error:
            self.send_errors(self._told(error))
        except PermissionDenied:
            self.send_errors({NON_FIELD_ERRORS: ["this is not allowed"]})
        except self.crossing.model.DoesNotExist:  # type: ignore[attr-defined] # every model has its own
            self.send_errors({"pk": ["there is no such object"]})
        except (IntegrityError, DataError, OverflowError) as error:
            _refused.say(
                type(self).label(), "the database refused what %s was asked for: %r", type(self).label(), error
            )
            self.send_errors({NON_FIELD_ERRORS: ["this cannot be stored"]})

    @property
    def answer_stream(self) -> str | None:
        """The stream that the client asked on, and is answered on."""
        found = getattr(self.kwargs.get("multiplexer"), "stream", None) or self.message.get("stream")
        return found if isinstance(found, str) else self.stream

    @classmethod
    def label(cls) -> str:
        """Return what this binding is called from process to process."""
        return f"{cls.__module__}.{cls.__qualname__}"

    def echo(self) -> dict[str, Any]:
        """Return what was asked for, as far as an answer needs it."""
        return {"action": _echoed(self.action), "pk": _echoed(self.pk)}

    def _key(self, pk: Any) -> Any:
        try:
            return checking.primary_key(self.crossing.model, pk)
        except ValidationError as error:
            raise ValidationError({"pk": error.messages}) from error

    def _told(self, error: ValidationError) -> dict[str, list[str]]:
        """What is wrong with fields that do not cross is told without their names."""
        found = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
        told: dict[str, list[str]] = {}
        for name, messages in found.items():
            is_known = name in self.crossing.outward or name in {"action", "pk", "data"}
            told.setdefault(name if is_known else NON_FIELD_ERRORS, []).extend(messages)
        return told


def _echoed(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_LONGEST_ECHO]
    if isinstance(value, list) and len(value) <= _MOST_PARTS:  # a primary key of several fields
        return None if any(isinstance(part, list) for part in value) else [_echoed(part) for part in value]
    return value if isinstance(value, int | float) else None

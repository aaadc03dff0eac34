"""A consumer as a class: each channel has a method. One instance per message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from chancelery.auth import channel_session_user
from chancelery.message import Message
from chancelery.routing import Route, RouteClass
from chancelery.sessions import channel_session


class BaseConsumer:
    """
    Handles a message when it is called with one; `self.message` and `self.kwargs` are what it was called with.

    method_mapping: channel -> name of the method that handles its messages.
    channel_session: whether the methods find the channel session in `message.channel_session`.
    channel_session_user: the same, and whoever that session says is there in `message.user`.
    """

    method_mapping: ClassVar[Mapping[str, str]] = {}
    channel_session: bool = False
    channel_session_user: bool = False

    def __init__(self, message: Message, **kwargs: Any) -> None:
        """Handle *message*: a routing calls the class as it would a function."""
        self.message = message
        self.kwargs = kwargs
        self.dispatch(message, **kwargs)

    @classmethod
    def channel_names(cls) -> frozenset[str]:
        """Return the channels that this class handles."""
        return frozenset(cls.method_mapping)

    @classmethod
    def as_route(cls, attrs: Mapping[str, Any] | None = None, **filters: Any) -> Route:
        """Return a route to this class, or to a copy of it that has *attrs* as its attributes."""
        return RouteClass(type(cls.__name__, (cls,), dict(attrs)) if attrs else cls, **filters)

    @classmethod
    def uses_sessions(cls) -> bool:
        """Tell whether the attributes ask for anything that is kept in the channel session."""
        return cls.channel_session or cls.channel_session_user

    def get_handler(self, message: Message, **_: Any) -> Callable[..., Any]:
        """Return what handles *message*: the method, with what the class's attributes ask for around it."""
        handler: Callable[..., Any] = getattr(self, self.method_mapping[message.channel.name])
        if self.channel_session_user:
            return channel_session_user(handler)
        return channel_session(handler) if self.channel_session else handler

    def dispatch(self, message: Message, **kwargs: Any) -> Any:
        """Have *message* handled."""
        return self.get_handler(message, **kwargs)(message, **kwargs)

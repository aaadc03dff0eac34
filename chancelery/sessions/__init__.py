"""
Sessions for consumers: one per connection, the browser's own, and what is said of the order of messages.

Each decorator puts something around a consumer and sets it on the message; they nest in any order. Source:
`django.contrib.sessions`; names of Channels 1.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from chancelery.sessions.browser import channel_and_http_session, http_session
from chancelery.sessions.connection import ChannelSession, channel_session, session_for_reply_channel
from chancelery.sessions.ordering import enforce_ordering, requeue_messages, wait_channel_name

__all__ = [
    "ChannelSession",
    "channel_and_http_session",
    "channel_session",
    "enforce_ordering",
    "http_session",
    "requeue_messages",
    "session_for_reply_channel",
    "wait_channel_name",
]

_OF_AUTH: Final = frozenset(
    {
        "channel_and_http_session_user_from_http",
        "channel_session_user",
        "channel_session_user_from_http",
        "http_session_user",
        "transfer_user",
    }
)
"""Looked for here, too, as in the talk that this package is built from. That room is above: it is asked when needed."""


def __getattr__(name: str) -> Any:
    if name in _OF_AUTH:
        return getattr(import_module("chancelery.auth"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""
Who is at the other end of a connection, and what happens to it when they log out.

Each decorator sets `message.user`, an AnonymousUser where nobody is known; they nest in any order. Source:
`django.contrib.auth`; names of Channels 1.
"""

from chancelery.auth.closing import close_sockets
from chancelery.auth.following import LOGGED_OUT
from chancelery.auth.users import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    http_session_user,
    transfer_user,
)

__all__ = [
    "LOGGED_OUT",
    "channel_and_http_session_user_from_http",
    "channel_session_user",
    "channel_session_user_from_http",
    "close_sockets",
    "http_session_user",
    "transfer_user",
]

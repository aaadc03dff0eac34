"""What is sent to a socket, checked where it is sent: the gateway could only drop it. Source: RFC 6455, 7.4."""

from __future__ import annotations

from chancelery.exceptions import OWN_CODES, REGISTERED_CODES
from chancelery.types import Content


def frame(text: str | None, data: bytes | None, close: bool | int) -> Content:  # noqa: FBT001 - Channels 1's names
    """Return a message with a frame, or what closes the socket, or both. Raises: ValueError."""
    if text is not None and data is not None:
        raise ValueError("a frame is either text or bytes, not both")
    if text is None and data is None and close is False:
        raise ValueError("a frame needs text or bytes, or a reason to close")
    content: Content = {}
    if text is not None:
        content["text"] = text
    if data is not None:
        content["bytes"] = data
    if close is not False:
        content["close"] = require_close(close)
    return content


def require_close(close: bool | int) -> bool | int:  # noqa: FBT001 - Channels 1's names
    """Return *close* if a socket can be closed with it. Raises: ValueError."""
    if isinstance(close, bool) or (type(close) is int and (close in REGISTERED_CODES or close in OWN_CODES)):
        return close
    raise ValueError(
        f"a socket is closed with True, a code of 1000 to 1014 as registered, or 3000 to 4999, not {close!r}"
    )

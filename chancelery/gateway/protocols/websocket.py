"""
Turns ASGI 3 websocket events into messages, and replies into what to do to the socket.

Pure: no I/O, no Django. Source: ASGI specification, WebSocket; message formats of the ASGI 1 draft; RFC 6455, 7.4.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from chancelery.exceptions import OWN_CODES, REGISTERED_CODES
from chancelery.gateway.protocols import Action, BadReply, Event, Scope
from chancelery.types import Content

CONNECT: Final = "websocket.connect"
RECEIVE: Final = "websocket.receive"
DISCONNECT: Final = "websocket.disconnect"

NORMAL: Final = 1000
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
POLICY: Final = 1008
TOO_BIG: Final = 1009
RESTART: Final = 1012
TRY_AGAIN: Final = 1013

_KEYS: Final = frozenset({"accept", "text", "bytes", "key", "keep", "close", "subprotocol"})


class State(enum.Enum):
    """How far a socket is."""

    CONNECTING = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()
    """Denied, closed by us, or gone."""


class Frame:
    """A frame on its way out. One object serves every socket that it goes to."""

    __slots__ = ("_event", "_size", "data", "keep", "key", "prepared")

    def __init__(self, data: str | bytes, key: str = "", *, keep: bool = False) -> None:
        self.data = data
        self.key = key
        """While it waits for a slow client, a later frame with the same key takes its place; empty for none."""
        self.keep = keep
        """Whether nothing takes its place: rather than to be given up, it has the socket closed."""
        self.prepared: object = None
        """What a server's door made of it, to be used again for the next socket."""
        self._event: Event | None = None
        self._size: int | None = None

    @property
    def event(self) -> Event:
        """See `Action`."""
        if self._event is None:
            key = "text" if isinstance(self.data, str) else "bytes"
            self._event = {"type": "websocket.send", key: self.data}
        return self._event

    @property
    def size(self) -> int:
        """See `Action`."""
        if self._size is None:
            self._size = len(self.data.encode()) if isinstance(self.data, str) else len(self.data)
        return self._size


class Accept(NamedTuple):
    """Complete the handshake."""

    subprotocol: str | None = None
    size: int = 0

    @property
    def event(self) -> Event:
        """See `Action`."""
        return {"type": "websocket.accept", "subprotocol": self.subprotocol}


class Deny(NamedTuple):
    """Answer the handshake with an HTTP error: *status* where the server can, 403 where it cannot."""

    status: int = 403
    size: int = 0

    @property
    def event(self) -> Event:
        """See `Action`."""
        return {"type": "websocket.close"}


class Close(NamedTuple):
    """Start the closing handshake."""

    code: int = NORMAL
    size: int = 0

    @property
    def event(self) -> Event:
        """See `Action`."""
        return {"type": "websocket.close", "code": self.code}


class Reply(NamedTuple):
    """What a message to a socket asks for."""

    accept: bool | None = None
    frame: Frame | None = None
    close: int | None = None
    """The code to close with; None leaves it open."""
    subprotocol: str | None = None


def connect_message(scope: Scope, reply_channel: str, scheme: str) -> Content:
    """Return the content of `websocket.connect` for a connection with *scope*."""
    return {
        "reply_channel": reply_channel,
        "path": scope["path"],
        "scheme": scheme,
        "query_string": scope.get("query_string") or b"",
        "root_path": scope.get("root_path") or "",
        "headers": [[name.lower(), value] for name, value in scope.get("headers", ())],
        "client": scope.get("client"),
        "server": scope.get("server"),
        "subprotocols": list(scope.get("subprotocols") or ()),
        "order": 0,
    }


def receive_message(event: Event, reply_channel: str, path: str, order: int) -> Content:
    """Return the content of `websocket.receive` for a frame; it has `text` or `bytes`, not both."""
    content: Content = {"reply_channel": reply_channel, "path": path, "order": order}
    text = event.get("text")
    if text is not None:
        content["text"] = text
    else:
        content["bytes"] = event.get("bytes") or b""
    return content


def disconnect_message(reply_channel: str, path: str, order: int | None, code: int) -> Content:
    """
    Return the content of `websocket.disconnect`.

    order: one more than that of the last frame; None where nobody is left to know it.
    """
    return {"reply_channel": reply_channel, "path": path, "order": order, "code": code}


def read_reply(content: Content) -> Reply:
    """Return what *content*, sent to a socket, asks for. Raises: BadReply, which says what is wrong with it."""
    text = content.get("text")
    if len(content) == 1 and isinstance(text, str):
        return Reply(frame=Frame(text))
    unknown = content.keys() - _KEYS
    if unknown:
        raise BadReply(f"unknown key {min(unknown)!r}; a reply to a websocket has {', '.join(sorted(_KEYS))}")
    return Reply(_accept(content), _frame(content), _close_code(content), _subprotocol(content))


def waits_for_acceptance(reply: Reply, *, from_group: bool) -> bool:
    """Tell whether *reply*, which came while connecting, is to wait: only an answer to this socket may accept it."""
    if from_group:
        return True
    return reply.accept is None and reply.close is None and reply.frame is not None and not reply.frame.data


def answer(
    state: State, reply: Reply, offered: tuple[str, ...] = (), subprotocol: str | None = None
) -> tuple[State, tuple[Action, ...]]:
    """
    Return the state after *reply* and what to do.

    offered: the subprotocols that the client named; subprotocol: the one of them to accept it with if *reply* has none.
    Raises: BadReply for one that was not offered.
    """
    if state is State.OPEN:
        return _answer_open(reply)
    if state is State.CONNECTING:
        return _answer_connecting(reply, offered, subprotocol)
    return state, ()


def _answer_open(reply: Reply) -> tuple[State, tuple[Action, ...]]:
    actions: list[Action] = [] if reply.frame is None else [reply.frame]
    if reply.close is None:
        return State.OPEN, tuple(actions)
    return State.CLOSED, (*actions, Close(reply.close))


def _answer_connecting(
    reply: Reply, offered: tuple[str, ...], subprotocol: str | None
) -> tuple[State, tuple[Action, ...]]:
    if reply.accept is False:
        return State.CLOSED, (Deny(),)
    if reply.accept or (reply.frame is not None and reply.frame.data):
        if reply.subprotocol is not None and reply.subprotocol not in offered:
            raise BadReply(
                f"subprotocol {reply.subprotocol!r} was not offered; the client offered {', '.join(offered) or 'none'}"
            )
        state, actions = _answer_open(reply)
        return state, (Accept(reply.subprotocol or subprotocol), *actions)
    if reply.close is not None:
        return State.CLOSED, (Deny(),)
    return State.CONNECTING, ()


def _accept(content: Content) -> bool | None:
    accept = content.get("accept")
    if accept is not None and not isinstance(accept, bool):
        raise BadReply(f"accept is True or False, not {accept!r}")
    return accept


def _frame(content: Content) -> Frame | None:
    text, data = content.get("text"), content.get("bytes")
    if text is not None and data is not None:
        raise BadReply("both text and bytes: a frame is one of them")
    if text is not None and not isinstance(text, str):
        raise BadReply(f"text is a str, not {type(text).__name__}")
    if data is not None and not isinstance(data, bytes):
        raise BadReply(f"bytes is a bytes, not {type(data).__name__}")
    frame = data if text is None else text
    key = content.get("key") or ""
    if not isinstance(key, str):
        raise BadReply(f"key is a str, not {type(key).__name__}")
    keep = content.get("keep") or False
    if not isinstance(keep, bool):
        raise BadReply(f"keep is True or False, not {keep!r}")
    if (key or keep) and frame is None:
        what = f"key {key!r}" if key else "keep"
        raise BadReply(f"{what} without text or bytes: it is a frame that has it")
    if key and keep:
        raise BadReply(f"both keep and key {key!r}: a frame that is kept makes no room for the next with its key")
    return None if frame is None else Frame(frame, key, keep=keep)


def _close_code(content: Content) -> int | None:
    close = content.get("close")
    if close is None or close is False:
        return None
    if close is True:
        return NORMAL
    if isinstance(close, int) and (close in REGISTERED_CODES or close in OWN_CODES):
        return close
    raise BadReply(f"close is True, False or a close code (1000 to 1014 as registered, or 3000 to 4999), not {close!r}")


def _subprotocol(content: Content) -> str | None:
    subprotocol = content.get("subprotocol")
    if subprotocol is not None and not isinstance(subprotocol, str):
        raise BadReply(f"subprotocol is a str, not {subprotocol!r}")
    return subprotocol

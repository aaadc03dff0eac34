"""
A message as bytes and back: one msgpack envelope per message.

    [version, term, full channel name, lane, content, trail]

The term is a uint64: one byte, how often the message may be begun (0: at most once); one byte, how often it was begun
and lost; six bytes, its deadline in ms. The head has a fixed form (array of six, one-byte version, uint64, two str8),
so that Redis' scripts read and write it by offset while any msgpack library still decodes the whole. The head is
written by the layer, which stamps the deadline with its server's clock; content and trail are packed once, where the
message is sent: that is the *body*.
Pure: no I/O. Source: msgpack specification; msgspec's documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from chancelery.exceptions import CorruptMessage, UnknownVersion
from chancelery.trail import Hop, Trail

if TYPE_CHECKING:
    from chancelery.types import Content

VERSION = 1
_HEAD = b"\x96" + bytes([VERSION]) + b"\xcf"
_CONTROL = b"\x95"
_ARRAYS = range(0x90, 0xA0)
_TERM = struct.Struct(">Q")
_ATTEMPTS_BIT = 56
_LOST_BIT = 48
_DEADLINE_MASK = (1 << _LOST_BIT) - 1
_SCALARS = frozenset({str, bytes, int, float, bool, type(None)})

_Fields = TypeVar("_Fields")

_encode = msgspec.msgpack.Encoder().encode
_decode_envelope = msgspec.msgpack.Decoder(tuple[int, int, str, str, dict[str, Any], tuple[Hop, ...]]).decode
_decode_control = msgspec.msgpack.Decoder(tuple[int, int, int, str, str]).decode


class Envelope(NamedTuple):
    """A message as it lies on a channel."""

    deadline_ms: int
    """By the clock of the layer's server; after it the message has expired."""
    channel: str
    """The full channel name; for a message to a group on its way to a process, the group's name."""
    lane: str
    """The lane that keeps it in order, or an empty string."""
    content: Content
    trail: Trail
    attempts: int = 0
    """How often it may be begun before it is a dead letter; 0 for a message that is handled at most once."""
    lost: int = 0
    """How often it was begun by a worker that died."""


class Control(NamedTuple):
    """A change of a process's memberships, sent down the same list as its messages."""

    number: int
    """Rises by one per process: a gap means that something was lost."""
    deadline_ms: int
    """When the membership expires; 0 for a discard."""
    group: str
    channel: str


def pack_body(content: Content, trail: Trail = ()) -> bytes:
    """
    Return *content* and *trail* packed, to be put behind a head.

    Raises: TypeError for anything but text, bytes, numbers, booleans, None, lists and dicts with text keys.
    """
    if type(content) is not dict:
        raise TypeError(f"a message is a dict, not {type(content).__name__}")
    try:
        _require_plain_dict(content, "")
        return _encode(content) + _encode(trail)
    except (OverflowError, UnicodeEncodeError, RecursionError) as error:
        raise TypeError(f"a message cannot carry this: {error}") from error


def pack(deadline_ms: int, channel: str, lane: str, body: bytes, attempts: int = 0, lost: int = 0) -> bytes:  # noqa: PLR0917 - in the order in which they lie there
    """Return the envelope: a head, and *body* from `pack_body`."""
    term = attempts << _ATTEMPTS_BIT | lost << _LOST_BIT | deadline_ms
    return b"".join((_HEAD, _TERM.pack(term), _str8(channel), _str8(lane), body))


def pack_control(control: Control) -> bytes:
    """Return a control message as bytes, as the Redis layer's scripts write it."""
    return _encode((VERSION, *control))


def unpack(data: bytes) -> Envelope:
    """Return what *data* carries. Raises: UnknownVersion, CorruptMessage."""
    _, term, channel, lane, content, trail = _fields(_decode_envelope, data)
    if term <= _DEADLINE_MASK:
        return Envelope(term, channel, lane, content, trail)
    attempts, lost = term >> _ATTEMPTS_BIT, term >> _LOST_BIT & 0xFF
    return Envelope(term & _DEADLINE_MASK, channel, lane, content, trail, attempts, lost)


def unpack_control(data: bytes) -> Control:
    """Return the control message in *data*. Raises: UnknownVersion, CorruptMessage."""
    return Control(*_fields(_decode_control, data)[1:])


def is_control(data: bytes) -> bool:
    """Tell whether *data*, from a process's list, is a control message and no envelope."""
    return data[:1] == _CONTROL


def _fields(decode: Callable[[bytes], _Fields], data: bytes) -> _Fields:
    if len(data) > 1 and data[0] in _ARRAYS and VERSION < data[1] < 0x80:  # noqa: PLR2004 - the end of one-byte integers
        raise UnknownVersion(f"an envelope of version {data[1]}; this process reads up to {VERSION}")
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptMessage(f"{len(data)} bytes that are not an envelope: {error}") from error


def _str8(text: str) -> bytes:
    raw = text.encode("ascii")
    return b"\xd9" + bytes((len(raw),)) + raw


def _require_plain_dict(value: dict[Any, Any], path: str) -> None:
    for key, item in value.items():
        if type(key) is not str:
            raise TypeError(f"a message's keys are text: {path or 'the message'} has the key {key!r}")
        if type(item) not in _SCALARS:
            _require_plain(item, f"{path}[{key!r}]")


def _require_plain(item: object, path: str) -> None:
    if isinstance(item, dict):
        _require_plain_dict(item, path)
    elif isinstance(item, list | tuple):
        for index, element in enumerate(item):
            if type(element) not in _SCALARS:
                _require_plain(element, f"{path}[{index}]")
    elif not isinstance(item, str | bytes | int | float) or type(item) not in _SCALARS:
        raise TypeError(
            f"a message carries text, bytes, numbers, booleans, None, lists and dicts: {path} is a "
            f"{type(item).__module__}.{type(item).__qualname__}; convert it where it is sent"
        )

"""
What a channel or group may be called.

Source: the ASGI 1 draft's channel name rules. `name?local` is a single-reader channel, `name!local` a process-local
one: everything up to the `!` names the process that reads it.
"""

from __future__ import annotations

import re
import secrets

MAX_LENGTH = 100
_CHANNEL = re.compile(r"[A-Za-z0-9_.-]+(?:[?!][A-Za-z0-9_.-]+)?", re.ASCII)
_GROUP = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_PROCESS = re.compile(r"[A-Za-z0-9_.-]+!", re.ASCII)
_MOST_KNOWN = 10_000
_known_channels: set[str] = set()
"""Names that have been found valid: the same few are sent to over and over."""


def require_channel(name: object) -> str:
    """Return *name* if it is a channel that can be sent to. Raises: TypeError."""
    if type(name) is str and name in _known_channels:
        return name
    if isinstance(name, str) and len(name) <= MAX_LENGTH and _CHANNEL.fullmatch(name):
        if len(_known_channels) >= _MOST_KNOWN:
            _known_channels.clear()
        _known_channels.add(name)
        return name
    raise TypeError(_complaint("channel", name, "optionally followed by one ? or ! and a local part"))


def require_receivable(name: object) -> str:
    """Return *name* if it can be received from: one without a local `!` part, or `process!`. Raises: TypeError."""
    if isinstance(name, str) and len(name) <= MAX_LENGTH:
        if _PROCESS.fullmatch(name):
            return name
        if "!" not in name and _CHANNEL.fullmatch(name):
            return name
    raise TypeError(_complaint("channel to receive from", name, "with at most a ? part, or ending in !"))


def require_group(name: object) -> str:
    """Return *name* if it is a valid group name. Raises: TypeError."""
    if isinstance(name, str) and len(name) <= MAX_LENGTH and _GROUP.fullmatch(name):
        return name
    raise TypeError(_complaint("group", name, "and nothing else"))


def require_purgeable(name: object) -> str:
    """Return *name* if it is a channel that workers read: the mail of a process holds more than messages."""
    channel = require_channel(name)
    if "!" in channel:
        raise TypeError(f'"{channel}" is local to a process: only channels that workers read can be purged')
    return channel


def process_of(channel: str) -> str:
    """Return the process that a process-local channel belongs to, with its `!`, or an empty string."""
    head, mark, _ = channel.partition("!")
    return head + mark if mark else ""


def random_part() -> str:
    """Return a local part that nobody can guess (96 bits)."""
    return secrets.token_hex(12)


def _complaint(kind: str, name: object, rest: str) -> str:
    shown = repr(name) if len(repr(name)) <= 2 * MAX_LENGTH else repr(name)[: 2 * MAX_LENGTH] + "…"
    return (
        f"{shown} is not a valid {kind} name: use a str of 1 to {MAX_LENGTH} ASCII letters, digits, hyphens, "
        f"underscores and periods, {rest}"
    )

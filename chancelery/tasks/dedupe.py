"""
One job for all who ask for the same: whoever escalates under the key of a job that goes on is attached to that one.

Which job that is, is decided where jobs are recorded, see `scripts/record.lua` and `scripts/attach.lua`.
"""

from __future__ import annotations

MAX_KEY_BYTES = 200


def checked_key(option: str, key: object) -> str:
    """Return *key*, given for *option*. Raises: TypeError, ValueError, which say what is allowed."""
    if not isinstance(key, str):
        raise TypeError(f"{option} takes a key, as text, not {key!r}")
    if not 0 < len(key.encode(errors="surrogatepass")) <= MAX_KEY_BYTES:
        raise ValueError(f"{option}={key!r}: a key has 1 to {MAX_KEY_BYTES} bytes of UTF-8; hash what is longer")
    if not key.isprintable():
        raise ValueError(f"{option}={key!r}: a key is printable text, without line breaks and control characters")
    return key


def pointer(key: str | None, alias: str) -> str:
    """Return what the record calls the key *dedupe* of an escalation by that layer; "" for none. Raises: as above."""
    return "" if key is None else f"{alias}:{checked_key('dedupe', key)}"

"""
What a route asks of a message's content: a regular expression for each of some keys.

Text, bytes and numbers are all matched as text, so that patterns and values of any kind meet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from django.core.exceptions import ImproperlyConfigured

Filters: TypeAlias = "list[tuple[str, re.Pattern[str]]]"


def compiled(filters: Mapping[str, str | bytes | re.Pattern[str]]) -> Filters:
    """Return *filters* ready for use. Raises: ImproperlyConfigured, ValueError."""
    return [(key, _pattern(key, regex)) for key, regex in filters.items()]


def matched(pattern: re.Pattern[str], value: object) -> re.Match[str] | None:
    """Match *pattern* at the start of *value*: text, bytes or a number."""
    if isinstance(value, str):
        return pattern.match(value)
    if isinstance(value, bytes):
        return pattern.match(_text(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return pattern.match(str(value))
    return None


def _pattern(key: str, regex: str | bytes | re.Pattern[str]) -> re.Pattern[str]:
    source, flags = (regex.pattern, regex.flags) if isinstance(regex, re.Pattern) else (regex, 0)
    try:
        pattern = re.compile(_text(source) if isinstance(source, bytes) else source, flags)
    except re.error as error:
        raise ImproperlyConfigured(f"the filter {key}={regex!r} is no regular expression: {error}") from error
    if pattern.groups != len(pattern.groupindex):
        raise ValueError(
            f"the filter {key}={regex!r} has a group without a name: write (?P<name>…) to pass it to the consumer, "
            f"(?:…) otherwise"
        )
    return pattern


def _text(raw: bytes) -> str:
    """Return *raw* as text without loss."""
    return raw.decode("utf-8", "surrogateescape")

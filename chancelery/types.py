"""The shapes that several rooms share. Knows nothing of any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Scalar: TypeAlias = "str | bytes | int | float | bool | None"
Value: TypeAlias = "Scalar | Sequence[Value] | Mapping[str, Value]"
Content: TypeAlias = "dict[str, Value]"
"""
What a message carries: a dict of text keys to text, bytes, numbers, booleans, None, lists and dicts. Nothing else: a
datetime or a model instance is a TypeError at the sender.
"""

RETRIES: Final = "__retries__"
"""The key of a message's content that tells how often it was handed out again since a consumer asked for it."""

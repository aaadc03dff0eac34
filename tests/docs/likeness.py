"""Whether what happened is like what a page shows, where `…` stands for anything."""

from __future__ import annotations

import json
import re
from typing import Any

_TIME = re.compile(r"^\d\d:\d\d:\d\d ")


def frames_alike(shown: str, found: str) -> bool:
    """Tell whether a frame is like the one that is shown; in JSON, keys may come in any order."""
    try:
        told = json.loads(re.sub(r":…(?=[,}])", ':"…"', shown))
    except ValueError:
        return _pattern(shown).fullmatch(found) is not None
    return (isinstance(told, dict) and _alike(told, json.loads(found))) or shown == found


def line_pattern(shown: str) -> re.Pattern[str]:
    """Return the pattern of a line of a log; the time that it begins with may be any."""
    timed = _TIME.match(shown)
    rest = _pattern(shown[timed.end() :] if timed else shown).pattern
    return re.compile(rf"^{_TIME.pattern[1:] if timed else ''}{rest}\s*$", re.MULTILINE)


def _alike(shown: Any, found: Any) -> bool:
    if isinstance(shown, dict) and isinstance(found, dict):
        return shown.keys() == found.keys() and all(_alike(value, found[key]) for key, value in shown.items())
    if isinstance(shown, list) and isinstance(found, list):
        return len(shown) == len(found) and all(map(_alike, shown, found))
    if isinstance(shown, str) and "…" in shown:
        return _pattern(shown).fullmatch(str(found)) is not None
    return type(shown) is type(found) and bool(shown == found)


def _pattern(shown: str) -> re.Pattern[str]:
    # Runs of blanks are as wide as the longest name in a log.
    return re.compile(".*?".join(re.escape(part) for part in shown.split("…")))

"""
What the command knows as JSON: everything, with the names and units that `docs/reference/commands.md` promises.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from chancelery.layers.base import ChannelOverview, DeadLetter
from chancelery.management.channels.samples import Sample


def samples_as_json(samples: Sequence[Sample]) -> str:
    """Return *samples* as one object in one line."""
    return _line({sample.alias: _sample(sample) for sample in samples})


def letters_as_json(letters: Mapping[str, Sequence[DeadLetter]]) -> str:
    """Return the dead letters of each alias as one object in one line; bytes become `{"base64": "…"}`."""
    return _line({alias: [_letter(letter) for letter in found] for alias, found in letters.items()})


def _line(layers: Mapping[str, object]) -> str:
    return json.dumps({"layers": layers}, default=_base64, ensure_ascii=False)


def _sample(sample: Sample) -> dict[str, Any]:
    overview = sample.overview
    return {
        "backend": sample.backend,
        "now_ms": overview.now_ms,
        "seconds": sample.seconds,
        "channels": [
            {
                **_waiting(channel),
                "sent": channel.sent,
                "sent_per_second": sample.sent_per_second.get(channel.name),
                "refused": channel.full,
            }
            for channel in overview.channels
        ],
        "processes": [_waiting(process) for process in overview.processes],
        "groups": [{"name": name, "members": size} for name, size in overview.groups],
        "leases": [lease._asdict() for lease in overview.leases],
        "busy_lanes": overview.busy_lanes,
        "delayed": overview.delayed,
        "dead_letters": overview.dead_letters,
        "sent": _counter(sample, "messages_count"),
        "refused": _counter(sample, "channel_full_count"),
        "dropped": {
            reason: {"count": count, "per_second": per_second} for reason, (count, per_second) in sample.drops().items()
        },
    }


def _waiting(channel: ChannelOverview) -> dict[str, Any]:
    return {"name": channel.name, "waiting": channel.pending, "oldest_ms": channel.oldest_ms}


def _counter(sample: Sample, name: str) -> dict[str, Any]:
    return {"count": sample.overview.counters.get(name, 0), "per_second": sample.counters_per_second.get(name)}


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {**letter._asdict(), "trail": [hop._asdict() for hop in letter.trail]}


def _base64(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"a message carries no {type(value).__name__}")

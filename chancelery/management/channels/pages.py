"""
A sample of a layer on one page: what waits, who works, and what was dropped.

Shows the busiest of what there is much of, and sums up the rest; `shapes` leaves nothing out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from chancelery.layers.base import ChannelOverview, LeaseOverview, Overview
from chancelery.management.channels.columns import Table, aligned, clipped, duration, number, rate
from chancelery.management.channels.samples import Rate, Sample

MOST_CHANNELS: Final = 30
MOST_OTHERS: Final = 8

_Item = TypeVar("_Item")


def page(sample: Sample) -> str:
    """Return *sample* as text of at most `columns.WIDTH` columns."""
    tables = [_channels(sample), _mail(sample.overview), _groups(sample.overview)]
    tables += [_leases(sample.overview), _drops(sample)]
    return "\n\n".join([_summary(sample), *aligned([table for table in tables if table.rows])])


def _summary(sample: Sample) -> str:
    overview, per_second = sample.overview, sample.counters_per_second
    totals = [
        _counted("Sent", overview, "messages_count", per_second.get("messages_count")),
        _counted("refused", overview, "channel_full_count", per_second.get("channel_full_count")),
        f"being handled {number(sum(lease.held for lease in overview.leases))}",
        f"busy lanes {number(overview.busy_lanes)}",
        f"delayed {number(overview.delayed)}",
        f"dead letters {number(overview.dead_letters)}",
    ]
    return "\n".join(map(clipped, [f'Layer "{sample.alias}": {sample.backend}', ", ".join(totals)]))


def _counted(what: str, overview: Overview, counter: str, per_second: Rate) -> str:
    each_second = "" if per_second is None else f" ({rate(per_second)}/s)"
    return f"{what} {number(overview.counters.get(counter, 0))}{each_second}"


def _channels(sample: Sample) -> Table:
    def busyness(channel: ChannelOverview) -> tuple[float, float, float]:
        return channel.pending, sample.sent_per_second.get(channel.name) or 0, channel.sent

    shown, others = _foremost(sample.overview.channels, MOST_CHANNELS, busyness)
    rows = [_channel(each.name, [each], sample) for each in sorted(shown)]
    if others:
        rows.append(_channel(f"({number(len(others))} others)", others, sample))
    return Table(("CHANNEL", "WAITING", "OLDEST", "SENT/S", "SENT", "REFUSED"), rows)


def _channel(name: str, channels: Sequence[ChannelOverview], sample: Sample) -> list[str]:
    rates = [found for each in channels if (found := sample.sent_per_second.get(each.name)) is not None]
    return [
        name,
        *_waiting(channels),
        rate(sum(rates) if rates else None),
        number(sum(each.sent for each in channels)),
        number(sum(each.full for each in channels)),
    ]


def _waiting(channels: Sequence[ChannelOverview]) -> list[str]:
    pending = sum(each.pending for each in channels)
    return [number(pending), duration(max(each.oldest_ms for each in channels)) if pending else "-"]


def _mail(overview: Overview) -> Table:
    shown, others = _foremost(overview.processes, MOST_OTHERS, lambda each: (each.pending, each.oldest_ms))
    rows = [[each.name, *_waiting([each])] for each in sorted(shown)]
    if others:
        rows.append([f"({number(len(others))} others)", *_waiting(others)])
    return Table(("MAIL OF A PROCESS", "WAITING", "OLDEST"), rows)


def _groups(overview: Overview) -> Table:
    shown, others = _foremost(overview.groups, MOST_OTHERS, lambda group: group[1])
    rows = [[name, number(size)] for name, size in shown]
    if others:
        rows.append([f"({number(len(others))} others)", number(sum(size for _, size in others))])
    return Table(("GROUP", "MEMBERS"), rows)


def _leases(overview: Overview) -> Table:
    idle = [lease for lease in overview.leases if not lease.held and lease.left_ms > 0]
    others = [lease for lease in overview.leases if lease.held or lease.left_ms <= 0]
    shown, others = _foremost(others, MOST_OTHERS, lambda lease: (-lease.left_ms, lease.held))
    rows = [[lease.name, number(lease.held), _left(lease)] for lease in shown]
    if others:
        rows.append([f"({number(len(others))} others)", number(sum(lease.held for lease in others)), "-"])
    if idle:
        rows.append([f"({number(len(idle))} idle)", "0", duration(min(lease.left_ms for lease in idle))])
    return Table(("LEASE OF A WORKER'S THREAD", "HOLDS", "LEFT"), rows)


def _left(lease: LeaseOverview) -> str:
    return duration(lease.left_ms) if lease.left_ms > 0 else f"overdue by {duration(-lease.left_ms)}"


def _drops(sample: Sample) -> Table:
    rows = [[reason, number(count), rate(per_second)] for reason, (count, per_second) in sample.drops().items()]
    return Table(("DROPPED", "MESSAGES", "PER SECOND"), rows)


def _foremost(
    items: Sequence[_Item], most: int, key: Callable[[_Item], float | tuple[float, ...]]
) -> tuple[list[_Item], list[_Item]]:
    """Return the *most* items with the greatest keys, the greatest first, and the others."""
    ordered = sorted(items, key=key, reverse=True)
    return ordered[:most], ordered[most:]

"""What a sample of a layer looks like, as a page and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chancelery.layers.base import ChannelOverview, LeaseOverview, Overview
from chancelery.management.channels.columns import WIDTH, Table, aligned, clipped, duration, number, rate
from chancelery.management.channels.pages import MOST_CHANNELS, page
from chancelery.management.channels.samples import Sample, compared, selected
from chancelery.management.channels.shapes import samples_as_json
from tests.docs.blocks import DOCS, blocks_of

EMPTY = Overview(1000, [], [], [], [], 0, 0, {"messages_count": 0, "channel_full_count": 0})
BUSY = Overview(
    now_ms=3000,
    channels=[ChannelOverview("chat.say", 12, 40, 4120, 7), ChannelOverview("websocket.receive", 0, 0, 900, 0)],
    processes=[ChannelOverview("gw.4046629f8bdc!", 3, 1200, 0, 0)],
    groups=[("small", 1), ("large", 400)],
    leases=[LeaseOverview("held", 3, 14_200), LeaseOverview("late", 1, -2300), LeaseOverview("idle", 0, 15_000)],
    busy_lanes=5,
    dead_letters=2,
    counters={"messages_count": 5020, "channel_full_count": 7, "dropped:expired": 3, "dropped:worker_died": 40},
    delayed=1000,
)
BEFORE = BUSY._replace(
    now_ms=1000,
    channels=[ChannelOverview("chat.say", 12, 40, 2120, 7)],
    counters={"messages_count": 2220, "channel_full_count": 7, "dropped:worker_died": 39},
)


def sample(after: Overview, before: Overview | None = None) -> Sample:
    return compared("default", "RedisChannelLayer", before, after)


def test_a_busy_layer_on_a_page() -> None:
    assert page(sample(BUSY, BEFORE)).splitlines() == [
        'Layer "default": RedisChannelLayer',
        "Sent 5,020 (1,400/s), refused 7 (0/s), being handled 4, busy lanes 5, delayed 1,000, dead letters 2",
        "",
        "CHANNEL                     WAITING  OLDEST  SENT/S   SENT  REFUSED",
        "chat.say                         12   40 ms   1,000  4,120        7",
        "websocket.receive                 0       -     450    900        0",
        "",
        "MAIL OF A PROCESS           WAITING  OLDEST",
        "gw.4046629f8bdc!                  3   1.2 s",
        "",
        "GROUP                       MEMBERS",
        "large                           400",
        "small                             1",
        "",
        "LEASE OF A WORKER'S THREAD  HOLDS              LEFT",
        "late                            1  overdue by 2.3 s",
        "held                            3              14 s",
        "(1 idle)                        0              15 s",
        "",
        "DROPPED                     MESSAGES  PER SECOND",
        "worker_died                       40         0.5",
        "expired                            3         1.5",
    ]


def test_a_layer_that_was_never_used_on_a_page() -> None:
    assert page(sample(EMPTY)).splitlines() == [
        'Layer "default": RedisChannelLayer',
        "Sent 0, refused 0, being handled 0, busy lanes 0, delayed 0, dead letters 0",
    ]


def test_a_page_shows_the_busiest_and_sums_up_the_rest() -> None:
    quiet = [ChannelOverview(f"quiet.{n:03}", 1, 10 * n, 2, 1) for n in range(MOST_CHANNELS + 20)]
    loud = ChannelOverview("a.loud.one", 50, 10, 60, 0)
    lines = page(sample(EMPTY._replace(channels=[*quiet, loud]))).splitlines()
    shown = lines[lines.index(next(line for line in lines if line.startswith("CHANNEL"))) + 1 :]
    assert len(shown) == MOST_CHANNELS + 1
    assert shown[0].split() == ["a.loud.one", "50", "10", "ms", "-", "60", "0"]
    assert shown[-1].split() == ["(21", "others)", "21", "490", "ms", "-", "42", "21"]


def test_nothing_exceeds_a_line() -> None:
    name = "a" * 100
    lease = LeaseOverview("f" * 24, 1_000_000, -(10**12))
    overview = Overview(
        now_ms=10**13,
        channels=[ChannelOverview(name, 10**9, 10**9, 10**12, 10**9)],
        processes=[ChannelOverview(name[:-1] + "!", 10**9, 10**9, 0, 0)],
        groups=[(name, 10**9)],
        leases=[lease] * 20,
        busy_lanes=10**9,
        dead_letters=10**9,
        delayed=10**5,
        counters={"messages_count": 10**15, "channel_full_count": 10**15, "dropped:" + "r" * 99: 10**12},
    )
    lines = page(sample(overview, overview._replace(now_ms=10**13 - 1000, channels=[], counters={}))).splitlines()
    assert max(map(len, lines)) <= WIDTH


def test_what_was_flushed_between_two_looks_counts_from_zero() -> None:
    found = sample(EMPTY._replace(now_ms=5000), BUSY)
    assert found.counters_per_second == {"messages_count": 0, "channel_full_count": 0}


def test_without_time_between_two_looks_there_are_no_rates() -> None:
    assert set(sample(BUSY, BUSY).sent_per_second.values()) == {None}


def test_a_pattern_selects_channels_processes_and_groups() -> None:
    found = selected(BUSY, "*a*[!e]")
    assert [each.name for each in found.channels] == ["chat.say"]
    assert (found.processes, found.groups, found.leases) == ([], [("small", 1)], BUSY.leases)
    assert selected(BUSY, None) == BUSY


def test_json_has_everything() -> None:
    [layer] = json.loads(samples_as_json([sample(BUSY, BEFORE)]))["layers"].values()
    assert layer["channels"][0] == {
        "name": "chat.say",
        "waiting": 12,
        "oldest_ms": 40,
        "sent": 4120,
        "sent_per_second": 1000.0,
        "refused": 7,
    }
    assert layer["processes"] == [{"name": "gw.4046629f8bdc!", "waiting": 3, "oldest_ms": 1200}]
    assert layer["groups"] == [{"name": "small", "members": 1}, {"name": "large", "members": 400}]
    assert layer["leases"][1] == {"name": "late", "held": 1, "left_ms": -2300}
    assert (layer["busy_lanes"], layer["dead_letters"], layer["seconds"], layer["now_ms"]) == (5, 2, 2.0, 3000)
    assert layer["delayed"] == 1000
    assert layer["sent"] == {"count": 5020, "per_second": 1400.0}
    assert layer["refused"] == {"count": 7, "per_second": 0.0}
    assert layer["dropped"] == {
        "worker_died": {"count": 40, "per_second": 0.5},
        "expired": {"count": 3, "per_second": 1.5},
    }


def test_json_has_the_shape_that_the_reference_shows() -> None:
    [block] = [block for block in blocks_of(DOCS / "reference" / "commands.md") if block.language == "json"]
    found = json.loads(samples_as_json([sample(BUSY, BEFORE)]))
    assert shape(json.loads(block.source)) == shape(found)


def shape(value: Any) -> Any:
    """Return *value* with types in place of what it holds, and one item of each list."""
    if isinstance(value, list):
        return [shape(value[0])]
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items() if key != "worker_died"}
    return type(value)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (9940, "9.9 s"),
        (10_000, "10 s"),
        (119_000, "119 s"),
        (120_000, "2 min"),
        (7_000_000, "117 min"),
        (7_200_000, "2 h"),
        (259_200_000, "3 d"),
    ],
)
def test_durations_have_the_unit_that_suits_them(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0, "0"), (0.25, "0.2"), (99.9, "99.9"), (1234.5, "1,234")])
def test_rates_have_a_decimal_where_it_matters(value: float | None, text: str) -> None:
    assert rate(value) == text


def test_counts_have_their_thousands_marked() -> None:
    assert [number(7), number(1_234_567)] == ["7", "1,234,567"]


def test_what_is_too_long_loses_its_middle() -> None:
    assert clipped("short", 5) == "short"
    assert clipped("much too long", 8) == "much…ong"


def test_numbers_of_all_tables_begin_in_the_same_column() -> None:
    first, second = aligned([Table(("A", "N"), [["x" * 20, "1"]]), Table(("B", "NUMBER"), [["y", "2"]])])
    assert first.splitlines() == ["A                     N", "xxxxxxxxxxxxxxxxxxxx  1"]
    assert second.splitlines() == ["B                     NUMBER", "y                          2"]

"""What the benchmarks print of what they measured."""

from __future__ import annotations

import argparse

import pytest

from tests.benchmarks import table
from tests.benchmarks.conditions import numbers
from tests.benchmarks.layer import Run, ratios
from tests.benchmarks.memory import Findings, key_notes
from tests.benchmarks.report import Table, middle, spread_percent


def result(per_second: float, worker_us: float | None) -> table.Result:
    return {
        "per_second": per_second,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "cpu_us": {"server": 10.0} | ({"worker": worker_us} if worker_us else {}),
        "client_share": 0.5,
        "notes": [],
    }


def test_a_table_is_aligned_for_a_terminal() -> None:
    shown = Table("title", ("name", "rate"), [("short", 1234.5), ("a longer name", None)]).lines(markdown=False)
    assert shown == ["title", "  name            rate", "  short          1,234", "  a longer name      -"]


def test_a_table_is_markdown_when_asked() -> None:
    shown = Table("title", ("name", "rate"), [("short", 0.25)]).lines(markdown=True)
    assert shown == ["**title**", "", "| name | rate |", "| --- | ---: |", "| short | 0.25 |"]


def test_unknown_numbers_do_not_count_for_a_median() -> None:
    assert middle([3, None, 1, 2]) == 2
    assert middle([None]) is None


def test_one_round_has_no_spread() -> None:
    assert spread_percent([5.0]) is None
    assert spread_percent([90.0, 100.0, 110.0]) == 10


def test_the_side_by_side_table_shows_columns_that_hold_something_and_who_is_faster() -> None:
    summary = table.summarise({"echo": {"bare": [result(200, None)], "chancelery": [result(100, 30)]}})
    (echo,) = table.tables(summary)
    assert "worker µs" in echo.head
    assert "celery µs" not in echo.head
    assert [row[-1] for row in echo.rows] == ["0.50x", None]


def test_the_cost_of_a_guarantee_is_the_median_of_the_rounds_ratios() -> None:
    plain = [Run(100, 64, 10, 10, 10), Run(200, 64, 10, 10, 10), Run(100, 64, 10, 10, 10)]
    sure = [Run(80, 64, 12, 10, 10), Run(100, 64, 12, 10, 10), Run(100, 64, 12, 10, 10)]
    assert ratios(plain, sure) == [1.25, 1.2, 1.0, 1.0]


def test_keys_that_connections_leave_behind_are_told() -> None:
    findings = Findings(1, keys=[{"counters": 2}, {"counters": 3, "lane:x": 1}, {}])
    told = "\n".join(key_notes({("daphne", "chancelery"): findings}))
    assert "LEFT OVER after the idle sockets: lane:x (1)" in told
    assert "counters grew from 2 to 3 after the idle sockets" in told
    assert "gone after round 1: counters" in told


def test_a_list_of_numbers_begins_with_one() -> None:
    assert numbers("1,8,64") == [1, 8, 64]
    with pytest.raises(argparse.ArgumentTypeError, match="no list of numbers"):
        numbers("1,0")

"""Counting in parts is counting the whole."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLE = Path(__file__).parents[2] / "example"


def alone(name: str) -> ModuleType:
    """Load a module of the example without its package, which would make its Celery app the one of this process."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


counting = alone("counting")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(st.text(alphabet="aßΣσς'İ. \n\tд一_", max_size=200).map(str.encode), st.binary(max_size=200)),  # noqa: RUF001
    parts=st.integers(1, 30),
)
def test_parts_add_up_to_the_whole_whatever_the_bytes(tmp_path: Path, text: bytes, parts: int) -> None:
    path = tmp_path / "text"
    path.write_bytes(text)
    ranges = counting.ranges(path, parts)
    assert b"".join(text[start:stop] for start, stop in ranges) == text
    assert len(ranges) <= parts
    whole = Counter(re.findall(r"\w+", text.decode("utf-8", errors="replace").lower()))
    assert counting.merge(counting.count(path, *each) for each in ranges) == whole


def test_parts_of_a_long_text_are_about_the_same_size(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"word " * 100_000)
    sizes = [stop - start for start, stop in counting.ranges(path, 20)]
    assert len(sizes) == 20
    assert max(sizes) - min(sizes) <= 10


def test_a_text_without_white_space_is_one_part(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"x" * 50_000)
    assert counting.ranges(path, 20) == [(0, 50_000)]


def test_equally_frequent_words_are_in_alphabetical_order_and_long_ones_are_cut() -> None:
    found = counting.top(Counter({"b": 2, "a": 2, "x" * 1000: 1}))
    assert found == [("a", 2), ("b", 2), ("x" * 100 + "…", 1)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hello", 'the frame is not JSON, it begins with "hello": send a JSON object'),
        ("[" * 100_000, "the frame is not JSON, it begins with"),
        ("[1]", "the frame is [1]: send a JSON object such as"),
        (None, "the frame is binary: send a JSON object as text"),
        ("{}", 'the frame has no "do": allowed is one of wordcount, chain, flaky, later, announce'),
        ('{"do": null}', '"do" is null: allowed is one of wordcount, chain'),
        ('{"do": "dance"}', '"do" is "dance": allowed is one of wordcount, chain'),
        ('{"do": ["chain"]}', '"do" is ["chain"]: allowed is one of'),
        ('{"do": "chain"}', 'chain needs "value": a whole number from -1000000 to 1000000'),
        ('{"do": "chain", "value": "1"}', '"value" is "1": allowed is a whole number from'),
        ('{"do": "chain", "value": true}', '"value" is true: allowed is a whole number from'),
        ('{"do": "chain", "value": 1, "colour": 2}', 'chain has no "colour": allowed are "value" and "ref"'),
        ('{"do": "chain", "value": 1, "ref": 5}', '"ref" is 5: allowed is nothing, or a text of 1 to 64 characters'),
        ('{"do": "flaky", "fail": 11}', '"fail" is 11: allowed is a whole number from 0 to 10'),
        ('{"do": "later", "seconds": NaN}', '"seconds" is NaN: allowed is a number of seconds from 0 to 3600'),
        ('{"do": "later", "seconds": 3601}', '"seconds" is 3601: allowed is a number of seconds from 0 to 3600'),
        ('{"do": "announce", "room": "a b", "text": "x"}', '"room" is "a b": allowed is 1 to 50 ASCII letters'),
        ('{"do": "announce", "room": "a", "text": ""}', '"text" is "": allowed is a text of 1 to 500 characters'),
        ('{"do": "announce", "room": "a", "text": "\\ud800"}', '"text" is "\\ud800": allowed is a text of 1 to 500'),
        ('{"do": "wordcount", "text": "a", "parts": 101}', '"parts" is 101: allowed is a whole number from 1 to 100'),
        ('{"do": "wordcount", "text": 5}', '"text" is 5: allowed is a text of 1 to 1000000 characters'),
    ],
)
def test_a_frame_that_asks_for_nothing_that_there_is_is_told_what_is_allowed(text: str | None, complaint: str) -> None:
    frames = alone("frames")
    with pytest.raises(frames.BadFrame) as refused:
        frames.read(text)
    assert str(refused.value).startswith(complaint)


def test_a_refusal_carries_the_name_that_the_client_gave_its_frame() -> None:
    frames = alone("frames")
    with pytest.raises(frames.BadFrame) as refused:
        frames.read('{"do": "dance", "ref": "mine"}')
    assert refused.value.ref == "mine"


def test_what_was_left_out_has_its_default() -> None:
    order = alone("frames").read('{"do": "wordcount", "upload": "an id"}')
    assert (order.do, order.values, order.ref) == ("wordcount", {"text": None, "upload": "an id", "parts": 10}, None)

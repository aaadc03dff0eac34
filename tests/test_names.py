"""What a channel, a group or a process may be called."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancelery import names

ALLOWED = string.ascii_letters + string.digits + "-_."
part = st.text(ALLOWED, min_size=1, max_size=40)


@given(head=part, mark=st.sampled_from(["", "?", "!"]), local=part)
def test_channels_are_one_part_or_two(head: str, mark: str, local: str) -> None:
    name = head + mark + local if mark else head
    assert names.require_channel(name) == name
    assert names.process_of(name) == (head + "!" if mark == "!" else "")


@given(part)
def test_groups_are_one_part(name: str) -> None:
    assert names.require_group(name) == name
    for mark in "?!":
        with pytest.raises(TypeError):
            names.require_group(f"{name}{mark}{name}"[:100])


@given(part)
def test_one_receives_from_queues_and_processes_only(name: str) -> None:
    for source in (name, f"{name}?x", f"{name}!"):
        assert names.require_receivable(source) == source
    for other in (f"{name}!x", f"{name}?", "!", "?x"):
        with pytest.raises(TypeError):
            names.require_receivable(other)


@given(st.text(max_size=20))
def test_everything_else_is_refused(name: str) -> None:
    if set(name) - set(ALLOWED + "?!"):
        for require in (names.require_channel, names.require_group, names.require_receivable):
            with pytest.raises(TypeError):
                require(name)


@pytest.mark.parametrize("require", [names.require_channel, names.require_group, names.require_receivable])
class TestEveryKind:
    def test_a_name_has_1_to_100_characters(self, require) -> None:
        assert require("n") == "n"
        assert require("n" * 100) == "n" * 100
        for name in ("", "n" * 101):
            with pytest.raises(TypeError):
                require(name)

    @pytest.mark.parametrize(
        "name", ["a\n", "\na", "a ", "a b", "é", "\uff11", "a\x00", "a/b", "a:b", "\uff41"], ids=repr
    )
    def test_only_ascii_and_the_whole_of_it(self, require, name: str) -> None:
        with pytest.raises(TypeError):
            require(name)

    @pytest.mark.parametrize("name", [None, b"name", 7, ["name"], object()], ids=lambda name: type(name).__name__)
    def test_only_text(self, require, name: object) -> None:
        with pytest.raises(TypeError):
            require(name)

    def test_a_very_long_name_is_shortened_in_the_error(self, require) -> None:
        with pytest.raises(TypeError) as caught:
            require("n" * 1_000_000)
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("require", "words"),
    [
        (names.require_channel, "channel name.*optionally followed by one [?] or ! and a local part"),
        (names.require_group, "group name.*and nothing else"),
        (names.require_receivable, "channel to receive from name.*or ending in !"),
    ],
)
def test_the_error_says_what_is_wrong_and_what_is_allowed(require, words: str) -> None:
    with pytest.raises(TypeError, match=rf"'a b' is not a valid {words}"):
        require("a b")
    with pytest.raises(TypeError, match="1 to 100 ASCII letters, digits, hyphens, underscores and periods"):
        require("a b")


def test_random_parts_are_long_different_and_may_stand_in_a_name() -> None:
    parts = {names.random_part() for _ in range(1000)}
    assert len(parts) == 1000
    assert all(len(part) == 24 and names.require_group(part) for part in parts)

"""A process's reading of its mail: who gets what, and when its memory cannot be trusted any more."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancelery.layers import codec, mailbox
from chancelery.layers.mailbox import Collected, Inbound, Mailbox
from chancelery.log import Burst, room
from chancelery.trail import Hop

NOW = 1_000_000
LATER = NOW + 60_000
TRAIL = (Hop("shop.views.buy", "group", "host:7", 1),)


def message(to: str, n: int = 1) -> bytes:
    return codec.pack(LATER, to, "", codec.pack_body({"n": n}, TRAIL))


def joins(number: int, group: str, channel: str, deadline_ms: int = LATER) -> bytes:
    return codec.pack_control(codec.Control(number, deadline_ms, group, channel))


def leaves(number: int, group: str, channel: str) -> bytes:
    return joins(number, group, channel, 0)


def take(box: Mailbox, *entries: bytes, now_ms: int = NOW, lost: bool = False) -> list[Inbound]:
    return box.take(Collected(now_ms, box.position + len(entries), list(entries), lost))


@pytest.fixture
def box() -> Mailbox:
    return Mailbox("p!")


class TestMessages:
    def test_a_message_to_a_channel_is_for_that_channel(self, box: Mailbox) -> None:
        assert take(box, message("p!x")) == [Inbound(("p!x",), {"n": 1}, TRAIL, "")]

    def test_a_message_to_a_group_is_for_its_members(self, box: Mailbox) -> None:
        [inbound] = take(box, joins(1, "g", "p!x"), joins(2, "g", "p!y"), joins(3, "h", "p!z"), message("g"))
        assert sorted(inbound.channels) == ["p!x", "p!y"]
        assert (inbound.content, inbound.trail, inbound.group) == ({"n": 1}, TRAIL, "g")

    def test_a_message_to_a_group_without_members_here_is_for_nobody(self, box: Mailbox) -> None:
        assert take(box, message("g"), joins(1, "g", "p!x"), leaves(2, "g", "p!x"), message("g")) == []

    def test_messages_keep_their_order_among_changes_of_membership(self, box: Mailbox) -> None:
        found = take(
            box,
            joins(1, "g", "p!x"),
            message("g", 1),
            message("p!x", 2),
            joins(2, "g", "p!y"),
            leaves(3, "g", "p!x"),
            message("g", 3),
        )
        assert [(item.channels, item.content["n"]) for item in found] == [
            (("p!x",), 1),
            (("p!x",), 2),
            (("p!y",), 3),
        ]

    def test_members_are_remembered_from_one_collection_to_the_next(self, box: Mailbox) -> None:
        take(box, joins(1, "g", "p!x"))
        assert [item.channels for item in take(box, message("g"))] == [("p!x",)]

    @pytest.mark.parametrize(("at_ms", "members"), [(LATER - 1, ["p!x"]), (LATER, []), (LATER + 1, [])])
    def test_a_membership_is_judged_by_the_server_s_clock(self, box: Mailbox, at_ms: int, members: list[str]) -> None:
        take(box, joins(1, "g", "p!x"))
        found = take(box, message("g"), now_ms=at_ms)
        assert [channel for item in found for channel in item.channels] == members

    def test_joining_again_makes_it_last_longer(self, box: Mailbox) -> None:
        take(box, joins(1, "g", "p!x"), joins(2, "g", "p!x", LATER + 100))
        assert len(take(box, message("g"), now_ms=LATER + 50)) == 1
        assert box.memberships() == [("g", "p!x")]

    def test_one_group_more_or_less_does_not_touch_the_others(self, box: Mailbox) -> None:
        take(box, joins(1, "g", "p!x"), joins(2, "h", "p!x"), leaves(3, "g", "p!x"))
        assert box.groups("p!x") == ("h",)
        assert take(box, message("g")) == []
        assert len(take(box, message("h"))) == 1


class TestPosition:
    def test_it_follows_what_was_collected(self, box: Mailbox) -> None:
        assert box.position == 0
        box.take(Collected(NOW, 17, [message("p!x")]))
        assert box.position == 17
        box.take(Collected(NOW, 3, [], lost=True))
        assert box.position == 3


class TestTrust:
    def test_numbers_without_a_gap_can_be_trusted(self, box: Mailbox) -> None:
        take(box, joins(7, "g", "p!x"), message("g"), leaves(8, "g", "p!x"))
        take(box, joins(9, "g", "p!x"))
        assert not box.stale

    @pytest.mark.parametrize("second", [1, 5, 7, 9, 100])
    def test_a_gap_in_the_numbers_cannot(self, box: Mailbox, second: int) -> None:
        take(box, joins(7, "g", "p!x"), joins(second, "h", "p!y"))
        assert box.stale

    def test_a_list_that_was_lost_cannot(self, box: Mailbox) -> None:
        take(box, lost=True)
        assert box.stale
        take(box, message("p!x"))
        assert box.stale, "until it is read anew"

    def test_reading_the_memberships_anew_replaces_all_that_was_known(self, box: Mailbox) -> None:
        take(box, joins(7, "g", "p!x"), joins(9, "g", "p!y"))
        box.reload([("g", "p!z", LATER), ("h", "p!x", NOW - 1)])
        assert not box.stale
        assert sorted(box.memberships()) == [("g", "p!z"), ("h", "p!x")]
        assert box.groups("p!y") == ()
        assert [item.channels for item in take(box, message("g"), message("h"))] == [("p!z",)]

    def test_after_that_any_number_may_come_first(self, box: Mailbox) -> None:
        take(box, joins(7, "g", "p!x"))
        box.reload([])
        take(box, joins(3, "g", "p!x"), joins(4, "g", "p!y"))
        assert not box.stale


class TestSockets:
    def test_memberships_of_channels_that_are_not_here_are_strays(self) -> None:
        box = Mailbox("p!", knows={"p!here"}.__contains__)
        found = take(box, joins(1, "g", "p!gone"), joins(2, "g", "p!here"), message("g"))
        assert [item.channels for item in found] == [("p!here",)]
        assert box.strays == [("g", "p!gone")]
        box.reload([("h", "p!gone", LATER), ("h", "p!here", LATER)])
        assert box.strays == [("g", "p!gone"), ("h", "p!gone")]
        assert box.memberships() == [("h", "p!here")]

    def test_a_closed_socket_is_forgotten_with_its_memberships(self, box: Mailbox) -> None:
        take(box, joins(1, "g", "p!x"), joins(2, "h", "p!x"), joins(3, "g", "p!y"))
        assert sorted(box.forget("p!x")) == [("g", "p!x"), ("h", "p!x")]
        assert box.forget("p!x") == []
        assert box.groups("p!x") == ()
        assert box.memberships() == [("g", "p!y")]
        assert [item.channels for item in take(box, message("g"), message("h"))] == [("p!y",)]

    def test_leaving_what_one_is_not_in_changes_nothing(self, box: Mailbox) -> None:
        take(box, leaves(1, "g", "p!x"), joins(2, "g", "p!y"), leaves(3, "g", "p!x"))
        assert box.memberships() == [("g", "p!y")]


class TestUnreadable:
    @pytest.mark.parametrize(
        "entry",
        [
            b"",
            b"\xc1",
            message("p!x")[:-1],
            joins(2, "g", "p!y")[:-1],
            b"\x95\x01\xa1x\x00\xa1g\xa1c",
            b"\x96\x01\x05\x06\x07\x80\x90",
            b"\x95\x02" + joins(2, "g", "p!y")[2:],
        ],
        ids=repr,
    )
    def test_what_cannot_be_read_is_left_out_with_a_line_in_the_log(
        self, box: Mailbox, entry: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mailbox, "_burst", Burst(room("layers")))  # one that has not said anything yet
        with caplog.at_level(logging.WARNING):
            found = take(box, message("p!x", 1), entry, entry, message("p!x", 2))
        assert [item.content["n"] for item in found] == [1, 2]
        assert box.position == 4
        assert len(caplog.records) == 1
        assert "p!: dropped mail that cannot be read" in caplog.text


changes = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["g", "h"]), st.sampled_from(["p!x", "p!y", "p!z"])), max_size=30
)


@given(changes)
def test_after_any_changes_it_knows_just_the_members(made: list[tuple[bool, str, str]]) -> None:
    box, members = Mailbox("p!"), set()
    for number, (joined, group, channel) in enumerate(made, 1):
        take(box, joins(number, group, channel) if joined else leaves(number, group, channel))
        (members.add if joined else members.discard)((group, channel))
    assert set(box.memberships()) == members
    assert {(group, c) for c in ("p!x", "p!y", "p!z") for group in box.groups(c)} == members
    assert not box.stale

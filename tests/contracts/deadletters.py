"""Dead letters: what could not be handled at least once is kept, to be looked at, sent again or buried."""

from __future__ import annotations

import pytest

from chancelery.layers.base import ChannelLayer, DeadLetter, Finished, Send
from chancelery.trail import Hop
from tests.contracts.fixtures import (
    AT_LEAST_ONCE,
    ATTEMPTS,
    LEASE_SECONDS,
    SURE,
    LayerFixtures,
    MakeLayer,
    SteppedClock,
    drain,
    dropped,
    fetch,
    numbered,
)

LANE = "daphne.x!connection"
EXPIRY = 60


def send(layer: ChannelLayer, *contents: object, channel: str = SURE, lane: str = "") -> None:
    for n in contents:
        layer.send(channel, {"n": n}, lane=lane)


def kill(layer: ChannelLayer, *contents: object, channel: str = SURE, lane: str = "") -> list[str]:
    """Make dead letters, by purging; return the ids."""
    known = ids(layer)
    send(layer, *contents, channel=channel, lane=lane)
    assert layer.purge(channel) == len(contents)
    return [number for number in ids(layer) if number not in known]


def ids(layer: ChannelLayer) -> list[str]:
    return [letter.id for letter in layer.dead_letters()]


def listed(letters: list[DeadLetter]) -> list[object]:
    """Return the `n` of each letter's content."""
    return [letter.content["n"] for letter in letters]


class DeadLettersContract(LayerFixtures):
    def test_nothing_died_yet(self, layer: ChannelLayer) -> None:
        assert layer.dead_letters() == []
        assert layer.overview().dead_letters == 0

    def test_a_letter_tells_all_about_a_message_that_was_lost_too_often(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        trail = (Hop("gateway", SURE, "host:1", 1),)
        layer.send(SURE, {"n": 1}, lane=LANE, trail=trail)
        for _ in range(ATTEMPTS):
            fetch(layer, layer.open_lease(), SURE)
            clock.advance(LEASE_SECONDS * 2)
            layer.reap()
        [letter] = layer.dead_letters()
        died_ms = round(clock() * 1000)
        assert letter == DeadLetter(letter.id, "worker_died", died_ms, SURE, LANE, ATTEMPTS, {"n": 1}, trail)
        assert layer.overview().dead_letters == 1

    @pytest.mark.parametrize("where", ["on its channel", "on its full channel", "behind its lane", "given back"])
    def test_what_expires_unread_becomes_a_letter(self, make_layer: MakeLayer, clock: SteppedClock, where: str) -> None:
        layer = make_layer(expiry=10, capacity=1, lease_seconds=100, at_least_once=AT_LEAST_ONCE)
        lease = layer.open_lease()
        if where == "behind its lane":
            send(layer, "ahead", channel="work", lane=LANE)
            [ahead] = fetch(layer, lease, "work")
        send(layer, 1, lane=LANE)
        if where == "given back":
            fetch(layer, lease, SURE)
            layer.recover(lease, [])
        clock.advance(11)
        if where == "on its full channel":
            send(layer, 2)
        elif where == "behind its lane":
            layer.finish([Finished(ahead)], lease)
        else:
            assert fetch(layer, lease, SURE) == []
        [letter] = layer.dead_letters()
        assert (letter.reason, letter.channel, letter.lane, letter.attempts) == ("expired", SURE, LANE, 0)
        assert (letter.content, letter.died_ms) == ({"n": 1}, round(clock() * 1000))
        assert dropped(layer, "expired") == 1

    def test_what_is_handled_at_most_once_leaves_no_letter(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1, channel="work")
        layer.purge("work")
        send(layer, 1, channel="work")
        send(layer, 1, channel="sure.process!x")
        clock.advance(EXPIRY + 1)
        assert drain(layer, "work", "sure.process!") == []
        assert dropped(layer, "expired") == 2
        assert layer.dead_letters() == []

    def test_a_message_that_cannot_be_read_becomes_a_letter_without_content(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        for _ in range(2):
            layer.post([Send(SURE, b"\xc1 is no msgpack", LANE)])
            assert layer.purge(SURE) == 1
            layer.post([Send(SURE, b"\xc1 is no msgpack", LANE)])
            clock.advance(EXPIRY + 1)
            assert drain(layer, SURE) == []
            layer.post([Send(SURE, b"\xc1 is no msgpack", LANE)])
            assert drain(layer, SURE) == []
        letters = layer.dead_letters()
        assert [letter.reason for letter in letters] == ["purged", "expired", "corrupt"] * 2
        assert {letter[3:] for letter in letters} == {(SURE, LANE, 0, None, ())}

    # The list

    def test_they_are_listed_from_the_oldest_on(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        for n in range(12):
            kill(layer, n)
            clock.advance(0.001)
        assert listed(layer.dead_letters()) == list(range(12))
        assert len(set(ids(layer))) == 12

    def test_they_are_listed_page_by_page(self, layer: ChannelLayer) -> None:
        kill(layer, *range(25))
        pages, after = [], ""
        for _ in range(3):
            page = layer.dead_letters(10, after)
            pages.append(listed(page))
            after = page[-1].id
        assert pages == [list(range(10)), list(range(10, 20)), list(range(20, 25))]
        assert layer.dead_letters(10, after) == []
        assert layer.dead_letters(limit=0) == []

    def test_a_page_may_begin_behind_a_letter_that_is_gone(self, layer: ChannelLayer) -> None:
        numbers = kill(layer, *range(5))
        layer.bury(numbers[:3])
        assert listed(layer.dead_letters(after=numbers[1])) == [3, 4]

    def test_a_page_behind_what_is_no_id_is_refused(self, layer: ChannelLayer) -> None:
        with pytest.raises(ValueError, match=r"the id of a dead letter is .*, not 'nonsense'"):
            layer.dead_letters(after="nonsense")

    def test_the_oldest_make_room_and_are_counted(self, make_layer: MakeLayer) -> None:
        layer = make_layer(dead_letters=3, at_least_once=AT_LEAST_ONCE)
        kill(layer, 0, 1)
        kill(layer, 2, 3, 4)
        assert listed(layer.dead_letters()) == [2, 3, 4]
        assert layer.overview().dead_letters == 3
        assert (dropped(layer, "purged"), dropped(layer, "dead_letters_full")) == (5, 2)

    def test_a_layer_may_keep_none(self, make_layer: MakeLayer) -> None:
        layer = make_layer(dead_letters=0, at_least_once=AT_LEAST_ONCE)
        send(layer, 1)
        layer.purge(SURE)
        assert layer.dead_letters() == []
        assert dropped(layer, "dead_letters_full") == 1

    # Replay

    def test_a_replayed_letter_is_handled_as_if_it_had_just_been_sent(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        trail = (Hop("gateway", SURE, "host:1", 1),)
        layer.send(SURE, {"n": 1}, trail=trail)
        for _ in range(ATTEMPTS):
            fetch(layer, layer.open_lease(), SURE)
            clock.advance(LEASE_SECONDS * 2)
            layer.reap()
        clock.advance(EXPIRY)
        numbers = ids(layer)
        sent = layer.global_statistics()["messages_count"]
        assert layer.replay(numbers) == numbers
        assert layer.dead_letters() == []
        assert layer.global_statistics()["messages_count"] == sent + 1
        clock.advance(EXPIRY - 2 * ATTEMPTS * LEASE_SECONDS)
        for attempt in range(1, ATTEMPTS + 1):
            [delivery] = layer.fetch([SURE], 1, layer.open_lease()).deliveries
            assert (delivery.attempt, delivery.content, delivery.trail) == (attempt, {"n": 1}, trail)
            clock.advance(LEASE_SECONDS * 1.5)
            layer.reap()
        assert [(letter.reason, letter.attempts) for letter in layer.dead_letters()] == [("worker_died", ATTEMPTS)]

    def test_replayed_letters_go_to_the_end_of_their_channels_in_the_order_asked_for(self, layer: ChannelLayer) -> None:
        first, second, third = kill(layer, 1, 2, 3)
        send(layer, "there already")
        assert layer.replay([third, first]) == [third, first]
        assert ids(layer) == [second]
        assert [content["n"] for _, content in drain(layer, SURE)] == ["there already", 3, 1]

    def test_replayed_letters_wait_behind_their_lane(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        numbers = kill(layer, "dead", lane=LANE)
        send(layer, "alive", channel="work", lane=LANE)
        assert layer.replay(numbers) == numbers
        assert fetch(layer, lease, SURE) == []
        [alive] = fetch(layer, lease, "work")
        layer.finish([Finished(alive)], lease)
        [dead] = fetch(layer, lease, SURE)
        assert (dead.content, dead.lane) == ({"n": "dead"}, LANE)
        send(layer, "behind", channel="work", lane=LANE)
        assert fetch(layer, lease, "work") == []

    @pytest.mark.parametrize("full", ["the channel", "the lane"])
    def test_a_letter_for_which_there_is_no_room_stays(self, make_layer: MakeLayer, full: str) -> None:
        layer = make_layer(channel_capacity={"sure.small": 1}, lane_capacity=1, at_least_once=AT_LEAST_ONCE)
        small = "sure.small" if full == "the channel" else SURE
        [letter] = kill(layer, 1, channel=small, lane=LANE)
        [other] = kill(layer, 2, channel="sure.other")
        if full == "the channel":
            send(layer, "there already", channel=small)
        else:
            send(layer, "out", "behind", channel="work", lane=LANE)
        before = layer.dead_letters(1)
        assert layer.replay([letter, other]) == [other]
        assert layer.dead_letters() == before
        assert layer.global_statistics()["channel_full_count"] == 1
        drain(layer, small, "work")
        assert layer.replay([letter]) == [letter]
        assert [content["n"] for _, content in drain(layer, small) + drain(layer, "sure.other")] == [1, 2]

    def test_unknown_letters_are_passed_over(self, layer: ChannelLayer) -> None:
        gone, there = kill(layer, 1, 2)
        assert layer.bury([gone]) == 1
        assert layer.replay([gone, "nonsense", there, there]) == [there]
        assert layer.replay([there]) == []
        assert layer.replay([]) == []
        assert drain(layer, SURE) == [(SURE, {"n": 2})]

    # Bury

    def test_a_buried_letter_is_gone(self, layer: ChannelLayer) -> None:
        first, second, third = kill(layer, 1, 2, 3)
        assert layer.bury([first, "nonsense", third, third]) == 2
        assert ids(layer) == [second]
        assert layer.bury([first]) == 0
        assert layer.bury([]) == 0
        assert layer.replay([first, third]) == []

    def test_a_flush_removes_them(self, layer: ChannelLayer) -> None:
        numbers = kill(layer, 1)
        layer.flush()
        assert layer.dead_letters() == []
        assert layer.replay(numbers) == []
        assert numbered(fetch(layer, layer.open_lease(), SURE)) == []

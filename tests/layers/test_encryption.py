"""What is encrypted, what opens it, and what becomes of a message that nothing opens."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable

import msgspec
import pytest

from chancelery.deployment import wire
from chancelery.exceptions import CorruptMessage, InvalidChannelLayerError
from chancelery.layers import codec, mailbox
from chancelery.layers.base import ChannelLayer, Fate, Finished, Send, Will
from chancelery.layers.encryption import Cipher
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.layers.redis import RedisChannelLayer
from chancelery.layers.redis import workers as redis_workers
from chancelery.log import Burst, room
from chancelery.registry import ChannelLayerManager
from chancelery.trail import Hop
from tests.contracts.deadletters import DeadLettersContract
from tests.contracts.fixtures import MakeLayer, SteppedClock, dropped, run
from tests.contracts.lanes import LanesContract
from tests.contracts.leases import LeasesContract
from tests.contracts.processes import ProcessesContract
from tests.contracts.queues import QueuesContract
from tests.contracts.reaping import ReapingContract

OLD, NEW, OTHER = ("0123456789abcdef" * 2 + name for name in ("old", "new", "other"))
TRAIL = (Hop("shop.views.buy", "orders", "host:7", 1),)
LANE = "daphne.x!connection"
_numbers = itertools.count()

MakeSharing = Callable[..., ChannelLayer]


class TestEncryptedInMemoryLayer(
    QueuesContract, LanesContract, LeasesContract, ReapingContract, DeadLettersContract, ProcessesContract
):
    @pytest.fixture
    def make_layer(self, clock: SteppedClock) -> MakeLayer:
        return lambda **limits: InMemoryChannelLayer(**{"clock": clock, "encryption_keys": [NEW, None]} | limits)


@pytest.fixture(params=["memory", "redis"])
def with_keys(request: pytest.FixtureRequest, clock: SteppedClock) -> MakeSharing:
    """Makes layers with different keys on the same messages."""
    options = {"clock": clock, "lease_seconds": 0, "at_least_once": {"sure": 2}}
    if request.param == "redis":
        where = {"hosts": [request.getfixturevalue("redis_url")], "prefix": f"crypt:{os.getpid()}.{next(_numbers)}:"}
        return lambda *keys: RedisChannelLayer(**where, **options, encryption_keys=keys or None)
    shared = InMemoryChannelLayer(**options)

    def remake(*keys: str | None) -> ChannelLayer:
        shared.cipher = Cipher(keys) if keys else None
        return shared

    return remake


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


class TestCiphers:
    def test_a_sealed_envelope_is_msgpack_that_tells_the_address_and_nothing_else(self) -> None:
        body = codec.pack_body({"secret": "hunter2"}, TRAIL)
        data = codec.pack(5, "orders", LANE, Cipher([NEW]).seal(body))
        _, _, channel, lane, sealed, nothing = msgspec.msgpack.decode(data)
        assert (channel, lane, type(sealed), nothing) == ("orders", LANE, bytes, None)
        assert b"hunter2" not in data
        assert b"shop.views" not in data

    def test_any_key_of_the_list_opens(self) -> None:
        for size in (0, 200, 70_000):
            content = {"text": "x" * size}
            body = codec.pack_body(content, TRAIL)
            data = codec.pack(5, "orders", "", Cipher([OLD]).seal(body))
            opened = codec.unpack(Cipher([NEW, OLD]).open(data))
            assert (opened.channel, opened.content, opened.trail) == ("orders", content, TRAIL)

    def test_no_two_bodies_are_alike(self) -> None:
        cipher = Cipher([NEW])
        assert len({cipher.seal(b"the same") for _ in range(100)}) == 100

    def test_other_keys_do_not_open(self) -> None:
        data = codec.pack(5, "orders", "", Cipher([OLD]).seal(codec.pack_body({})))
        with pytest.raises(CorruptMessage, match="none of encryption_keys opens"):
            Cipher([NEW, OTHER]).open(data)

    def test_every_changed_byte_of_the_body_is_seen(self) -> None:
        cipher = Cipher([NEW])
        data = codec.pack(5, "orders", "", cipher.seal(codec.pack_body({"n": 1})))
        cipher.open(data)
        start = data.index(b"orders") + len("orders") + 2
        for index in range(start, len(data)):
            with pytest.raises(CorruptMessage):
                cipher.open(data[:index] + bytes((data[index] ^ 1,)) + data[index + 1 :])

    def test_what_was_cut_short_is_corrupt(self) -> None:
        cipher = Cipher([NEW])
        data = codec.pack(5, "orders", "", cipher.seal(codec.pack_body({"n": 1})))
        for length in range(len(data)):
            with pytest.raises(CorruptMessage):
                codec.unpack(cipher.open(data[:length]))

    def test_plain_messages_are_read_only_where_none_is_listed(self) -> None:
        data = codec.pack(5, "orders", "", codec.pack_body({"n": 1}))
        assert codec.unpack(Cipher([NEW, None]).open(data)).content == {"n": 1}
        with pytest.raises(CorruptMessage, match="is not encrypted"):
            Cipher([NEW]).open(data)

    def test_none_as_the_first_key_encrypts_nothing_yet(self) -> None:
        cipher = Cipher([None, NEW])
        body = codec.pack_body({"n": 1})
        assert cipher.seal(body) == body
        sealed = codec.pack(5, "orders", "", Cipher([NEW]).seal(body))
        assert codec.unpack(cipher.open(sealed)).content == {"n": 1}

    def test_an_envelope_of_a_newer_version_is_left_to_those_who_know_it(self) -> None:
        data = bytearray(codec.pack(5, "orders", "", codec.pack_body({})))
        data[1] += 1
        assert Cipher([NEW]).open(bytes(data)) == data

    def test_salts_of_other_processes_are_not_kept_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("chancelery.layers.encryption._MOST_SALTS", 2)
        reader = Cipher([NEW])
        for _ in range(5):
            reader.open(codec.pack(5, "orders", "", Cipher([NEW]).seal(codec.pack_body({}))))
        assert len(reader._opening) <= 2


class TestKeys:
    @pytest.mark.parametrize(
        ("keys", "complaint"),
        [
            ("s3cret" * 9, "this is a str, or empty"),
            ([], "this is a list, or empty"),
            (7, "this is a int, or empty"),
            (["s3cret"], "number 1 has 6 characters"),
            ([NEW, b"s3cret" * 9], "number 2 is of type bytes"),
        ],
    )
    def test_bad_ones_are_refused_with_what_is_allowed_and_are_not_shown(self, keys: object, complaint: str) -> None:
        with pytest.raises(InvalidChannelLayerError, match="a list of texts of at least 32 characters") as caught:
            InMemoryChannelLayer(encryption_keys=keys)
        assert complaint in str(caught.value)
        assert "s3cret" not in str(caught.value)

    def test_the_settings_name_the_alias(self, settings: object) -> None:
        config = {"BACKEND": "chancelery.layers.memory", "ROUTING": [], "CONFIG": {"encryption_keys": ["short"]}}
        settings.CHANNEL_LAYERS = {"private": config}
        with pytest.raises(InvalidChannelLayerError, match=r"CHANNEL_LAYERS\['private'\].*encryption_keys is a list"):
            ChannelLayerManager().make_backend("private")


class TestLayers:
    def test_a_key_is_changed_without_losing_a_message(self, with_keys: MakeSharing) -> None:
        beginning = [((), (None, OLD)), ((None, OLD), (OLD, None))]
        changing = [((OLD,), (OLD, NEW)), ((OLD, NEW), (NEW, OLD)), ((NEW, OLD), (NEW,))]
        for sender, reader in beginning + changing:
            with_keys(*sender).send("orders", {"text": "x"}, trail=TRAIL)
            assert with_keys(*reader).receive(["orders"]) == ("orders", {"text": "x"})
        assert dropped(with_keys(NEW), "corrupt") == 0

    def test_what_no_key_opens_is_counted_and_passed_over_by_workers(self, with_keys: MakeSharing) -> None:
        with_keys(OTHER).send("orders", {"n": 1}, lane=LANE)
        with_keys(NEW).send("orders", {"n": 2}, lane=LANE)
        with_keys(OTHER).send("orders", {"n": 3})
        reader = with_keys(NEW)
        lease = reader.open_lease()
        found = reader.fetch(["orders"], 10, lease).deliveries + reader.fetch(["orders"], 10, lease).deliveries
        assert [delivery.content for delivery in found] == [{"n": 2}]
        assert reader.fetch(["orders"], 10, lease, [Finished(found[0])]).deliveries == []
        assert dropped(reader, "corrupt") == 2

    def test_what_no_key_opens_is_counted_and_passed_over_in_mail(
        self, with_keys: MakeSharing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mailbox, "_burst", Burst(room("layers")))
        reader = with_keys(NEW)
        reader.group_add("chat", "daphne.x!a")
        for key in (OTHER, NEW, OTHER):
            with_keys(key).send("daphne.x!a", {"to": "one"})
            with_keys(key).send_group("chat", {"to": "all"})
        reader = with_keys(NEW)
        found = [reader.receive(["daphne.x!"]) for _ in range(3)]
        assert found == [("daphne.x!a", {"to": "one"}), ("daphne.x!a", {"to": "all"}), (None, None)]
        assert dropped(reader, "corrupt") == 4
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
        assert OTHER not in caplog.text

    def test_groups_reach_ordinary_channels_encrypted_too(self, with_keys: MakeSharing) -> None:
        layer = with_keys(NEW)
        layer.group_add("chat", "orders")
        layer.send_group("chat", {"n": 1})
        assert layer.receive(["orders"]) == ("orders", {"n": 1})

    def test_a_will_is_read_as_what_it_is(self, with_keys: MakeSharing, clock: SteppedClock) -> None:
        layer = with_keys(NEW)
        will = Will("goodbyes", layer.pack({"code": 1006}))
        layer.post([Send("hellos", layer.pack({}), LANE, will=will)])
        layer.receive(["hellos"])
        clock.advance(1)
        assert layer.reap_process().wills == 1
        assert layer.receive(["goodbyes"]) == ("goodbyes", {"code": 1006})

    @pytest.mark.parametrize("with_keys", ["redis"], indirect=True)  # a layer in memory has handed out what it can read
    def test_the_reaper_buries_what_it_cannot_open_and_replays_what_it_can(
        self, with_keys: MakeSharing, clock: SteppedClock
    ) -> None:
        writer = with_keys(OLD)
        writer.send("sure", {"n": 1}, trail=TRAIL)
        for _ in range(2):
            assert writer.fetch(["sure"], 1, writer.open_lease()).deliveries
            clock.advance(1)
            fates = with_keys(NEW).reap()
            writer = with_keys(OLD)
        assert [(reaped.channel, reaped.trail, reaped.fate) for reaped in fates] == [("sure", (), Fate.BURIED)]
        assert [(letter.content, letter.trail) for letter in with_keys(NEW).dead_letters()] == [(None, ())]
        layer = with_keys(NEW, OLD)
        (letter,) = layer.dead_letters()
        assert (letter.content, letter.trail) == ({"n": 1}, TRAIL)
        assert layer.replay([letter.id]) == [letter.id]
        assert layer.receive(["sure"]) == ("sure", {"n": 1})

    def test_what_workers_send_is_encrypted(self, redis_url: str) -> None:
        where = {"hosts": [redis_url], "prefix": f"crypt:{os.getpid()}.{next(_numbers)}:"}
        layer = RedisChannelLayer(**where, encryption_keys=[NEW])
        layer.send("orders", {"secret": "hunter2"}, trail=TRAIL)
        (raw,) = wire.thread_wire(redis_url).call("LRANGE", where["prefix"] + "ready:orders", 0, -1)
        assert b"hunter2" not in raw
        assert b"shop.views" not in raw
        assert RedisChannelLayer(**where).receive(["orders"]) == (None, None), "without keys it is only corrupt"

    def test_gateways_count_and_pass_over_what_they_cannot_open(self, with_keys: MakeSharing) -> None:
        layer = with_keys(NEW)
        with_keys(OTHER).send("daphne.x!a", {"n": 1})
        layer = with_keys(NEW)
        layer.send("daphne.x!a", {"n": 2})

        async def scenario() -> list[object]:
            box = mailbox.Mailbox("daphne.x!", unpack=layer.unpack)
            found = box.take(await layer.acollect("daphne.x!", 0, 10, 5))
            assert (box.corrupt, box.position) == (1, 2)
            return [inbound.content for inbound in found]

        assert run(layer, scenario) == [{"n": 2}]


def test_one_line_is_logged_for_a_burst(
    redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_workers, "_burst", Burst(room("layers.redis")))
    where = {"hosts": [redis_url], "prefix": f"crypt:{os.getpid()}.{next(_numbers)}:"}
    for n in range(9):
        RedisChannelLayer(**where, encryption_keys=[OTHER]).send("orders", {"n": n})
    layer = RedisChannelLayer(**where, encryption_keys=[NEW])
    assert layer.receive(["orders"]) == (None, None)
    assert layer.fetch(["orders"], 100, layer.open_lease()).deliveries == []
    assert dropped(layer, "corrupt") == 9
    assert len(caplog.records) == 1
    assert NEW not in caplog.text

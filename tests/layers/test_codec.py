"""Messages as bytes: the fixed head, what survives the way there and back, and bytes that are no envelope."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chancelery.exceptions import CorruptMessage, UnknownVersion
from chancelery.layers import codec
from chancelery.trail import Hop

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=15
)
contents = st.dictionaries(texts, values, max_size=5)
channels = st.from_regex(r"[A-Za-z0-9_.-]{1,40}([?!][A-Za-z0-9_.-]{1,50})?", fullmatch=True)
hops = st.builds(Hop, texts, channels, texts, st.integers(0, 2**53))
trails = st.lists(hops, max_size=4).map(tuple)
deadlines = st.integers(0, 2**48 - 1)
counts = st.integers(0, 255)

ENVELOPE = codec.pack(1_800_000_000_123, "chat.message", "d!x", codec.pack_body({"text": "hi", "data": b"\x00"}))


def packed(*fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


class TestEnvelopes:
    @given(deadline_ms=deadlines, channel=channels, lane=st.just("") | channels, content=contents, trail=trails)
    def test_what_goes_in_comes_out(
        self, deadline_ms: int, channel: str, lane: str, content: dict[str, Any], trail: tuple[Hop, ...]
    ) -> None:
        data = codec.pack(deadline_ms, channel, lane, codec.pack_body(content, trail))
        assert codec.unpack(data) == (deadline_ms, channel, lane, content, trail, 0, 0)
        assert not codec.is_control(data)

    @given(deadline_ms=deadlines, attempts=counts, lost=counts)
    def test_attempts_and_losses_share_a_number_with_the_deadline(
        self, deadline_ms: int, attempts: int, lost: int
    ) -> None:
        data = codec.pack(deadline_ms, "channel", "", codec.pack_body({}), attempts, lost)
        assert codec.unpack(data) == (deadline_ms, "channel", "", {}, (), attempts, lost)
        assert data[3:5] == bytes((attempts, lost)), "where Redis' scripts read and change them"

    @given(deadline_ms=deadlines, channel=channels, lane=st.just("") | channels)
    def test_the_head_lies_at_fixed_offsets(self, deadline_ms: int, channel: str, lane: str) -> None:
        data = codec.pack(deadline_ms, channel, lane, codec.pack_body({}))
        assert data[:3] == b"\x96\x01\xcf", "an array of six; version 1; an unsigned integer of eight bytes"
        assert struct.unpack_from(">Q", data, 3) == (deadline_ms,)
        assert data[11] == 0xD9, "text with a length of one byte"
        end = 13 + data[12]
        assert data[13:end] == channel.encode()
        assert data[end] == 0xD9
        lane_end = end + 2 + data[end + 1]
        assert data[end + 2 : lane_end] == lane.encode()
        assert data[lane_end:] == codec.pack_body({})

    @given(deadline_ms=deadlines, content=contents, trail=trails)
    def test_any_msgpack_library_can_read_it(
        self, deadline_ms: int, content: dict[str, Any], trail: tuple[Hop, ...]
    ) -> None:
        data = codec.pack(deadline_ms, "channel", "lane!x", codec.pack_body(content, trail))
        assert msgspec.msgpack.decode(data) == [
            codec.VERSION,
            deadline_ms,
            "channel",
            "lane!x",
            content,
            [list(hop) for hop in trail],
        ]

    def test_the_bytes_of_version_1_are_these(self) -> None:
        body = codec.pack_body({"n": 1}, (Hop("gateway", "a", "h:1", 2),))
        assert body == b"\x81\xa1n\x01" + b"\x91\x94\xa7gateway\xa1a\xa3h:1\x02"
        assert codec.pack(258, "a?b", "d!x", body) == (
            b"\x96\x01" + b"\xcf\x00\x00\x00\x00\x00\x00\x01\x02" + b"\xd9\x03a?b" + b"\xd9\x03d!x" + body
        )

    def test_the_longest_names_fit(self) -> None:
        name = "n" * 100
        assert codec.unpack(codec.pack(1, name, name, codec.pack_body({})))[:3] == (1, name, name)


class TestBodies:
    def test_a_body_does_not_change_with_its_content(self) -> None:
        content = {"list": [1]}
        body = codec.pack_body(content)
        content["list"].append(2)
        assert codec.unpack(codec.pack(1, "a", "", body)).content == {"list": [1]}

    @pytest.mark.parametrize("content", [None, [], "text", (("a", 1),), type("Dict", (dict,), {})()], ids=repr)
    def test_only_a_dict_is_a_message(self, content: Any) -> None:
        with pytest.raises(TypeError, match=f"a message is a dict, not {type(content).__name__}"):
            codec.pack_body(content)

    @pytest.mark.parametrize(
        ("content", "place"),
        [
            ({"a": object()}, r"\['a'\] is a builtins.object"),
            ({"a": {"b": [1, {2}]}}, r"\['a'\]\['b'\]\[1\] is a builtins.set"),
            ({"a": ({"b": range(3)},)}, r"\['a'\]\[0\]\['b'\] is a builtins.range"),
            ({7: 1}, "the message has the key 7"),
            ({"a": {None: 1}}, r"\['a'\] has the key None"),
            ({"a": [{b"b": 1}]}, r"\['a'\]\[0\] has the key b'b'"),
        ],
        ids=range(6),
    )
    def test_the_error_names_the_place(self, content: Any, place: str) -> None:
        with pytest.raises(TypeError, match=place):
            codec.pack_body(content)

    def test_a_message_without_end_is_a_type_error(self) -> None:
        content: dict[str, Any] = {}
        content["again"] = [content]
        with pytest.raises(TypeError, match="recursion"):
            codec.pack_body(content)


class TestOtherBytes:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xc1",
            b"\xff" * 20,
            b"\xd9\x01\xff",
            b"\x91" * 100_000,
            packed(),
            packed("text"),
            packed(1, 2, 3),
            packed(1, "soon", "a", "", {}, []),
            packed(1, 5, 6, "", {}, []),
            packed(1, 5, "a", 7, {}, []),
            packed(1, 5, "a", "", [], []),
            packed(1, 5, "a", "", {1: 2}, []),
            packed(1, 5, "a", "", {}, None),
            packed(1, 5, "a", "", {}, [["gateway", "a"]]),
            packed(1, 5, "a", "", {}, [[1, 2, 3, 4]]),
            packed(1, 5, "a", "", {}, [], "more"),
            packed(None, 5, "a", "", {}, []),
            packed(1, 5, "a", "", {}, [])[:-1],
            packed(1, 5, "a", "", {}, []) + b"\x00",
            msgspec.msgpack.encode({"version": 1}),
        ],
        ids=lambda data: repr(data[:24]),
    )
    def test_what_is_no_envelope_is_corrupt(self, data: bytes) -> None:
        with pytest.raises(CorruptMessage):
            codec.unpack(data)
        with pytest.raises(CorruptMessage):
            codec.unpack_control(data)

    def test_every_envelope_that_was_cut_short_is_corrupt(self) -> None:
        for length in range(len(ENVELOPE)):
            with pytest.raises(CorruptMessage):
                codec.unpack(ENVELOPE[:length])

    @settings(max_examples=300)
    @given(at=st.integers(0, len(ENVELOPE) - 1), byte=st.integers(0, 255))
    def test_a_changed_byte_is_corrupt_or_another_message_but_no_other_error(self, at: int, byte: int) -> None:
        data = ENVELOPE[:at] + bytes((byte,)) + ENVELOPE[at + 1 :]
        try:
            envelope = codec.unpack(data)
        except CorruptMessage:
            return
        assert isinstance(envelope.channel, str)
        assert isinstance(envelope.content, dict)

    @settings(max_examples=300)
    @given(st.binary(max_size=60))
    def test_no_bytes_raise_another_error(self, data: bytes) -> None:
        for unpack in (codec.unpack, codec.unpack_control):
            try:
                unpack(data)
            except CorruptMessage:
                continue

    @pytest.mark.parametrize("fields", [1, 3, 6, 7, 15])
    @pytest.mark.parametrize("version", [2, 127])
    def test_a_newer_version_is_told_from_corrupt_bytes_whatever_its_fields(self, version: int, fields: int) -> None:
        data = packed(version, *range(fields - 1)) + b"\x00"[: fields - 1]
        for unpack in (codec.unpack, codec.unpack_control):
            with pytest.raises(UnknownVersion, match=f"version {version}; this process reads up to 1"):
                unpack(data)

    def test_an_unknown_version_may_be_treated_as_corrupt(self) -> None:
        assert issubclass(UnknownVersion, CorruptMessage)


class TestControls:
    @given(number=st.integers(1, 2**53), deadline_ms=deadlines, group=channels, channel=channels)
    def test_what_goes_in_comes_out(self, number: int, deadline_ms: int, group: str, channel: str) -> None:
        control = codec.Control(number, deadline_ms, group, channel)
        data = codec.pack_control(control)
        assert codec.unpack_control(data) == control
        assert codec.is_control(data)
        with pytest.raises(CorruptMessage):
            codec.unpack(data)

    def test_an_envelope_is_no_control_message(self) -> None:
        assert not codec.is_control(ENVELOPE)
        assert not codec.is_control(b"")
        with pytest.raises(CorruptMessage):
            codec.unpack_control(ENVELOPE)

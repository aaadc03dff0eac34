"""What a message may carry, that it arrives as it was when it was sent, and how large it may be."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Callable

import pytest

from chancelery.exceptions import MessageTooLarge
from chancelery.layers.base import ChannelLayer
from chancelery.trail import Hop
from tests.contracts.fixtures import LayerFixtures, MakeLayer, fetch


class _Model:
    """Something with attributes, as a model instance is."""

    pk = 1


def _endless() -> dict[str, object]:
    content: dict[str, object] = {}
    content["again"] = content
    return content


CARRIED: dict[str, object] = {
    "text": "hello",
    "no text": "",
    "text with everything": "naïve \x00 \n 日本語 🦉",
    "bytes": bytes(range(256)),
    "no bytes": b"",
    "bytes that are no text": b"\xff\xfe",
    "zero": 0,
    "the smallest integer": -(2**63),
    "the largest integer": 2**64 - 1,
    "integers around what fits a double": [2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1],
    "fraction": 0.1,
    "infinity": math.inf,
    "true": True,
    "false": False,
    "nothing": None,
    "empty list": [],
    "empty dict": {},
    "nested": {"a": [{"b": [[], [None, {"c": b"d"}]]}], "": {"": ""}},
    "long list": list(range(70_000)),
    "long text": "x" * 100_000,
}

REFUSED: dict[str, Callable[[], object]] = {
    "datetime": lambda: dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    "date": lambda: dt.date(2020, 1, 1),
    "timedelta": dt.timedelta,
    "decimal": lambda: decimal.Decimal(1),
    "uuid": lambda: uuid.UUID(int=1),
    "set": lambda: {1},
    "frozenset": frozenset,
    "model": _Model,
    "class": lambda: _Model,
    "function": lambda: print,
    "bytearray": lambda: bytearray(b"x"),
    "complex number": lambda: 1j,
    "generator": lambda: (n for n in ()),
    "integer too large": lambda: 2**64,
    "integer too small": lambda: -(2**63) - 1,
    "half a surrogate pair": lambda: "\ud800",
    "integer as key": lambda: {1: 2},
    "bytes as key": lambda: {b"a": 2},
    "nothing as key": lambda: {None: 2},
    "itself": _endless,
}


class ContentContract(LayerFixtures):
    @pytest.mark.parametrize("kind", CARRIED)
    def test_a_message_arrives_as_it_was_sent(self, layer: ChannelLayer, kind: str) -> None:
        value = CARRIED[kind]
        layer.send("channel", {"value": value, kind: 1})
        layer.send("process!local", {"value": value, kind: 1})
        for source in ("channel", "process!"):
            _, content = layer.receive([source])
            assert content == {"value": value, kind: 1}
            assert type(content["value"]) is type(value)

    def test_an_empty_message_arrives(self, layer: ChannelLayer) -> None:
        layer.send("channel", {})
        assert layer.receive(["channel"]) == ("channel", {})

    def test_tuples_arrive_as_lists(self, layer: ChannelLayer) -> None:
        layer.send("channel", {"pair": (1, ("a", b"b"))})
        assert layer.receive(["channel"]) == ("channel", {"pair": [1, ["a", b"b"]]})

    @pytest.mark.parametrize("kind", REFUSED)
    @pytest.mark.parametrize("place", ["at the top", "deep inside"])
    def test_what_is_not_plain_data_is_a_type_error_at_the_sender(
        self, layer: ChannelLayer, kind: str, place: str
    ) -> None:
        value = REFUSED[kind]()
        content = {"value": value} if place == "at the top" else {"a": [{"b": (value,)}]}
        layer.group_add("group", "channel")
        with pytest.raises(TypeError):
            layer.send("channel", content)
        with pytest.raises(TypeError):
            layer.send_group("group", content)
        assert layer.receive(["channel"]) == (None, None)

    @pytest.mark.parametrize("content", [None, [], "text", b"bytes", 7, [("a", 1)]], ids=repr)
    def test_a_message_that_is_no_dict_is_a_type_error(self, layer: ChannelLayer, content: object) -> None:
        with pytest.raises(TypeError, match="a message is a dict"):
            layer.send("channel", content)
        with pytest.raises(TypeError, match="a message is a dict"):
            layer.send_group("group", content)

    def test_the_error_names_the_place_and_the_type(self, layer: ChannelLayer) -> None:
        with pytest.raises(TypeError, match=r"\['rows'\]\[1\]\['when'\] is a datetime\.date"):
            layer.send("channel", {"rows": [{}, {"when": dt.date(2020, 1, 1)}]})
        with pytest.raises(TypeError, match=r"\['counts'\] has the key 3"):
            layer.send("channel", {"counts": {3: 1}})

    def test_changing_the_content_after_sending_changes_nothing(self, layer: ChannelLayer) -> None:
        content = {"list": [1], "dict": {"a": 1}}
        layer.group_add("group", "member")
        layer.send("channel", content)
        layer.send("process!local", content)
        layer.send_group("group", content)
        content["list"].append(2)
        content["dict"]["a"] = 2
        content["new"] = True
        for source in ("channel", "process!", "member"):
            assert layer.receive([source])[1] == {"list": [1], "dict": {"a": 1}}

    def test_a_message_may_be_exactly_as_large_as_allowed(self, make_layer: MakeLayer) -> None:
        layer = make_layer(max_message_bytes=1000)
        room = 1000 - len(layer.pack({"data": b"x" * 500})) + 500
        layer.send("channel", {"data": b"x" * room})
        assert layer.receive(["channel"]) == ("channel", {"data": b"x" * room})

    def test_a_larger_message_is_refused_and_nothing_sent(self, make_layer: MakeLayer) -> None:
        layer = make_layer(max_message_bytes=1000)
        layer.group_add("group", "channel")
        with pytest.raises(MessageTooLarge, match=r"at most 1000 are allowed.*raise max_message_bytes"):
            layer.send("channel", {"data": b"x" * 1000})
        with pytest.raises(MessageTooLarge):
            layer.send_group("group", {"data": b"x" * 1000})
        assert layer.receive(["channel"]) == (None, None)

    def test_the_trail_arrives_with_the_message(self, layer: ChannelLayer) -> None:
        trail = (Hop("gateway", "websocket.receive", "host:1", 5), Hop("shop.consumers.buy", "orders", "host:2", 6))
        layer.send("orders", {"n": 1}, trail=trail)
        [delivery] = fetch(layer, layer.open_lease(), "orders")
        assert delivery.trail == trail

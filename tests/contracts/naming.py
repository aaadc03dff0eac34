"""Which names a layer takes, and that a bad one is refused before anything is sent."""

from __future__ import annotations

import pytest

from chancelery.layers.base import ChannelLayer, Finished, Send, Will
from tests.contracts.fixtures import LayerFixtures, fetch

GOOD_CHANNELS = ["a", "chat.message", "A-Z_0.9", "n" * 100, "single?reader", "process.1-x!local_part", "7"]
BAD_CHANNELS = [
    "",
    " ",
    "two words",
    "line\n",
    "n" * 101,
    "p!" + "n" * 99,
    "café",
    "p!é",
    "١٢",
    "a/b",
    "a:b",
    "trailing?",
    "trailing!",
    "?leading",
    "!leading",
    "a!b!c",
    "a?b?c",
    "a?b!c",
    "a!b?c",
    b"bytes",
    None,
    7,
    ["a"],
]
BAD_GROUPS = [name for name in BAD_CHANNELS if name not in GOOD_CHANNELS] + ["single?reader", "process!local"]
BAD_SOURCES = ["", "two words", "line\n", "n" * 101, "trailing?", "process!local", "!", "a?b!", "a!b!", None, b"bytes"]


class NamesContract(LayerFixtures):
    @pytest.mark.parametrize("name", GOOD_CHANNELS)
    def test_a_good_channel_name_can_be_sent_to_and_received_from(self, layer: ChannelLayer, name: str) -> None:
        layer.send(name, {"n": 1})
        source = name.partition("!")[0] + "!" if "!" in name else name
        assert layer.receive([source]) == (name, {"n": 1})

    @pytest.mark.parametrize("name", BAD_CHANNELS, ids=repr)
    def test_a_bad_channel_name_is_a_type_error(self, layer: ChannelLayer, name: str) -> None:
        with pytest.raises(TypeError, match="not a valid channel name"):
            layer.send(name, {})
        with pytest.raises(TypeError, match="not a valid channel name"):
            layer.group_add("group", name)
        with pytest.raises(TypeError, match="not a valid channel name"):
            layer.group_discard("group", name)

    @pytest.mark.parametrize("name", BAD_GROUPS, ids=repr)
    def test_a_bad_group_name_is_a_type_error(self, layer: ChannelLayer, name: str) -> None:
        with pytest.raises(TypeError, match="not a valid group name"):
            layer.send_group(name, {})
        with pytest.raises(TypeError, match="not a valid group name"):
            layer.group_add(name, "channel")
        with pytest.raises(TypeError, match="not a valid group name"):
            layer.group_discard(name, "channel")
        with pytest.raises(TypeError, match="not a valid group name"):
            layer.group_channels(name)

    @pytest.mark.parametrize("name", BAD_SOURCES, ids=repr)
    def test_one_cannot_receive_from_a_bad_name_or_a_single_process_local_channel(
        self, layer: ChannelLayer, name: str
    ) -> None:
        with pytest.raises(TypeError, match="not a valid channel to receive from"):
            layer.receive(["good", name])

    def test_the_error_says_what_was_given_and_what_is_allowed(self, layer: ChannelLayer) -> None:
        with pytest.raises(TypeError, match=r"'two words'.*1 to 100 ASCII letters, digits, hyphens"):
            layer.send("two words", {})

    def test_nothing_is_posted_when_one_address_is_bad(self, layer: ChannelLayer) -> None:
        body = layer.pack({"n": 1})
        bad_will = Send("good", body, "p!x", will=Will("two words", body))
        for bad in (
            Send("two words", body),
            Send("a!b", body, to_group=True),
            Send("good", body, "bad lane"),
            bad_will,
        ):
            with pytest.raises(TypeError):
                layer.post([Send("good", body), bad])
        assert layer.receive(["good"]) == (None, None)

    def test_nothing_is_finished_when_one_address_is_bad(self, layer: ChannelLayer) -> None:
        layer.send("work", {"n": 1})
        lease = layer.open_lease()
        [delivery] = fetch(layer, lease, "work")
        body = layer.pack({"n": 2})
        with pytest.raises(TypeError):
            layer.finish([Finished(delivery, [Send("good", body), Send("two words", body)])], lease)
        layer.finish([Finished(delivery, [Send("good", body)])], lease)
        assert layer.receive(["good"]) == ("good", {"n": 2})
        assert layer.receive(["good"]) == (None, None)

    @pytest.mark.parametrize("pattern", ["reply?", "daphne.response.x!"])
    def test_new_channels_are_unused_names_that_can_be_sent_to(self, layer: ChannelLayer, pattern: str) -> None:
        made = {layer.new_channel(pattern) for _ in range(100)}
        assert len(made) == 100
        for name in made:
            assert name.startswith(pattern)
            assert len(name) >= len(pattern) + 16, "it must not be guessed"
            layer.send(name, {})

    @pytest.mark.parametrize(
        "pattern", ["plain", "", "?", "!", "two words?", "a!b!", "n" * 90 + "?", None, b"x?"], ids=repr
    )
    def test_new_channel_refuses_other_patterns(self, layer: ChannelLayer, pattern: str) -> None:
        with pytest.raises(TypeError):
            layer.new_channel(pattern)

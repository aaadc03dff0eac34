"""The outcome goes where `reply_to` says, in the form that `reply` says."""

from __future__ import annotations

import json
import uuid
from typing import Any

import msgspec
import pytest
from celery import chain, group

from chancelery import Channel, Group, channel_layers
from chancelery.message import Message
from chancelery.tasks import escalate
from tests.tasks.conftest import PATIENCE_SECONDS, Socket
from tests.tasks.project import tasks
from tests.tasks.project.tasks import add, number

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def channel() -> Channel:
    return Channel(f"reports.{uuid.uuid4().hex[:12]}")


def received(channel: Channel) -> dict[str, Any]:
    """The next message on an ordinary channel."""
    for _ in range(PATIENCE_SECONDS // 5):
        _, content = channel.channel_layer.layer.receive([channel.name], block=True)
        if content is not None:
            return content
    raise AssertionError(f"nothing came on {channel.name}")


def has_nothing(channel: Channel) -> bool:
    return channel.channel_layer.layer.receive([channel.name]) == (None, None)


def test_a_group_hears_everything(socket: Socket, group: Group) -> None:
    job = escalate(Socket().message(), number.s(7), reply_to=group)
    assert socket.events() == job.events()


def test_an_ordinary_channel_gets_the_outcome_as_a_message(socket: Socket, channel: Channel) -> None:
    job = escalate(socket.message(), chain(number.s(7), add.s(1)), reply_to=channel)
    message = received(channel)
    assert message == {"job": job.id, "seq": message["seq"], "kind": "result", "data": 8}
    assert message["seq"] == job.events()[-1]["seq"]
    assert has_nothing(channel)
    assert socket.is_silent()


def test_an_ordinary_channel_gets_errors_as_well(socket: Socket, channel: Channel) -> None:
    escalate(socket.message(), tasks.fails.s(), reply_to=channel)
    message = received(channel)
    assert (message["kind"], message["data"]["code"]) == ("error", "UnwellError")


@pytest.mark.parametrize(
    "value", [None, True, 1.5, "grün", [], {}, {"a": [1, {"b": None}]}, ["x" * 300] * 20, 2**40, -1]
)
def test_an_ordinary_channel_gets_the_result_as_it_was(value: Any, socket: Socket, channel: Channel) -> None:
    escalate(socket.message(), number.s(value), reply_to=[channel, Channel(socket.name)])
    assert received(channel)["data"] == value
    assert socket.end()["data"] == value


def test_an_ordinary_channel_gets_the_results_of_a_group(socket: Socket, channel: Channel) -> None:
    values = [{"part": part, "of": [part] * part} for part in range(20)]
    escalate(socket.message(), group_of(values), reply_to=channel)
    assert received(channel)["data"] == values


def group_of(values: list[Any]) -> Any:
    return group_canvas(number.s(value) for value in values)


group_canvas = group


def test_several_addresses_get_the_same_outcome(socket: Socket, group: Group, channel: Channel) -> None:
    other = Socket()
    job = escalate(socket.message(), number.s(7), reply_to=[Channel(other.name), group, channel])
    assert other.events() == socket.events() == job.events()
    assert received(channel)["data"] == 7


def test_a_channel_with_a_single_reader_gets_the_outcome_as_a_message(socket: Socket) -> None:
    channel = Channel(socket.layer.new_channel("reports?"))
    escalate(socket.message(), number.s(7), reply_to=channel)
    assert received(channel)["data"] == 7


class TestAMessageAsReply:
    def test_the_returned_dict_is_sent_as_it_is_and_nothing_else(self, socket: Socket) -> None:
        job = tasks.answers.escalate(socket.message(), {"text": "7", "close": True})
        assert next(socket.contents()) == {"text": "7", "close": True}
        assert socket.is_silent()
        assert [event["kind"] for event in job.events()] == ["accepted", "started", "result"]

    def test_bytes_can_be_sent(self, socket: Socket) -> None:
        tasks.answers_bytes.escalate(socket.message())
        assert next(socket.contents()) == {"bytes": b"\x00\x01"}

    def test_a_group_and_an_ordinary_channel_get_the_dict_too(
        self, socket: Socket, group: Group, channel: Channel
    ) -> None:
        tasks.answers.escalate(socket.message(), {"text": "hi"}, reply_to=[group, channel])
        assert next(socket.contents()) == {"text": "hi"}
        assert received(channel) == {"text": "hi"}

    def test_the_last_task_of_a_canvas_says_how_it_answers(self, socket: Socket) -> None:
        escalate(socket.message(), chain(number.s({"text": "from a chain"}), tasks.answers.s()))
        assert next(socket.contents()) == {"text": "from a chain"}

    def test_it_can_be_asked_for_with_plain_tasks(self, socket: Socket) -> None:
        escalate(socket.message(), number.s({"text": "plain"}), reply="message")
        assert next(socket.contents()) == {"text": "plain"}

    def test_events_can_be_asked_for_instead(self, socket: Socket) -> None:
        escalate(socket.message(), tasks.answers.s({"text": "7"}), reply="events")
        assert socket.end()["data"] == {"text": "7"}

    @pytest.mark.parametrize("value", ["text", None, [1], {"1": {"set": "no"}, "n": 2**70}])
    def test_anything_but_a_plain_dict_ends_in_an_error_frame(self, value: Any, socket: Socket) -> None:
        tasks.answers.escalate(socket.message(), value)
        end = socket.end()
        assert (end["kind"], end["data"]["code"]) == ("error", "not_a_message")

    def test_an_error_is_a_frame(self, socket: Socket) -> None:
        escalate(socket.message(), tasks.fails.s(), reply="message")
        assert socket.end()["data"]["code"] == "UnwellError"


def test_every_event_continues_the_trail_of_the_message(socket: Socket) -> None:
    escalate(socket.message(), number.s(7))
    for content in range(3):
        entry = envelope(socket, content)
        senders = [(hop[0], hop[1]) for hop in entry[5]]
        assert senders[0][1].startswith("job.")
        assert senders[-1][1] == socket.name
        assert len(senders) == 2
    assert senders[-1][0] == number.name


def envelope(socket: Socket, number_of_entry: int) -> list[Any]:
    """One entry of the socket's mail, as it is stored."""
    layer = socket.layer
    while True:
        collected = layer.collect(socket.process, 0, 10)
        if len(collected.entries) > number_of_entry:
            return msgspec.msgpack.decode(collected.entries[number_of_entry])
        layer.wait([socket.process], timeout=5)


def test_what_has_no_room_is_still_among_the_events_of_the_job(socket: Socket) -> None:
    layer = socket.layer
    channel = Channel("full.channel")
    while not layer.post([_filler(layer, channel)]):
        pass
    job = escalate(socket.message(), number.s(1), reply_to=[channel, Channel(socket.name)])
    assert socket.end()["kind"] == "result"
    assert job.state == "result"


def _filler(layer: Any, channel: Channel) -> Any:
    from chancelery.layers.base import Send  # noqa: PLC0415

    return Send(channel.name, layer.pack({"n": 1}))


def test_without_a_message_the_tasks_get_an_empty_one(socket: Socket) -> None:
    escalate(None, tasks.echoed.s(), reply_to=Channel(socket.name))
    assert socket.end()["data"] == {
        "text": None, "channel": "code", "reply_channel": None, "trail": ["code"], "args": []
    }  # fmt: skip


def test_a_frame_is_json_with_text_as_it_is(socket: Socket) -> None:
    escalate(socket.message(), number.s('grün \u2028 "quoted"'))
    texts = [next(socket.contents())["text"] for _ in range(3)]
    assert "grün" in texts[-1]
    assert json.loads(texts[-1])["data"] == 'grün \u2028 "quoted"'


def test_a_message_without_reply_channel_cannot_be_answered(socket: Socket) -> None:
    message = Message({}, "reports.done", channel_layers["default"])
    with pytest.raises(ValueError, match=r"the message on 'reports.done' has no reply channel.*reply_to="):
        escalate(message, number.s(1))
    with pytest.raises(ValueError, match=r"without message has no reply channel"):
        escalate(None, number.s(1))


@pytest.mark.parametrize("reply_to", ["a.channel", 7, [object()]])
def test_other_things_cannot_be_answered(reply_to: Any, socket: Socket) -> None:
    with pytest.raises(TypeError, match="reply_to takes a Channel, a Group or a list of them"):
        escalate(socket.message(), number.s(1), reply_to=reply_to)


def test_nobody_cannot_be_answered(socket: Socket) -> None:
    with pytest.raises(ValueError, match="reply_to is empty"):
        escalate(socket.message(), number.s(1), reply_to=[])

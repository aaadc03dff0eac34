"""Several streams on one socket: what their consumers are called with, and what the socket is sent."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date

import pytest
from django.core.exceptions import ImproperlyConfigured

from chancelery import Group, WebsocketDemultiplexer, route, route_class
from chancelery.exceptions import DenyConnection, SendNotAvailableOnDemultiplexer
from chancelery.generic import JsonWebsocketConsumer, WebsocketConsumer, WebsocketMultiplexer
from chancelery.message import Message
from chancelery.routing import Router
from chancelery.sessions import session_for_reply_channel
from tests.routed import received, routed

seen = []


@pytest.fixture
def wrapper():
    seen.clear()
    with routed() as wrapper:
        yield wrapper


@pytest.fixture
def handle(wrapper):
    """Hand a message to a consumer and return what its socket was sent."""

    def handle(consumer, channel="websocket.receive", kwargs=None, **content):
        content = {"reply_channel": "gw!one", "path": "/p/", "order": 1, **content}
        consumer(Message(content, channel, wrapper), **(kwargs or {}))
        return received(wrapper.layer, "gw!")

    return handle


@pytest.fixture
def say(handle):
    """Have a socket say something on a stream, and return what it was sent, parsed."""

    def say(consumer, stream, payload, **options):
        text = json.dumps({"stream": stream, "payload": payload})
        return [json.loads(message["text"]) for message in handle(consumer, text=text, **options)]

    return say


class Echo(JsonWebsocketConsumer):
    """As Channels 1's own documentation has one."""

    def connect(self, message, multiplexer, **kwargs):
        multiplexer.send({"status": "I just connected!"})

    def receive(self, content, multiplexer, **kwargs):
        multiplexer.send({"original": content, "rest": kwargs})

    def disconnect(self, message, multiplexer, **kwargs):
        seen.append(f"{multiplexer.stream} is closed")


class Other(WebsocketConsumer):
    groups = ("others",)

    def receive(self, text=None, multiplexer=None, **kwargs):
        seen.append((text, multiplexer.stream))


class Both(WebsocketDemultiplexer):
    consumers = {"echo": Echo, "other": Other}  # noqa: RUF012 - as projects write it
    groups = ("all",)


def on_channel(message):
    seen.append((message.channel.name, message.content))


class Mapped(WebsocketDemultiplexer):
    """As the talk has it."""

    mapping = {  # noqa: RUF012 - as projects write it
        "intval": "binding.intval",
    }


# In


def test_a_payload_reaches_the_consumer_of_its_stream_with_a_multiplexer(say):
    assert say(Both, "echo", {"é": [1, None]}, kwargs={"room": "a"}) == [
        {"stream": "echo", "payload": {"original": {"é": [1, None]}, "rest": {"room": "a"}}}
    ]
    assert say(Both, "other", {"n": 1}) == []
    assert seen == [('{"n": 1}', "other")]


def test_connect_and_disconnect_reach_every_stream_and_their_groups(handle, wrapper):
    assert handle(Both, "websocket.connect") == [
        {"text": '{"stream": "echo", "payload": {"status": "I just connected!"}}'}
    ]
    assert [wrapper.layer.group_channels(group) for group in ("all", "others")] == [["gw!one"]] * 2
    assert handle(Both, "websocket.disconnect", code=1000) == []
    assert [wrapper.layer.group_channels(group) for group in ("all", "others")] == [[], []]
    assert seen == ["echo is closed"]


def test_a_function_or_a_dotted_name_may_be_behind_a_stream_too(say):
    def function(message, multiplexer, **kwargs):
        seen.append((message.channel.name, message["text"], message["path"], message["order"]))
        multiplexer.send({"ok": True})

    class Streams(WebsocketDemultiplexer):
        consumers = {"one": function, "two": "tests.generic.test_multiplexing.Echo"}  # noqa: RUF012 - as projects write it

    assert say(Streams, "one", {"n": 1}) == [{"stream": "one", "payload": {"ok": True}}]
    assert seen == [("websocket.receive", '{"n": 1}', "/p/", 1)]
    assert say(Streams, "two", {})[0]["stream"] == "two"


def test_a_stream_may_lead_to_a_channel_as_the_talk_has_it(wrapper, handle):
    router = Router([route_class(Mapped, path="^/p/"), route("binding.intval", on_channel)])
    frame = Message(
        {
            "reply_channel": "gw!one",
            "path": "/p/",
            "order": 3,
            "text": '{"stream": "intval", "payload": {"action": "x"}}',
        },
        "websocket.receive",
        wrapper,
    )
    demultiplexer, kwargs = router.match(frame)
    demultiplexer(frame, **kwargs)
    [content] = received(wrapper.layer, "binding.intval")
    assert content == {
        "reply_channel": "gw!one",
        "path": "/p/",
        "order": 3,
        "stream": "intval",
        "payload": {"action": "x"},
    }
    consumer, kwargs = router.match(Message(content, "binding.intval", wrapper))
    assert consumer is on_channel
    assert handle(Mapped, "websocket.connect") == handle(Mapped, "websocket.disconnect") == []


def test_a_message_on_a_mapped_channel_stays_in_the_order_of_its_socket(wrapper, handle):
    handle(Mapped, text='{"stream": "intval", "payload": {}}')
    [delivery] = wrapper.layer.fetch(["binding.intval"], 1, wrapper.layer.open_lease()).deliveries
    assert delivery.lane == "gw!one"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "this frame is not JSON"),
        ("[1]", 'is {"stream": …, "payload": {…}}'),
        ('{"stream": "echo"}', 'is {"stream": …, "payload": {…}}'),
        ('{"stream": "nowhere", "payload": {}}', "this socket has no stream 'nowhere'"),
        ('{"stream": ["echo"], "payload": {}}', "this socket has no stream ['echo']"),
        ('{"stream": "echo", "payload": [1]}', "the payload of a stream is an object"),
        ('{"stream": "echo", "payload": {"n": NaN}}', "NaN is no number of JSON"),
        ('{"stream": "echo", "payload": {"n": -Infinity}}', "-Infinity is no number of JSON"),
    ],
)
def test_a_frame_that_no_stream_gets_is_answered_and_the_socket_stays_open(handle, text, complaint):
    [sent] = handle(Both, text=text)
    assert complaint in json.loads(sent["text"])["error"]
    assert "close" not in sent


@pytest.mark.parametrize("frame", [{"text": None, "bytes": b"x"}, {"text": None}, {"text": ""}, {}])
def test_a_frame_without_text_is_answered(handle, frame):
    [sent] = handle(Both, **frame)
    assert "JSON" in json.loads(sent["text"])["error"]


def test_what_is_said_of_a_bad_frame_is_short(handle):
    [sent] = handle(Both, text=json.dumps({"stream": "x" * 100_000, "payload": {}}))
    assert len(sent["text"]) < 200


@pytest.mark.parametrize("value", [10**30, "\ud800"])
def test_a_payload_that_no_message_can_carry_is_answered(say, value):
    [answer] = say(Mapped, "intval", {"n": value})
    assert "this payload cannot be passed on" in answer["error"]


def test_how_bad_frames_are_answered_may_be_replaced(handle):
    class Strict(Both):
        def receive_invalid(self, error_text):
            raise ValueError(error_text)  # as Channels 1 did

    with pytest.raises(ValueError, match="no stream 'nowhere'"):
        handle(Strict, text='{"stream": "nowhere", "payload": {}}')


def test_a_stream_that_denies_turns_the_socket_away(handle):
    def denying(message, **kwargs):
        raise DenyConnection

    class Streams(WebsocketDemultiplexer):
        consumers = {"one": denying, "two": Echo}  # noqa: RUF012 - as projects write it

    with pytest.raises(DenyConnection):
        handle(Streams, "websocket.connect")


def test_every_stream_hears_of_a_disconnect_also_when_one_fails(handle):
    def failing(message, **kwargs):
        raise RuntimeError("of its own")

    class Streams(WebsocketDemultiplexer):
        consumers = {"one": failing, "two": Echo}  # noqa: RUF012 - as projects write it

    with pytest.raises(RuntimeError, match="of its own"):
        handle(Streams, "websocket.disconnect")
    assert seen == ["two is closed"]


@pytest.mark.django_db
def test_streams_share_the_session_of_their_socket_and_all_have_it_when_it_goes(handle):
    class Counting(JsonWebsocketConsumer):
        channel_session = True

        def connect(self, message, **kwargs):
            message.channel_session["n"] = message.channel_session.get("n", 0) + 1

        def disconnect(self, message, **kwargs):
            seen.append(message.channel_session["n"])

    class Streams(WebsocketDemultiplexer):
        consumers = {"one": Counting, "two": Counting}  # noqa: RUF012 - as projects write it

    handle(Streams, "websocket.connect")
    assert session_for_reply_channel("gw!one")["n"] == 2
    handle(Streams, "websocket.disconnect")
    assert seen == [2, 2]
    assert session_for_reply_channel("gw!one").is_empty()


# Out


def test_consumers_are_never_patched(say, handle):
    """Channels 1 set `send` on the class, so that the consumer could not be used on a path of its own any more."""
    attributes = dict(vars(Echo))
    handle(Both, "websocket.connect")
    say(Both, "echo", {})
    assert dict(vars(Echo)) == attributes
    assert Echo.send is JsonWebsocketConsumer.send

    class Alone(Echo):
        def receive(self, content, **kwargs):
            self.send({"alone": True})

    assert handle(Alone, text="{}") == [{"text": '{"alone": true}'}]


def test_a_json_consumer_speaks_on_its_stream_with_send_too(handle):
    class Speaking(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            self.send({"got": content}, close=4000)

    class Streams(WebsocketDemultiplexer):
        consumers = {"one": Speaking}  # noqa: RUF012 - as projects write it

    assert handle(Streams, text='{"stream": "one", "payload": {}}') == [
        {"text": '{"stream": "one", "payload": {"got": {}}}'},
        {"close": 4000},
    ]
    assert handle(Speaking, text="{}") == [{"text": '{"got": {}}', "close": 4000}]


def test_raw_frames_of_a_stream_are_refused_and_closing_is_not(handle):
    class Raw(WebsocketConsumer):
        def receive(self, text=None, **kwargs):
            self.send(**json.loads(text))

    class Streams(WebsocketDemultiplexer):
        consumers = {"raw": Raw}  # noqa: RUF012 - as projects write it

    for frame in ({"text": "x"}, {"text": ""}, {"text": "x", "close": True}):
        with pytest.raises(SendNotAvailableOnDemultiplexer, match=r"multiplexer\.send"):
            handle(Streams, text=json.dumps({"stream": "raw", "payload": frame}))
    assert handle(Streams, text='{"stream": "raw", "payload": {"close": 3000}}') == [{"close": 3000}]
    with pytest.raises(ValueError, match="needs text or bytes, or a reason to close"):
        handle(Streams, text='{"stream": "raw", "payload": {"text": null}}')


def test_a_demultiplexer_has_no_stream_to_send_on(handle):
    class Sending(Both):
        def connect(self, message, **kwargs):
            self.send({"x": 1})

    with pytest.raises(SendNotAvailableOnDemultiplexer, match=r"multiplexer\.send"):
        handle(Sending, "websocket.connect")
    with pytest.raises(SendNotAvailableOnDemultiplexer, match=r"WebsocketMultiplexer\.group_send"):
        Both.group_send("all", {"x": 1})


def test_a_demultiplexer_can_close_its_socket(handle):
    class Closing(Both):
        def receive(self, content, **kwargs):
            self.close(4001)

    assert handle(Closing, text="{}") == [{"close": 4001}]


def test_a_group_is_sent_to_on_a_stream_in_the_json_of_django(handle, wrapper):
    handle(Both, "websocket.connect")
    WebsocketMultiplexer.group_send("all", "echo", {"on": date(2026, 7, 1)})
    WebsocketMultiplexer.group_send("all", "echo", None, close=True)
    Group("all").send(WebsocketMultiplexer.encode("other", 1))
    assert received(wrapper.layer, "gw!") == [
        {"text": '{"stream": "echo", "payload": {"on": "2026-07-01"}}'},
        {"text": '{"stream": "echo", "payload": null}', "close": True},
        {"text": '{"stream": "other", "payload": 1}'},
    ]
    with pytest.raises(ValueError, match="not 5"):
        WebsocketMultiplexer.group_send("all", "echo", None, close=5)


def test_the_multiplexer_may_be_one_of_the_project(say):
    class Shouting(WebsocketMultiplexer):
        @classmethod
        def encode_json(cls, content):
            return super().encode_json(content).upper()

    class Streams(WebsocketDemultiplexer):
        consumers = {"echo": Echo}  # noqa: RUF012 - as projects write it
        multiplexer_class = Shouting

    assert say(Streams, "echo", {})[0]["STREAM"] == "ECHO"


# What cannot be


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({"consumers": ["echo"]}, "consumers is a dict with streams as its keys"),
        ({"mapping": "echo"}, "mapping is a dict with streams as its keys"),
        ({"consumers": {"a": Echo}, "mapping": {"a": "b"}}, "the stream 'a' in both consumers and mapping"),
    ],
)
def test_streams_that_cannot_be_are_noticed_when_the_class_is_made(attributes, complaint):
    with pytest.raises(ImproperlyConfigured, match=complaint):
        type("Wrong", (WebsocketDemultiplexer,), attributes)
    with pytest.raises(ImproperlyConfigured, match=complaint):
        WebsocketDemultiplexer.as_route(attributes)


def test_a_channel_that_cannot_be_is_noticed_when_the_class_is_made():
    with pytest.raises(TypeError, match="not a valid channel name"):
        type("Wrong", (WebsocketDemultiplexer,), {"mapping": {"a": "no channel"}})


def test_an_async_function_is_no_consumer_of_a_stream(handle):
    async def waiting(message, **kwargs):
        """Never run."""

    class Streams(WebsocketDemultiplexer):
        consumers = {"one": waiting}  # noqa: RUF012 - as projects write it

    with pytest.raises(ImproperlyConfigured, match=r"'one', .* is an async function"):
        handle(Streams, text='{"stream": "one", "payload": {}}')


def test_importing_the_package_neither_imports_the_demultiplexer_nor_needs_settings():
    script = (
        "import sys, chancelery; assert 'chancelery.generic' not in sys.modules; "
        "from chancelery import WebsocketDemultiplexer; import chancelery.generic; "
        "assert WebsocketDemultiplexer is chancelery.generic.WebsocketDemultiplexer"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={}, timeout=60)

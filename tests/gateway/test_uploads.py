"""Bodies beyond their first part, at the ASGI door, over the in-memory layer."""

from __future__ import annotations

import asyncio

import pytest

from chancelery.gateway.upload import PART_BYTES
from chancelery.layers.memory import InMemoryChannelLayer
from tests.gateway.harness import CountingLayer, Request, gateway_on, on_a_loop, taken, until

PIECE = b"x" * 65536
PIECES_IN_A_PART = PART_BYTES // len(PIECE)


class Upload(Request):
    """A request whose body comes piece by piece, as its application asks for it."""

    def __init__(self, gateway, **scope):
        super().__init__(gateway, method="POST", **scope)
        self._in.get_nowait()

    @property
    def unread(self):
        """How many pieces are still the client's."""
        return self._in.qsize()

    def piece(self, piece=PIECE, *, more=True):
        self.put("http.request", body=piece, more_body=more)

    def parts(self, number):
        for _ in range(number * PIECES_IN_A_PART):
            self.piece()


@pytest.fixture
def layer():
    return InMemoryChannelLayer()


async def begun(layer, **scope):
    """An upload whose first part is there, its message, and the channel for the rest."""
    upload = Upload(gateway_on(layer), **scope)
    upload.parts(1)
    message = await taken(layer, "http.request")
    return upload, message, message["body_channel"]


@on_a_loop
async def test_what_follows_the_first_part_comes_in_order_on_a_channel_of_its_own(layer):
    upload, message, channel = await begun(layer)
    assert len(message["body"]) == PART_BYTES
    assert channel.startswith("http.request.body?")
    upload.piece(b"y" * 700_000)
    upload.piece(b"end", more=False)
    parts = [await taken(layer, channel) for _ in range(3)]
    assert [(len(part["content"]), part["more_content"], part["order"]) for part in parts] == [
        (PART_BYTES, True, 1),
        (PART_BYTES, True, 2),
        (700_003 - 2 * PART_BYTES, False, 3),
    ]
    layer.send(message["reply_channel"], {"status": 200, "content": b"got it"})
    assert (await upload.response())[2] == b"got it"
    await upload.ended()


@on_a_loop
async def test_a_body_of_exactly_one_part_has_no_other_channel(layer):
    Request(gateway_on(layer), body=b"x" * PART_BYTES)
    assert "body_channel" not in await taken(layer, "http.request")


@on_a_loop
async def test_a_client_is_read_no_faster_than_its_body(layer):
    upload, _, channel = await begun(layer)
    upload.parts(10)
    await until(lambda: layer.channel_statistics(channel)["messages_pending"] == 4)
    # One part is in the gateway's hands. The rest is the client's still.
    await until(lambda: upload.unread == 5 * PIECES_IN_A_PART)
    await taken(layer, channel)
    await until(lambda: upload.unread == 4 * PIECES_IN_A_PART)
    assert layer.channel_statistics(channel)["messages_pending"] == 4
    upload.task.cancel()


@on_a_loop
async def test_a_client_that_leaves_in_the_middle_breaks_the_body_off(layer):
    upload, message, channel = await begun(layer)
    upload.parts(1)
    upload.put("http.disconnect")
    await upload.ended()
    assert {**await taken(layer, channel), "order": 0} == {
        "content": b"",
        "more_content": False,
        "closed": True,
        "order": 0,
    }
    assert (await taken(layer, "http.disconnect"))["reply_channel"] == message["reply_channel"]


@on_a_loop
async def test_of_a_body_that_is_broken_off_nothing_stays_but_that_it_was(layer):
    """Or whoever begins an upload and leaves, over and over, would have a MiB kept for each time."""
    upload, _, channel = await begun(layer)
    upload.parts(4)
    await until(lambda: layer.channel_statistics(channel)["messages_pending"] == 4)
    upload.put("http.disconnect")
    await upload.ended()
    assert (await taken(layer, channel))["closed"] is True


@on_a_loop
async def test_a_body_that_turns_out_too_large_is_answered_with_413_and_broken_off(layer, settings):
    settings.CHANCELERY = {"MAX_BODY_BYTES": PART_BYTES + 10}
    upload, _, channel = await begun(layer)
    upload.piece(b"x" * 11)
    assert (await upload.response())[0] == 413
    assert (await taken(layer, channel))["closed"] is True
    upload.put("http.disconnect")
    await upload.ended()


@on_a_loop
async def test_a_body_that_says_that_it_is_too_large_is_not_read(layer, settings):
    settings.CHANCELERY = {"MAX_BODY_BYTES": 1000}
    upload = Upload(gateway_on(layer), headers=[(b"content-length", b"1001")])
    upload.piece()
    assert (await upload.response())[0] == 413
    await upload.ended()
    assert upload.unread == 1


@on_a_loop
async def test_what_nobody_reads_is_removed_with_the_answer(layer):
    upload, message, channel = await begun(layer)
    upload.parts(4)
    await until(lambda: layer.channel_statistics(channel)["messages_pending"] == 4)
    layer.send(message["reply_channel"], {"status": 403, "content": b"no"})
    assert (await upload.response())[0] == 403
    upload.put("http.disconnect")  # as uvicorn says of a response that is complete
    await upload.ended()
    assert layer.channel_statistics(channel)["messages_pending"] == 0
    assert not [name for name in layer.global_statistics() if name.startswith("dropped")]


@on_a_loop
async def test_a_part_that_was_on_its_way_when_the_answer_came_is_removed_as_well():
    layer = CountingLayer()
    upload, message, channel = await begun(layer)
    layer.may_answer.clear()
    upload.parts(1)
    await until(lambda: [channel] in layer.exchanges)
    layer.send(message["reply_channel"], {"status": 403, "content": b"no"})
    assert (await upload.response())[0] == 403
    upload.put("http.disconnect")
    await asyncio.sleep(0.1)  # by then, what is there would have been removed
    layer.may_answer.set()
    await upload.ended()
    assert layer.channel_statistics(channel)["messages_pending"] == 0


@on_a_loop
async def test_a_body_that_nobody_reads_is_answered_with_503(layer, settings):
    settings.CHANCELERY = {"HTTP_TIMEOUT": 0.3}
    upload, _, _ = await begun(layer)
    upload.parts(6)
    assert (await upload.response())[0] == 503
    upload.put("http.disconnect")
    await upload.ended()


@on_a_loop
async def test_a_client_that_sends_no_more_is_answered_with_408(layer, settings):
    settings.CHANCELERY = {"HTTP_TIMEOUT": 0.1}
    upload, _, channel = await begun(layer)
    assert (await upload.response())[0] == 408
    assert (await taken(layer, channel))["closed"] is True


@on_a_loop
async def test_while_parts_are_taken_nobody_waits_for_a_response(layer, settings):
    settings.CHANCELERY = {"HTTP_TIMEOUT": 2}
    upload, message, channel = await begun(layer)
    for _ in range(7):
        upload.parts(1)
        await taken(layer, channel)
        await asyncio.sleep(0.35)  # altogether, longer than the timeout
    upload.piece(b"end", more=False)
    layer.send(message["reply_channel"], {"status": 200, "content": b"all of it"})
    assert (await upload.response())[0] == 200


@on_a_loop
async def test_a_client_may_take_its_time_for_the_first_part(layer, settings):
    settings.CHANCELERY = {"HTTP_TIMEOUT": 1}
    upload = Upload(gateway_on(layer))
    upload.piece(b"one ")
    await asyncio.sleep(1.2)
    upload.piece(b"two", more=False)
    message = await taken(layer, "http.request")
    assert message["body"] == b"one two"
    layer.send(message["reply_channel"], {"status": 200, "content": b"in time"})
    assert (await upload.response())[2] == b"in time"


@on_a_loop
async def test_small_messages_make_small_parts():
    layer = InMemoryChannelLayer(max_message_bytes=10_000)
    Request(gateway_on(layer), body=b"x" * 12_000)
    message = await taken(layer, "http.request")
    rest = [await taken(layer, message["body_channel"]) for _ in range(2)]
    assert [len(message["body"]), *(len(part["content"]) for part in rest)] == [5000, 5000, 2000]


@on_a_loop
async def test_a_first_part_that_comes_when_the_gateway_has_drained_is_answered_with_503(layer):
    gateway = gateway_on(layer)
    upload = Upload(gateway)
    upload.piece()
    await until(lambda: upload.unread == 0)
    await gateway.drain()
    upload.piece(b"end", more=False)
    assert (await upload.response())[0] == 503
    await upload.ended()


@on_a_loop
async def test_a_length_of_thousands_of_digits_is_too_large(layer):
    upload = Upload(gateway_on(layer), headers=[(b"content-length", b"9" * 5000)])
    upload.piece()
    assert (await upload.response())[0] == 413
    await upload.ended()

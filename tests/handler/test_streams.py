"""Streaming responses: async ones, files, and how fast they are sent to whom."""

from __future__ import annotations

import threading

import pytest

from chancelery.handler import ViewConsumer, sending
from tests.handler import urls
from tests.handler.messages import a_request, responses
from tests.routed import received

pytestmark = pytest.mark.django_db

TAKEN = "http.response.taken?"


def contents(messages):
    return [message["content"] for message in messages]


def test_an_async_stream_comes_part_by_part(wrapper):
    found = responses(wrapper, "/async-stream/")
    assert contents(found) == [b"", b"one ", b"two ", b"3", b""]
    assert [message["more_content"] for message in found] == [True, True, True, True, False]
    assert urls.closed == ["parts", "stream"]


def test_an_async_stream_that_breaks_off_ends_too_and_says_why(wrapper):
    with pytest.raises(RuntimeError, match="broke off"):
        ViewConsumer()(a_request(wrapper, "/async-break-off/"))
    assert contents(received(wrapper.layer, "gw!")) == [b"", b"one", b""]
    assert urls.closed == ["stream"]


def test_a_file_comes_in_large_pieces(wrapper):
    found = responses(wrapper, "/file/")
    assert [len(message["content"]) for message in found] == [0, 524288, 524288, 451424, 0]
    assert [b"Content-Length", b"1500000"] in found[0]["headers"]


class Gateway(threading.Thread):
    """Reads a response, and confirms what it is asked to, for as long as its client is there."""

    def __init__(self, layer, leaves_after):
        super().__init__()
        self.sizes = []
        self._layer = layer
        self._leaves_after = leaves_after

    def run(self):
        while len(self.sizes) < self._leaves_after:
            _, content = self._layer.receive(["gw!"], block=True)
            self.sizes.append(len(content["content"]))
            if "confirm" in content:
                self._layer.send(content["confirm"], {"closed": len(self.sizes) == self._leaves_after})


def test_a_stream_ends_when_its_client_is_gone(wrapper, caplog):
    gateway = Gateway(wrapper.layer, leaves_after=61)
    gateway.start()
    ViewConsumer()(a_request(wrapper, "/endless/", confirms=True))
    gateway.join()
    assert urls.closed == ["stream"]
    assert "Traceback" not in caplog.text
    assert sum(map(len, contents(received(wrapper.layer, "gw!")))) <= 4_500_000


def test_a_stream_goes_no_further_than_its_client_reads(wrapper, settings):
    settings.CHANCELERY = {"HTTP_TIMEOUT": 0.1}
    ViewConsumer()(a_request(wrapper, "/endless/", confirms=True))
    found = received(wrapper.layer, "gw!")
    assert 4_000_000 <= sum(map(len, contents(found))) <= 5_000_000
    assert len({message["confirm"] for message in found if "confirm" in message}) == 1
    assert found[-1]["more_content"] is True  # its client must notice that this is not all
    assert urls.closed == ["stream"]


def test_a_small_response_is_not_to_be_confirmed(wrapper):
    assert all("confirm" not in message for message in responses(wrapper, "/stream/", confirms=True))


def test_who_does_not_confirm_is_not_waited_for(wrapper):
    assert all("confirm" not in message for message in responses(wrapper, "/file/"))


def test_a_slow_stream_asks_now_and_then_whether_anybody_is_there(wrapper, monkeypatch):
    monkeypatch.setattr(sending, "_SECONDS", 0)
    wrapper.layer.new_channel = lambda _: f"{TAKEN}one"
    wrapper.layer.send(f"{TAKEN}one", {"closed": True})
    ViewConsumer()(a_request(wrapper, "/stream/", confirms=True))
    assert contents(received(wrapper.layer, "gw!")) == [b""]
    assert urls.closed == ["stream"]

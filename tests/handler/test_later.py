"""Responses that somebody else sends later, and long polling."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import Group as Team
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.db import connection
from django.http import JsonResponse

from chancelery import Group, route
from chancelery.exceptions import ResponseLater
from chancelery.handler import AsgiHandler, AsgiRequest
from chancelery.layers.memory import InMemoryChannelLayer
from tests.handler import middleware, urls
from tests.handler.messages import HOST, responses
from tests.routed import received
from tests.worker.conftest import answers, start  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/later/", "/later-async/"])
def test_a_view_that_raises_response_later_sends_nothing(wrapper, caplog, path):
    assert responses(wrapper, path) == []
    assert caplog.text == ""


def test_the_request_has_the_exception_at_hand():
    assert AsgiRequest.ResponseLater is ResponseLater


def test_it_goes_through_the_middleware_and_the_signals(wrapper, settings):
    settings.MIDDLEWARE = ["tests.handler.middleware.marks", "django.contrib.sessions.middleware.SessionMiddleware"]
    middleware.marked.clear()
    seen = []

    def note(signal, **_):
        seen.append(signal)

    request_started.connect(note)
    request_finished.connect(note)
    try:
        assert responses(wrapper, "/later/") == []
    finally:
        request_started.disconnect(note)
        request_finished.disconnect(note)
    assert seen == [request_started, request_finished]
    assert middleware.marked == [202]


def test_the_files_of_its_request_are_closed(wrapper, settings):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 10
    body = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a.txt"\r\n\r\n' + b"x" * 100 + b"\r\n--b--\r\n"
    headers = [HOST, [b"content-type", b"multipart/form-data; boundary=b"], [b"content-length", b"%d" % len(body)]]
    assert responses(wrapper, "/later-with-a-file/", method="POST", headers=headers, body=body) == []
    file = urls.uploaded.pop()
    assert file.closed
    assert not Path(file.temporary_file_path()).exists()


def test_what_it_did_to_the_database_is_committed(wrapper):
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert responses(wrapper, "/later/") == []
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert Team.objects.filter(name="later").exists()


def test_no_cache_keeps_it(wrapper, settings):
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    cache.clear()
    for _ in range(2):
        assert responses(wrapper, "/later/") == []
    assert urls.closed == ["nothing yet"] * 2


def test_somebody_answers_later_with_a_response_of_djangos(wrapper):
    assert responses(wrapper, "/later/") == []
    for content in AsgiHandler.encode_response(JsonResponse({"ready": True})):
        wrapper.layer.send("gw!one", content)
    [response] = received(wrapper.layer, "gw!")
    assert (response["status"], response["content"]) == (200, b'{"ready": true}')


def test_a_route_of_its_own_lets_requests_wait_in_a_group(start):  # noqa: F811 - the fixture
    def poll(message, topic):
        Group(f"polls-{topic}").add(message.reply_channel)
        message.channel_layer.send("said", {"waiting": topic})

    layer = InMemoryChannelLayer()
    start(layer, [route("http.request", poll, path=r"^/poll/(?P<topic>\w+)/$")])
    for number in (1, 2):
        content = {"path": "/poll/news/", "method": "GET", "headers": [HOST], "reply_channel": f"gw!{number}"}
        layer.send("http.request", content)
        answers(layer, 1, "said")
    Group("polls-news").send({"status": 200, "content": b"it rains"})
    assert [answer["content"] for answer in answers(layer, 2, "gw!")] == [b"it rains", b"it rains"]

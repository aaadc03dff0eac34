"""A drag on a slider: frames over Redis, a real worker, a database, and what the others see."""

from __future__ import annotations

import json
import time

import pytest
from django.db.backends.signals import connection_created

from chancelery import WebsocketDemultiplexer, route_class
from chancelery.layers.redis import RedisChannelLayer
from tests.binding import COMMITS
from tests.binding.models import Story
from tests.routed import routed
from tests.worker.conftest import Running, say

pytestmark = COMMITS
FRAMES = 100


@pytest.fixture
def wrapper(redis_url):
    layer = RedisChannelLayer(hosts=[redis_url], prefix="binding:")
    with routed(layer=layer) as wrapper:
        yield wrapper
        layer.flush()
        layer.close()


@pytest.fixture
def connections_closed():
    """Django never closes connections to a database in memory: not those of threads that have ended, either."""
    made = []

    def note(connection, **_):
        made.append(connection.connection)

    connection_created.connect(note)
    yield
    connection_created.disconnect(note)
    for connection in made:
        connection.close()


@pytest.mark.usefixtures("connections_closed")
def test_a_drag_is_stored_and_shown_a_few_times_and_ends_where_it_ended(bind, wrapper):
    binding = bind(fields=["words"], coalesce=0.05)
    wrapper.routing = [
        route_class(type("Streams", (WebsocketDemultiplexer,), {"consumers": {"stories": binding.consumer}}))
    ]
    story = Story.objects.create(title="One")
    wrapper.layer.group_add("all", "gw!other")
    worker = Running(wrapper, {"threads": 2})
    try:
        for words in range(1, FRAMES + 1):
            payload = {"action": "update", "pk": story.pk, "data": {"words": words}}
            say(wrapper.layer, json.dumps({"stream": "stories", "payload": payload}), "client!one")
        shown = seen_until(wrapper.layer, FRAMES)
    finally:
        assert worker.stop()
    assert shown == sorted(shown)
    assert len(shown) < FRAMES
    story.refresh_from_db()
    assert story.words == FRAMES


def seen_until(layer, last):
    """Return what is seen of the slider until it is at *last*."""
    found, give_up_at = [], time.monotonic() + 30
    while not found or found[-1] != last:
        assert time.monotonic() < give_up_at, f"only seen: {found}"
        channel, content = layer.receive(["gw!"], block=True)
        if channel is not None:
            found.append(json.loads(content["text"])["payload"]["data"]["words"])
    return found

"""
The two processes of `python -m tests.benchmarks.layer`: one posts into lanes, the other fetches and finishes.

They use the layer's doors as the gateway and the worker do: bodies are packed with a trail, a batch goes out in one
`post`, and what one fetch brought is finished in the next. An order is `{"channel", "messages", "batch", "profile"}`.
"""

from __future__ import annotations

import cProfile
import io
import mmap
import pstats
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from chancelery import trail
from chancelery.layers.base import ChannelLayer, Finished, Send
from chancelery.layers.redis import RedisChannelLayer
from tests.benchmarks.children import Answer, Order, obey

LANES = 200
WINDOW = 1024
"""How many messages may be on their way at a time: enough for large batches, few enough not to measure a heap."""
PAUSE_SECONDS = 0.0002
IDLE_SECONDS = 0.5
PATIENCE_SECONDS = 20
PROFILE_LINES = 25
SURE = "sure.frames"
PLAIN = "frames"


def open_layer(url: str) -> ChannelLayer:
    """Return the layer that is measured; on SURE every message may be handled up to three times."""
    return RedisChannelLayer(
        hosts=[url], prefix="bench:", at_least_once={"sure.*": 3}, capacity=10 * WINDOW, lane_capacity=WINDOW
    )


class Gauge:
    """A number that one process writes and another reads."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)

    def read(self) -> int:
        return struct.unpack("<q", self._memory[:8])[0]

    def write(self, number: int) -> None:
        self._memory[:8] = struct.pack("<q", number)


def produce(layer: ChannelLayer, fetched: Gauge, order: Order) -> Answer:
    """Post the messages, in turns over the lanes, never more than WINDOW ahead of the consumer."""
    channel, batch, refused = order["channel"], order["batch"], 0
    lanes = [f"bench.gateway!{number:024x}" for number in range(LANES)]
    started_at, own = time.monotonic(), time.process_time()
    for first in range(0, order["messages"], batch):
        while first + batch - fetched.read() > WINDOW:
            time.sleep(PAUSE_SECONDS)
        refused += len(layer.post([message(layer, channel, lanes, first + place) for place in range(batch)]))
    if refused:
        raise RuntimeError(f"{refused} messages were refused")
    return {"started_at": started_at, "cpu": time.process_time() - own}


def message(layer: ChannelLayer, channel: str, lanes: list[str], number: int) -> Send:
    turn, place = divmod(number, LANES)
    lane = lanes[place]
    content = {
        "reply_channel": lane,
        "path": "/echo/",
        "order": turn,
        "text": "socket 017 says number 042, and no more",
    }
    return Send(channel, layer.pack(content, trail.onward(channel)), layer.lane(lane))


def consume(layer: ChannelLayer, fetched: Gauge, order: Order) -> Answer:
    """Fetch and finish all of the messages; check that each lane's come in order and none comes twice."""
    channels, batch, turns = [order["channel"]], order["batch"], dict.fromkeys(range(LANES), 0)
    lease, count, fetches, heard_at = layer.open_lease(), 0, 0, time.monotonic()
    own, done = time.process_time(), []
    while count < order["messages"]:
        if done or time.monotonic() - heard_at < PAUSE_SECONDS:
            deliveries = layer.fetch(channels, batch, lease, done).deliveries
        else:
            deliveries = layer.fetch_when_ready(channels, batch, lease, IDLE_SECONDS).deliveries
        for delivery in deliveries:
            place = int(delivery.lane[-24:], 16)
            if delivery.content["order"] != turns[place]:
                raise RuntimeError(f"lane {place}: {delivery.content['order']} came instead of {turns[place]}")
            turns[place] += 1
        done = [Finished(delivery) for delivery in deliveries]
        count += len(done)
        fetches += bool(done)
        fetched.write(count)
        heard_at = time.monotonic() if done else heard_at
        if time.monotonic() - heard_at > PATIENCE_SECONDS:
            raise RuntimeError(f"{count} of {order['messages']} messages came")
    layer.finish(done, lease)
    ended_at, spent = time.monotonic(), time.process_time() - own
    layer.close_lease(lease)
    return {"ended_at": ended_at, "cpu": spent, "fetches": fetches}


def profiled(work: Callable[[], Answer]) -> Answer:
    """Do *work* under cProfile, and add to its answer where the time went."""
    profile = cProfile.Profile(time.process_time)
    answer = profile.runcall(work)
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(PROFILE_LINES)
    return answer | {"profile": text.getvalue()}


def main() -> None:
    side, url, gauge = sys.argv[1:]
    layer, fetched = open_layer(url), Gauge(Path(gauge))
    work = {"producer": produce, "consumer": consume}[side]

    def handle(order: Order) -> Answer:
        if order.get("profile"):
            return profiled(lambda: work(layer, fetched, order))
        return work(layer, fetched, order)

    obey(handle)
    layer.close()


if __name__ == "__main__":
    main()

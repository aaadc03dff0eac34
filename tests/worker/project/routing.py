"""Consumers that say what they do on the channel `said`, and wait for a word on `go?on`."""

import asyncio
import os
import signal
import time

from chancelery import Channel, route
from chancelery.exceptions import ConsumeLater


def work(message):
    """Count a message."""
    Channel("said").send({"did": message["n"]})


def hold(message):
    """Say at once that it began; end when told to."""
    Channel("said").send({"began": message["n"]}, immediately=True)
    while message.channel_layer.receive(["go?on"], block=True)[0] is None:
        pass
    Channel("said").send({"did": message["n"]})


def paced(message):
    """Take so long that a few are fetched and few of them begun at a time; do to this process what it says."""
    if "signal" in message:
        Channel("said").send({"began": message["signal"], "attempt": message.attempt}, immediately=True)
        os.kill(os.getpid(), signal.Signals[message["signal"]])
    time.sleep(0.0012)
    Channel("said").send({"did": message["n"]})


def later(message):
    """Say at once that it was tried, and ask for more."""
    Channel("said").send({"tried": message["n"], "doomed": message.__doomed__}, immediately=True)
    raise ConsumeLater(delay=0)


async def wait(message):
    """Say at once that it began, and never end; occupy a thread with that, too."""
    Channel("said").send({"began": message["n"]}, immediately=True)
    await asyncio.to_thread(time.sleep, 600)


channel_routing = [
    route("work", work),
    route("hold", hold),
    route(["paced", "again"], paced),
    route("later", later),
    route("wait", wait),
]

"""Consumers that say what they do on the channel `said`, and wait for a word on `go?on`."""

from chancelery import Channel, route


def work(message):
    """Count a message."""
    Channel("said").send({"did": message["n"]})


def hold(message):
    """Say at once that it began; end when told to."""
    Channel("said").send({"began": message["n"]}, immediately=True)
    while message.channel_layer.receive(["go?on"], block=True)[0] is None:
        pass
    Channel("said").send({"did": message["n"]})


channel_routing = [route("work", work), route("hold", hold)]

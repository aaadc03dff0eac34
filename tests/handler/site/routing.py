"""Long polling beside the views."""

from chancelery import Channel, Group, route


def wait_for_news(message):
    """Let the client wait until there are news."""
    Group("polls").add(message.reply_channel)
    Channel("said").send({"polls": message.reply_channel.name})


def leave(message):
    """Say who has left."""
    Channel("said").send({"left": message["path"]})


channel_routing = [
    route("http.request", wait_for_news, path=r"^/poll/$"),
    route("http.disconnect", leave),
]

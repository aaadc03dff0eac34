"""BENCHMARK_STYLE says who answers: `sync` or `async` consumers in the server, or a `worker` behind the layer."""

import os

import django

django.setup()

from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from channels4_app import forwarding, inprocess  # noqa: E402

STYLES = {
    "sync": (inprocess.Echo, inprocess.Member, inprocess.Sender),
    "async": (inprocess.AsyncEcho, inprocess.AsyncMember, inprocess.AsyncSender),
    "worker": (forwarding.Echo, forwarding.Member, forwarding.Sender),
}
echo, member, sender = STYLES[os.environ["BENCHMARK_STYLE"]]

application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                path("echo/", echo.as_asgi()),
                path("member/", member.as_asgi()),
                path("send/", sender.as_asgi()),
                path("task/", inprocess.Task.as_asgi()),
                path("chord/", inprocess.Chord.as_asgi()),
            ],
        ),
        "channel": ChannelNameRouter({"frames": forwarding.Frames.as_asgi()}),
    },
)

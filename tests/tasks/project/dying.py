"""Escalates, and is killed as the job is recorded: `python -m tests.tasks.project.dying SOCKET HOW`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django


def escalate_and_die(socket: str, how: str) -> None:
    """Escalate a message of a socket; never return."""
    from celery import chord, current_app  # noqa: PLC0415 - Django is set up first

    from chancelery import channel_layers  # noqa: PLC0415
    from chancelery.message import Message  # noqa: PLC0415
    from chancelery.tasks import escalate  # noqa: PLC0415
    from chancelery.tasks.record import Records  # noqa: PLC0415
    from tests.tasks.project.tasks import add, number, total  # noqa: PLC0415

    record = Records.record

    def record_and_die(self: Records, *args: Any, **kwargs: Any) -> str:
        record(self, *args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    Records.record = record_and_die  # type: ignore[method-assign]
    content = {"reply_channel": socket, "path": "/", "text": "hello"}
    message = Message(content, "websocket.receive", channel_layers["default"])
    canvas, options = {
        "chain": (number.s(1) | add.s(1), {}),
        "chord": (chord([number.s(1), number.s(1)], total.s()), {"limit": ("dying", 1)}),
        "another broker": (number.s(2), {}),
    }[how]
    if how == "another broker":
        current_app.conf.broker_write_url = os.environ["TESTS_REDIS_URL"].removesuffix("/0") + "/1"
    escalate(message, canvas, **options)  # type: ignore[arg-type]


if __name__ == "__main__":
    django.setup()
    escalate_and_die(*sys.argv[1:])

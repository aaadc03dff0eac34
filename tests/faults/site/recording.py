"""
The layer that the site uses: the Redis layer, and a record of every message that it took, handed out or gave up.

Before each call it writes what it is about to do, afterwards what came of it: between the two a process may die.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from chancelery.exceptions import LayerUnavailable
from chancelery.layers import codec
from chancelery.layers.base import Delivery, Fetched, Finished, Reaped, ReapedProcess, Refusal, Send
from chancelery.layers.mailbox import Collected
from chancelery.layers.redis import RedisChannelLayer
from tests.faults.recorder import Recorder

record = Recorder(settings.FAULTS["folder"], settings.FAULTS["role"])
record.watch_stalls()
_calls = itertools.count(1)


def name_of(channel: str, content: dict[str, Any]) -> str:
    """Return what a message is called in the history, the same wherever it is seen."""
    if "id" in content:
        return content["id"]
    kind = channel.partition(".")[2]
    if kind == "disconnect":  # its order is unknown when it comes from a will
        return f"disconnect:{content['reply_channel']}"
    if channel.startswith("websocket."):
        return f"{kind}:{content['reply_channel']}:{content['order']}"
    return json.loads(content["text"])["id"] if "text" in content else "accept"


def _told(send: Send) -> list[str | bool]:
    """Return where it goes, what it is called, its lane, and whether it goes to a group."""
    content = codec.unpack(codec.pack(0, "any", "", send.body)).content
    return [send.address, name_of(send.address, content), send.lane, send.to_group]


class RecordingLayer(RedisChannelLayer):
    """Records what its callers ask for, and what they are answered."""

    def post(self, sends: Sequence[Send]) -> list[Refusal]:
        call = self._begin_posting(sends)
        try:
            refused = super().post(sends)
        except LayerUnavailable:
            record("unknown", call=call)
            raise
        return self._posted(call, sends, refused)

    async def apost(self, sends: Sequence[Send]) -> list[Refusal]:
        call = self._begin_posting(sends)
        try:
            refused = await super().apost(sends)
        except LayerUnavailable:
            record("unknown", call=call)
            raise
        return self._posted(call, sends, refused)

    def fetch(
        self, channels: Sequence[str], limit: int, lease: str, finished: Sequence[Finished] = (), **marks: int
    ) -> Fetched:
        call = next(_calls)
        if finished or marks.get("begun"):
            told = [
                [name_of(item.delivery.channel, item.delivery.content), [_told(send) for send in item.sends]]
                for item in finished
            ]
            record("tell", call=call, lease=lease, finished=told, begun=marks.get("begun", 0))
        fetched = super().fetch(channels, limit, lease, finished, **marks)
        sends = [send for item in finished for send in item.sends]
        if finished or marks.get("begun") or fetched.deliveries:
            self._fetched(call, lease, fetched, sends, marks)
        return fetched

    def fetch_when_ready(
        self, channels: Sequence[str], limit: int, lease: str, timeout: float, **marks: int
    ) -> Fetched:
        fetched = super().fetch_when_ready(channels, limit, lease, timeout, **marks)
        if fetched.deliveries:
            self._fetched(next(_calls), lease, fetched, [], marks)
        return fetched

    def recover(self, lease: str, known: Sequence[Delivery]) -> None:
        record("recover", lease=lease, known=[delivery.id for delivery in known])
        super().recover(lease, known)

    def close_lease(self, lease: str, unstarted: Sequence[Delivery] = ()) -> None:
        record("close", lease=lease, unstarted=[delivery.id for delivery in unstarted])
        super().close_lease(lease, unstarted)

    def reap(self) -> list[Reaped]:
        reaped = super().reap()
        if reaped:
            record("reaped", messages=[[item.channel, str(getattr(item, "fate", ""))] for item in reaped])
        return reaped

    def reap_process(self) -> ReapedProcess | None:
        reaped = super().reap_process()
        if reaped:
            record("process_reaped", process=reaped.process, wills=reaped.wills)
        return reaped

    async def acollect(self, process: str, position: int, limit: int, timeout: float) -> Collected:  # noqa: ASYNC109
        collected = await super().acollect(process, position, limit, timeout)
        if collected.lost or collected.reaped:
            record("news", process=process, lost=collected.lost, reaped=collected.reaped)
        return collected

    def _begin_posting(self, sends: Sequence[Send]) -> int:
        call = next(_calls)
        record("post", call=call, sends=[_told(send) for send in sends])
        return call

    def _posted(self, call: int, sends: Sequence[Send], refused: list[Refusal]) -> list[Refusal]:
        record("posted", call=call, refused=_numbers(sends, refused))
        return refused

    def _fetched(self, call: int, lease: str, fetched: Fetched, sends: Sequence[Send], marks: dict[str, int]) -> None:
        record(
            "told",
            call=call,
            lease=lease,
            held=getattr(fetched, "held", True),
            refused=_numbers(sends, fetched.refused),
            begin=marks.get("begin", 1024),
            got=[
                [item.id, item.channel, name_of(item.channel, item.content), getattr(item, "attempt", 1)]
                for item in fetched.deliveries
            ],
        )


def _numbers(sends: Sequence[Send], refused: Sequence[Refusal]) -> list[int]:
    """Return the indexes in *sends* of what was refused."""
    unwanted = {id(refusal.send) for refusal in refused}
    return [index for index, send in enumerate(sends) if id(send) in unwanted]

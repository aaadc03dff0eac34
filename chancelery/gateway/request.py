"""
One HTTP request over the layer: the request as one message, its response in one or more.

What they mean is `protocols.http`'s. What a body has beyond its first part goes its own way, see `upload`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from chancelery import conf, trail
from chancelery.exceptions import MessageTooLarge, RequestAborted
from chancelery.gateway import tally
from chancelery.gateway.backlog import Bounds
from chancelery.gateway.confirmations import Confirmations
from chancelery.gateway.outgoing import Outgoing
from chancelery.gateway.protocols import Action, BadReply, Receive, Scope
from chancelery.gateway.protocols import http as protocol
from chancelery.gateway.upload import Parts, TooLarge, Upload
from chancelery.layers.base import Send
from chancelery.types import Content

if TYPE_CHECKING:
    from chancelery.gateway.posting import Posted
    from chancelery.gateway.process import GatewayProcess
    from chancelery.gateway.replies import Letter
    from chancelery.gateway.servers import ServerDoor


class Request:
    """An HTTP request. `run` is its ASGI application; `take`, `retire` and `dismiss` are called from elsewhere."""

    __slots__ = (
        "_confirmations",
        "_heard_at",
        "_leaving",
        "_outgoing",
        "_over",
        "_posted",
        "_process",
        "_started",
        "_upload",
        "asked_at",
        "path",
        "reply_channel",
    )

    def __init__(self, process: GatewayProcess, scope: Scope, door: ServerDoor) -> None:
        self.reply_channel = process.new_reply_channel()
        self.path: str = scope["path"]
        self.asked_at = 0.0  # a drain gives every request all its time anyway
        self._process = process
        self._confirmations = Confirmations(process)
        bounds = Bounds(conf.current().response_buffer_bytes)
        self._outgoing = Outgoing(door, bounds, self._confirmations.note_progress)
        self._upload: Upload | None = None
        self._started = False
        self._posted: Posted | None = None
        self._over: asyncio.Future[None] = process.loop.create_future()
        self._leaving: asyncio.Future[None] | None = None
        self._heard_at = 0.0

    async def run(self, scope: Scope, receive: Receive) -> None:
        """Serve the request until its response is out or its client has left."""
        if self._process.draining:
            self._fail(503)
        else:
            await self._begin(scope, receive)
        await self._outgoing.settled()

    async def _begin(self, scope: Scope, receive: Receive) -> None:
        parts = Parts(scope, receive, self._process.layer.limits.max_message_bytes)
        try:
            first = await parts.next()
        except RequestAborted:
            return
        except TooLarge:
            self._fail(413)
            return
        if self._process.draining:  # it has begun to, and may have stopped, while the client took its time
            self._fail(503)
            return
        self._upload = Upload(self._process, parts)
        await self._ask(scope, first, self._upload, receive)

    async def _ask(self, scope: Scope, body: bytes, upload: Upload, receive: Receive) -> None:
        with trail.following((), "gateway"):
            self._process.join(self)
            self._heard_at = self._process.loop.time()  # a client may take its time for the first part
            try:
                self._post(protocol.request_message(scope, self.reply_channel, body, upload.channel))
                await self._process.outlast_cancellation(self._admitted)
                self._leaving = asyncio.ensure_future(self._client_leaves(receive, upload))
                await self._process.outlast_cancellation(self._answered)
                await self._process.outlast_cancellation(self._taken)
            finally:
                if self._leaving is not None:
                    self._leaving.cancel()
                self._confirmations.give_up()
                self._process.leave(self, None if self._over.done() else self._disconnect())
        if self._over.done() or upload.is_broken_off:
            await upload.clear_away()

    def _post(self, content: Content) -> None:
        try:
            send = Send(protocol.REQUEST, self._process.layer.pack(content, trail.onward(protocol.REQUEST)))
        except MessageTooLarge:
            self._fail(413)
        else:
            self._posted = self._process.post(send)

    async def _admitted(self) -> None:
        """Return when the layer has taken the request, or there is no room for it. May be interrupted."""
        if self._posted is not None:
            error = await self._process.insist(self._posted)
            self._posted = None
            if error is not None:
                self._process.complaints.say("refused", "answered a request for %r with 503: %s", self.path, error)
                self._fail(503)

    async def _client_leaves(self, receive: Receive, upload: Upload) -> None:
        """Return when the client has left; meanwhile, pass on what it still sends."""
        try:
            status = 0 if self._over.done() else await upload.run()
        except RequestAborted:
            if not self._over.done():
                upload.break_off()
            return
        if status:
            self._fail(status)
        while (await receive())["type"] != protocol.DISCONNECT:
            pass

    async def _answered(self) -> None:
        """Return when the response is out or the client has left. May be interrupted, and begun again."""
        while not self._is_over():
            patience = self._give_up_at() - self._process.loop.time()
            if patience <= 0:
                self._time_out()
            elif self._leaving is not None:
                await asyncio.wait({self._over, self._leaving}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)

    def _give_up_at(self) -> float:
        moved_at, patience = max(self._heard_at, self._confirmations.moved_at), conf.current().http_timeout
        if self._upload is not None:
            moved_at = max(moved_at, self._upload.moved_at)
            if self._upload.waits_for_client:  # whoever reads the body shall be the first to give up
                patience *= 2
        return moved_at + patience

    async def _taken(self) -> None:
        """Return when the client has taken all of the response, or has left. May be interrupted, and begun again."""
        if self._leaving is not None:
            settled = asyncio.ensure_future(self._outgoing.settled())
            try:
                await asyncio.wait({settled, self._leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                settled.cancel()
            if self._leaving.done():
                self._outgoing.end()

    def _is_over(self) -> bool:
        return self._over.done() or (self._leaving is not None and self._leaving.done())

    def _time_out(self) -> None:
        """Nothing at all came for a while: say so, and end a response that has begun so that its client notices."""
        if self._upload is not None and self._upload.waits_for_client:
            self._upload.break_off()
            if not self._started:
                self._fail(408)
                return
        elif self._confirmations.owed:
            self._process.complaints.say("stalled", "a client stopped reading the response for %r", self.path)
            self._process.tally.add(tally.SLOW_CLIENT)
        else:
            self._process.complaints.say(
                "timeout",
                "no response to a request for %r within %g seconds; do workers run, and is http.request routed?",
                self.path,
                conf.current().http_timeout,
            )
        self.dismiss()

    def _disconnect(self) -> Send:
        content = protocol.disconnect_message(self.reply_channel, self.path)
        return Send(protocol.DISCONNECT, self._process.layer.pack(content, trail.onward(protocol.DISCONNECT)))

    # Called by the reader of replies and when the process drains

    def take(self, letter: Letter) -> bool:
        """Send on what *letter* has of the response. Returns False when it is too late for it."""
        response = letter.read(protocol.read_response)
        if response is None:
            return True
        if self._over.done():
            return False
        try:
            actions = protocol.answer(response, started=self._started)
        except BadReply as error:
            letter.complain(error)
            if response.status is not None and response.more:  # what follows would get in between the first one
                self.dismiss()
        else:
            self._send(actions, last=not response.more)
            if response.confirm:
                self._confirmations.owe(response.confirm, self._outgoing.behind)
        return True

    def retire(self) -> None:
        """See `Guest`. A request is not cut short: it has until the end of the drain."""

    will: Final = None
    """See `Guest`. Nobody waits to hear that a request has ended."""

    def bury(self) -> None:
        """See `Guest`. Its answer may have been dropped with the process's mail."""
        self.dismiss()

    def dismiss(self) -> None:
        """See `Guest`."""
        if not self._started:
            self._fail(503)
            return
        self._confirmations.give_up()
        self._outgoing.abort()
        if not self._over.done():
            self._over.set_result(None)

    def _fail(self, status: int) -> None:
        if not self._started:
            self._send(protocol.error(status), last=True)

    def _send(self, actions: tuple[Action, ...], *, last: bool) -> None:
        self._started = True
        self._heard_at = self._process.loop.time()
        if None in [self._outgoing.send(action) for action in actions]:
            self._cut_off()
        elif last:
            self._confirmations.forget()
            self._over.set_result(None)

    def _cut_off(self) -> None:
        """The client reads so slowly that too much of the response waits for it: it gets no more."""
        self._process.complaints.say(
            "cut off",
            "cut off the response to a request for %r: more than %d bytes (RESPONSE_BUFFER_BYTES) wait for its client",
            self.path,
            conf.current().response_buffer_bytes,
        )
        self._process.tally.add(tally.SLOW_CLIENT)
        self.dismiss()

"""
One websocket: its frames into the layer, one after the other, and replies out to it.

What events and replies mean is `protocols.websocket`'s; how the server is spoken to, its door's. The connection's task
only reads; what goes out is sent by whoever hands over a letter.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from chancelery import conf, trail
from chancelery.exceptions import ChanceleryError, ChannelFull, MessageTooLarge
from chancelery.gateway import origin
from chancelery.gateway.outgoing import Outgoing
from chancelery.gateway.posting import Posted
from chancelery.gateway.protocols import Action, BadReply, Receive, Scope
from chancelery.gateway.protocols import websocket as protocol
from chancelery.gateway.protocols.websocket import Accept, Close, Deny, Reply, State
from chancelery.gateway.steadiness import absorb_cancellation
from chancelery.layers.base import Send, Will
from chancelery.types import Content

if TYPE_CHECKING:
    from chancelery.gateway.process import GatewayProcess
    from chancelery.gateway.replies import Letter
    from chancelery.gateway.servers import ServerDoor

_ABORT_SECONDS: Final = 2.0


class Waiting:
    """What a socket is told before its connect consumer has accepted it, and what only matters until then."""

    __slots__ = ("letters", "offered", "size", "timeout")

    def __init__(self, offered: tuple[str, ...]) -> None:
        self.letters: list[tuple[Letter, Reply]] = []
        self.size = 0
        self.offered = offered
        self.timeout: asyncio.TimerHandle | None = None


class Connection:
    """A websocket. `run` is its ASGI application; `take`, `retire` and `dismiss` are called from elsewhere."""

    __slots__ = (
        "_announced",
        "_connecting",
        "_door",
        "_lane",
        "_order",
        "_outgoing",
        "_over",
        "_posted",
        "_process",
        "_state",
        "_task",
        "asked_at",
        "path",
        "reply_channel",
    )

    def __init__(self, process: GatewayProcess, scope: Scope, door: ServerDoor) -> None:
        self.reply_channel = process.new_reply_channel()
        self.path: str = scope["path"]
        self.asked_at = 0.0
        """See `Guest`."""
        self._process = process
        self._door = door
        self._outgoing = Outgoing(door, conf.current().outgoing_buffer_bytes)
        self._lane = process.layer.lane(self.reply_channel)
        self._connecting: Waiting | None = Waiting(tuple(scope.get("subprotocols") or ()))
        self._state = State.CONNECTING
        self._order = 0
        self._announced = False  # whether a consumer may have heard of it
        self._over = False
        self._posted: Posted | None = None
        self._task: asyncio.Task[object] | None = None

    # The connection's own task

    async def run(self, scope: Scope, receive: Receive) -> None:
        """Serve the socket until it is closed."""
        event = await receive()
        if event["type"] != protocol.CONNECT:
            return
        status = self._reason_to_deny(scope)
        if status:
            self._act(Deny(status))
            await self._outgoing.settled()
            return
        self._task = asyncio.current_task()
        with trail.following((), "gateway"):
            code = protocol.ABNORMAL
            self._process.join(self)
            try:
                self._announce(scope)
                code = await self._outlast_cancellation(receive)
            finally:
                self._leave(code)
        await self._outgoing.settled()

    def _reason_to_deny(self, scope: Scope) -> int:
        """Return the status to turn the client away with, or 0."""
        if self._process.draining:
            return 503
        found = origin.origin_of(scope.get("headers", ()))
        if origin.is_allowed(found):
            return 0
        self._complain(
            "origin",
            "turned away: its Origin %r is neither in ALLOWED_HOSTS nor in CSRF_TRUSTED_ORIGINS",
            found,
        )
        return 403

    def _announce(self, scope: Scope) -> None:
        scheme = scope.get("scheme") or self._door.scheme or "ws"
        self._post(protocol.CONNECT, protocol.connect_message(scope, self.reply_channel, scheme), self._last_will())
        self._announced = self._posted is not None
        if self._connecting is not None:
            patience = conf.current().connect_timeout
            if self._door.patience is not None:
                patience = min(patience, self._door.patience)
            loop = asyncio.get_running_loop()
            self._connecting.timeout = loop.call_later(patience, self._give_up_connecting, patience)

    async def _outlast_cancellation(self, receive: Receive) -> int:
        """Read to the end. daphne cancels applications when it is told to stop, before the gateway has drained."""
        while True:
            try:
                return await self._read(receive)
            except asyncio.CancelledError:
                if not self._over and not self._process.draining:
                    raise
                absorb_cancellation()
                if self._over:
                    return protocol.ABNORMAL

    async def _read(self, receive: Receive) -> int:
        """Post what comes, each after the one before it was taken. Returns the code that the socket was closed with."""
        while True:
            if self._posted is not None:
                await self._settle(self._posted)
            if self._over:
                return protocol.ABNORMAL
            event = await receive()
            if event["type"] == protocol.DISCONNECT:
                return event.get("code") or protocol.NO_STATUS
            if self._state is State.OPEN:
                self._order += 1
                self._post(
                    protocol.RECEIVE,
                    protocol.receive_message(event, self.reply_channel, self.path, self._order),
                )
            self._door.regulate()

    def _post(self, channel: str, content: Content, will: Will | None = None) -> None:
        try:
            send = Send(channel, self._process.layer.pack(content, trail.onward(channel)), self._lane, will=will)
        except MessageTooLarge as error:
            self._refuse(error)
            return
        self.asked_at = self._process.loop.time()
        self._posted = self._process.post(send)

    async def _settle(self, posted: Posted) -> None:
        outcome = await posted
        if isinstance(outcome, ChannelFull):
            self._door.hold(True)  # noqa: FBT003 - a switch
            try:
                outcome = await self._process.insist(posted)
            finally:
                self._door.hold(False)  # noqa: FBT003 - a switch
        self._posted = None
        if outcome is not None:
            self._announced = self._announced and not (self._order == 0 and isinstance(outcome, ChannelFull))
            self._refuse(outcome)

    def _refuse(self, error: ChanceleryError) -> None:
        """What the client sent cannot be taken: end the socket in a way that tells the client so."""
        self._complain("refused", "ended: %s", error)
        if self._state is State.CONNECTING:
            self._close_with(Deny(503))
        else:
            self._close_with(Close(protocol.TOO_BIG if isinstance(error, MessageTooLarge) else protocol.TRY_AGAIN))

    def _complain(self, key: str, complaint: str, *args: object) -> None:
        self._process.complaints.say(key, f"websocket on %r {complaint}", self.path, *args)

    def _last_will(self) -> Will:
        """Return the disconnect message that is sent in this socket's name if its process dies."""
        content = protocol.disconnect_message(self.reply_channel, self.path, None, protocol.ABNORMAL)
        return Will(protocol.DISCONNECT, self._process.layer.pack(content, trail.onward(protocol.DISCONNECT)))

    def _leave(self, code: int) -> None:
        self._over = True
        self._state = State.CLOSED
        self._stop_connecting()
        message = None
        if self._announced:
            content = protocol.disconnect_message(self.reply_channel, self.path, self._order + 1, code)
            body = self._process.layer.pack(content, trail.onward(protocol.DISCONNECT))
            message = Send(protocol.DISCONNECT, body, self._lane, leaves=True)
        self._process.leave(self, message)

    # Called by the reader of replies, by timers and when the process drains

    def take(self, letter: Letter) -> None:
        """Do what *letter* says, or keep it until the socket is accepted."""
        reply = letter.read(protocol.read_reply)
        if reply is None:
            return
        if not letter.from_group:
            self.asked_at = 0.0
        if self._state is State.OPEN and reply.frame is not None and reply.close is None:
            self._act(reply.frame)
        elif self._connecting is not None and protocol.waits_for_acceptance(reply, from_group=letter.from_group):
            self._keep(self._connecting, letter, reply)
        else:
            self._answer(letter, reply)

    def retire(self) -> None:
        """Close the socket because this process ends."""
        self._close_with(Deny(503) if self._state is State.CONNECTING else Close(protocol.RESTART))

    @property
    def will(self) -> Will | None:
        """See `Guest`."""
        return self._last_will() if self._announced and not self._over else None

    def bury(self) -> None:
        """See `Guest`."""
        self._announced = False
        self.retire()

    def dismiss(self) -> None:
        """End the connection without waiting for its client."""
        self._outgoing.abort()
        self._finish()

    def _answer(self, letter: Letter, reply: Reply) -> None:
        offered = self._connecting.offered if self._connecting is not None else ()
        try:
            state, actions = protocol.answer(self._state, reply, offered)
        except BadReply as error:
            letter.complain(error)
            return
        for action in actions:
            if isinstance(action, Close | Deny):
                self._close_with(action)
            elif isinstance(action, Accept):
                self._state = State.OPEN
                self._act(action)
            else:
                self._act(action)
        if state is not State.CONNECTING and self._connecting is not None:
            for waiting_letter, waiting_reply in self._stop_connecting():
                self._answer(waiting_letter, waiting_reply)

    def _act(self, action: Action) -> None:
        if not self._outgoing.send(action) and self._state is State.OPEN:
            self._complain("slow", "closed: its client does not read what is sent to it")
            self._outgoing.drop()
            self._close_with(Close(protocol.TRY_AGAIN))

    def _close_with(self, action: Close | Deny) -> None:
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        self._outgoing.send(action)
        if isinstance(action, Deny):
            self._finish()
        else:
            asyncio.get_running_loop().call_later(_ABORT_SECONDS, self._abort_if_stuck)

    def _abort_if_stuck(self) -> None:
        if not self._over:
            self.dismiss()

    def _finish(self) -> None:
        """Let `run` come to its end, though the server may have no event to tell it so."""
        self._over = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _keep(self, waiting: Waiting, letter: Letter, reply: Reply) -> None:
        waiting.letters.append((letter, reply))
        waiting.size += reply.frame.size if reply.frame is not None else 0
        if waiting.size > conf.current().outgoing_buffer_bytes:
            self._complain("waiting", "turned away: too much was sent to it while it connected")
            self._close_with(Deny(503))

    def _stop_connecting(self) -> list[tuple[Letter, Reply]]:
        waiting, self._connecting = self._connecting, None
        if waiting is None:
            return []
        if waiting.timeout is not None:
            waiting.timeout.cancel()
        return waiting.letters

    def _give_up_connecting(self, seconds: float) -> None:
        if self._state is State.CONNECTING:
            self._complain(
                "timeout",
                "turned away: no consumer answered within %g seconds; do workers run, and is websocket.connect routed?",
                seconds,
            )
            self._close_with(Deny(403))

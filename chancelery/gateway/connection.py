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
from chancelery.gateway import tally
from chancelery.gateway.backlog import Bounds
from chancelery.gateway.connecting import Connecting, reason_to_deny
from chancelery.gateway.incoming import Incoming
from chancelery.gateway.outgoing import Outgoing
from chancelery.gateway.protocols import Action, BadReply, Event, Receive, Scope
from chancelery.gateway.protocols import websocket as protocol
from chancelery.gateway.protocols.websocket import Accept, Close, Deny, Reply, State
from chancelery.gateway.supervised import absorb_cancellation
from chancelery.layers.base import Send, Will
from chancelery.types import Content

if TYPE_CHECKING:
    from chancelery.gateway.process import GatewayProcess
    from chancelery.gateway.replies import Letter
    from chancelery.gateway.servers import ServerDoor

_ABORT_SECONDS: Final = 2.0


class Connection:
    """A websocket. `run` is its ASGI application; `take`, `retire` and `dismiss` are called from elsewhere."""

    __slots__ = (
        "_announced",
        "_buried",
        "_connecting",
        "_door",
        "_incoming",
        "_order",
        "_outgoing",
        "_over",
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
        self._incoming = Incoming(process, door, self.reply_channel)
        limits = conf.current()
        self._outgoing = Outgoing(door, Bounds(limits.outgoing_buffer_bytes, limits.outgoing_policy))
        self._connecting: Connecting | None = Connecting(scope)
        self._state = State.CONNECTING
        self._order = 0
        self._announced = False  # whether a consumer may have heard of it
        self._over = False
        self._buried = False  # whether its will was probably carried out
        self._task: asyncio.Task[object] | None = None

    # The connection's own task

    async def run(self, scope: Scope, receive: Receive) -> None:
        """Serve the socket until it is closed."""
        event = await receive()
        if event["type"] != protocol.CONNECT:
            return
        status = reason_to_deny(self._process, scope)
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

    def _announce(self, scope: Scope) -> None:
        scheme = scope.get("scheme") or self._door.scheme or "ws"
        content = protocol.connect_message(scope, self.reply_channel, scheme)
        self._announced = self._post(protocol.CONNECT, content, self._last_will())
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
            error = await self._incoming.settled()
            if error is not None:
                self._announced = self._announced and not (self._order == 0 and isinstance(error, ChannelFull))
                self._refuse(error)
            if self._over:
                return protocol.ABNORMAL
            event = await receive()
            if event["type"] == protocol.DISCONNECT:
                self._process.tally.add(tally.UNDELIVERABLE, self._outgoing.end())
                return event.get("code") or protocol.NO_STATUS
            if self._state is State.OPEN:
                await self._take_frame(event)
            self._door.regulate()

    async def _take_frame(self, event: Event) -> None:
        self._order += 1
        content = protocol.receive_message(event, self.reply_channel, self.path, self._order)
        self._post(protocol.RECEIVE, content)
        goes_on = await self._incoming.pace(event.get("text") or event.get("bytes") or b"")
        if not goes_on and self._state is State.OPEN:
            seconds = conf.current().incoming_patience
            self._complain("flood", "closed: it went on sending more than it may for %s seconds", seconds)
            self._close_with(Close(protocol.POLICY))

    def _post(self, channel: str, content: Content, will: Will | None = None) -> bool:
        try:
            self._incoming.post(channel, content, will)
        except MessageTooLarge as error:
            self._refuse(error)
            return False
        self.asked_at = self._process.loop.time()
        return True

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
            message = Send(protocol.DISCONNECT, body, self._incoming.lane, leaves=True, again=self._buried)
        self._process.leave(self, message)

    # Called by the reader of replies, by timers and when the process drains

    def take(self, letter: Letter) -> bool:
        """Do what *letter* says, or keep it until the socket is accepted. Returns False when it is too late for it."""
        reply = letter.read(protocol.read_reply)
        if reply is None:
            return True
        if not letter.from_group:
            self.asked_at = 0.0
        if self._state is State.OPEN and reply.frame is not None and reply.close is None:
            self._act(reply.frame)
        elif self._state is State.CLOSED:
            return False
        elif self._connecting is not None and protocol.waits_for_acceptance(reply, from_group=letter.from_group):
            self._keep(self._connecting, letter, reply)
        else:
            self._answer(letter, reply)
        return True

    def retire(self) -> None:
        """Close the socket because this process ends."""
        self._close_with(Deny(503) if self._state is State.CONNECTING else Close(protocol.RESTART))

    @property
    def will(self) -> Will | None:
        """See `Guest`."""
        return self._last_will() if self._announced and not self._over and not self._buried else None

    def bury(self) -> None:
        """See `Guest`."""
        self._buried = True
        self.retire()

    def dismiss(self) -> None:
        """End the connection without waiting for its client."""
        self._outgoing.abort()
        self._finish()

    def _answer(self, letter: Letter, reply: Reply) -> None:
        try:
            state, actions = self._what_to_do(reply)
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

    def _what_to_do(self, reply: Reply) -> tuple[State, tuple[Action, ...]]:
        if self._connecting is None:
            return protocol.answer(self._state, reply)
        return protocol.answer(self._state, reply, self._connecting.offered, self._connecting.subprotocol)

    def _act(self, action: Action) -> None:
        given_up = self._outgoing.send(action)
        if given_up == 0:
            return
        if given_up is not None:
            self._complain("lagging", "lost frames: its client does not read what is sent to it")
        elif self._state is State.OPEN:
            self._complain("slow", "closed: its client does not read what is sent to it")
            given_up = self._outgoing.drop()
            self._close_with(Close(protocol.TRY_AGAIN))
        self._process.tally.add(tally.SLOW_CLIENT, given_up or 0)

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

    def _keep(self, connecting: Connecting, letter: Letter, reply: Reply) -> None:
        if not connecting.keep(letter, reply):
            self._complain("waiting", "turned away: too much was sent to it while it connected")
            self._close_with(Deny(503))

    def _stop_connecting(self) -> list[tuple[Letter, Reply]]:
        connecting, self._connecting = self._connecting, None
        return [] if connecting is None else connecting.end()

    def _give_up_connecting(self, seconds: float) -> None:
        if self._state is State.CONNECTING:
            self._complain(
                "timeout",
                "turned away: no consumer answered within %g seconds; do workers run, and is websocket.connect routed?",
                seconds,
            )
            self._close_with(Deny(403))

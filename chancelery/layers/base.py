"""
What a channel layer promises, to Channels 1's callers and to the worker and gateway rooms.

`chancelery.layers.memory` and `chancelery.layers.redis` implement it; `tests/contracts` holds every implementation to
it and can be imported by others. Semantics are those of the ASGI 1 draft's channel layer; what is added:

*   **Lanes.** A message may be sent in a lane (a process-local reply channel's name). Of one lane, one message is out
    at a time: the next becomes available when the one before it is finished, however many workers there are.
*   **Leases.** `fetch` moves messages into a lease; `finish` takes them out. When a lease runs out, `reap` ends it:
    what its worker had not begun goes back to the front of its channel, in order; what it had begun is dropped with a
    record or, on a channel of `at_least_once`, handed out again, and a dead letter after the last attempt.
*   **Time.** A message may be sent for later, or a delivery be given back to be handled again later: it waits apart,
    until `move_due` puts it onto its channel. Somebody has to call that.
*   **Mail.** Messages to process-local channels, and to groups that have some, lie in one first-in-first-out list per
    process, together with the changes of its memberships.

Bodies are packed by the sender (`codec.pack_body`), so that what was sent cannot change afterwards. Every count of
milliseconds is by the clock of the layer's server.
"""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from chancelery import names
from chancelery.layers.mailbox import Collected
from chancelery.layers.receiving import Receiver
from chancelery.layers.terms import Terms
from chancelery.layers.values import (
    MAX_FETCH,
    ChannelOverview,
    Coalesce,
    DeadLetter,
    Delivery,
    Fate,
    Fetched,
    Finished,
    Later,
    LeaseOverview,
    Limits,
    Overview,
    Reaped,
    ReapedProcess,
    Refusal,
    Send,
    Will,
)

if TYPE_CHECKING:
    from chancelery.trail import Trail
    from chancelery.types import Content

_SHORTEST_WAIT_SECONDS = 0.001

__all__ = [
    "MAX_FETCH",
    "ChannelLayer",
    "ChannelOverview",
    "Coalesce",
    "DeadLetter",
    "Delivery",
    "Fate",
    "Fetched",
    "Finished",
    "Later",
    "LeaseOverview",
    "Limits",
    "Overview",
    "Reaped",
    "ReapedProcess",
    "Refusal",
    "Send",
    "Will",
]


class ChannelLayer(Terms, ABC):
    """The contract. A method that sends raises TypeError for a bad name or content, before anything is sent."""

    extensions: ClassVar[tuple[str, ...]] = ("groups", "flush", "statistics")

    def __init__(self, **options: Any) -> None:
        """options: as `Terms`'s."""
        super().__init__(**options)
        self._receiver = Receiver(self, self._pop)

    # Channels 1's calls

    def send(self, channel: str, content: Content, *, lane: str = "", trail: Trail = ()) -> None:
        """
        Append *content* to *channel*.

        Raises: ChannelFull when the channel (or lane) holds as many messages as it may; MessageTooLarge. Nothing was
        sent then.
        """
        names.require_channel(channel)
        for refusal in self.post([Send(channel, self.pack(content, trail), lane)]):
            raise refusal.error

    def send_group(self, group: str, content: Content, *, trail: Trail = ()) -> None:
        """Append *content* to every member of *group*. A member whose channel is full is passed over, and counted."""
        names.require_group(group)
        self.post([Send(group, self.pack(content, trail), to_group=True)])

    def receive(self, channels: Sequence[str], block: bool = False) -> tuple[str, Content] | tuple[None, None]:  # noqa: FBT001, FBT002 - Channels 1's signature
        """
        Take one message off one of *channels* and return `(channel, content)`, or `(None, None)`.

        A name ending in `!` receives for the whole process and returns the full name; group messages come once per
        member. With *block*, waits up to five seconds. The message is gone when this returns: what must survive the
        death of its reader is read with `fetch`.
        """
        for channel in channels:
            names.require_receivable(channel)
        taken = self._receiver.next_of(channels)
        if taken is None and block and channels:
            self.wait(channels, timeout=5)
            taken = self._receiver.next_of(channels)
        return taken or (None, None)

    def receive_many(self, channels: Sequence[str], block: bool = False) -> tuple[str, Content] | tuple[None, None]:  # noqa: FBT001, FBT002 - Channels 1's signature
        """`receive`, under its old name."""
        warnings.warn("receive_many() is receive()'s old name: use that", DeprecationWarning, stacklevel=2)
        return self.receive(channels, block)

    def new_channel(self, pattern: str) -> str:
        """Return an unused channel name: *pattern*, which ends in `?` or `!`, and a part that cannot be guessed."""
        if not isinstance(pattern, str) or pattern[-1:] not in {"?", "!"}:
            raise TypeError(f'new_channel() takes a pattern ending in "?" or "!", not {pattern!r}')
        return names.require_channel(pattern + names.random_part())

    @abstractmethod
    def group_add(self, group: str, channel: str) -> None:
        """
        Make *channel* a member of *group*, for `group_expiry` seconds from now. At once, not held.

        Nothing happens when its process has been ended: nobody would end the membership.
        """

    @abstractmethod
    def group_discard(self, group: str, channel: str) -> None:
        """End the membership. It is no error when there is none."""

    @abstractmethod
    def group_channels(self, group: str) -> list[str]:
        """Return the members whose membership has not expired, in no order."""

    @abstractmethod
    def flush(self) -> None:
        """Remove everything that this layer holds under its prefix."""

    @abstractmethod
    def global_statistics(self) -> dict[str, int]:
        """Return `messages_count`, `channel_full_count`, and `dropped:<reason>` for each reason seen."""

    @abstractmethod
    def channel_statistics(self, channel: str) -> dict[str, int]:
        """Return `messages_count`, `channel_full_count`, `messages_pending` and `messages_max_age` (in seconds)."""

    # The doors for workers

    def lane(self, reply_channel: str) -> str:
        """Return the lane that keeps a connection's messages in order: none for a channel that is not process-local."""
        return reply_channel if "!" in reply_channel else ""

    @abstractmethod
    def post(self, sends: Sequence[Send]) -> list[Refusal]:
        """
        Send all of *sends*, in order and in one go; return those that were refused.

        Raises: LayerUnavailable, and then it is unknown which of them were sent: it is not repeated.
        """

    @abstractmethod
    def open_lease(self) -> str:
        """Return the name of a new lease, unique among all workers."""

    @abstractmethod
    def fetch(
        self,
        channels: Sequence[str],
        limit: int,
        lease: str,
        finished: Sequence[Finished] = (),
        *,
        begin: int = MAX_FETCH,
        begun: int = 0,
    ) -> Fetched:
        """
        Finish *finished* and hand out up to *limit* messages of *channels* under *lease*, in one go. Renews the lease.

        begin: how many of those handed out now count as begun at once, the first ones; the others when they are told
            of by *begun*: the id of the last delivery that counts as begun, and with it all before it. What has not
            been begun when the lease runs out is handed to others. A worker begins nothing that it has not told.

        Sends of a finished delivery are stored, and it is handled later (`Finished.later`, for which there is always
        room), only if the lease still holds it: a repeated call after a lost answer, or a worker that was thought dead,
        stores nothing twice. Raises: LayerUnavailable; call `recover`, then repeat.
        """

    def finish(self, finished: Sequence[Finished], lease: str) -> list[Refusal]:
        """Take *finished* out of *lease*, store their sends and release their lanes; see `fetch`."""
        return self.fetch((), 0, lease, finished).refused

    @abstractmethod
    def recover(self, lease: str, known: Sequence[Delivery]) -> None:
        """Give back, to the front and in order, what *lease* holds beside *known*: answers that never arrived."""

    @abstractmethod
    def renew(self, leases: Sequence[str]) -> None:
        """Keep *leases* for another `lease_seconds`, while their workers are busy with what they fetched."""

    @abstractmethod
    def close_lease(self, lease: str, unstarted: Sequence[Delivery] = ()) -> None:
        """
        End a lease. *unstarted* and what has not been begun go back to the front of their channels, in order.

        With anything else that it still holds, it is done as `reap` does.
        """

    @abstractmethod
    def reap(self) -> list[Reaped]:
        """
        End the leases that ran out; return the messages that had been begun under them, and what became of them.

        Those that had not been begun go back to the front of their channels, in order. Nobody can use the leases any
        more (`Fetched.held`).
        """

    def fetch_when_ready(
        self, channels: Sequence[str], limit: int, lease: str, timeout: float, *, begin: int = MAX_FETCH
    ) -> Fetched:
        """`wait`, then `fetch`; in one round trip where the layer has a way to."""
        self.wait(channels, timeout)
        return self.fetch(channels, limit, lease, begin=begin)

    @abstractmethod
    def reap_process(self) -> ReapedProcess | None:
        """
        End one process that left wills and has not read its mail for `lease_seconds`; None when there is none.

        Its connections' wills are sent, at most a few hundred in one call, its memberships end. A process that comes
        back learns of it (`Collected.reaped`).
        """

    @abstractmethod
    def wait(self, channels: Sequence[str], timeout: float) -> None:
        """Return when there may be something on one of *channels*, or after *timeout* seconds."""

    # The door for whoever moves what has become due: any number of processes, and each message goes out once

    def move_due(self, timeout: float) -> int:
        """
        Put all that is due onto its channels, in the order of its times, and return how many messages that were.

        When nothing is due, waits until something is, for at most *timeout* seconds: a few, since of several who wait
        one alone is woken for what is due earlier, and that one may die. A message whose channel is full is tried again
        a second later, and counted as refused once. Raises: LayerUnavailable.
        """
        end = time.monotonic() + timeout
        while True:
            moved, seconds = self._move_now()
            left = end - time.monotonic()
            if moved or left <= 0:
                return moved
            self._wait_until_due(min(left, max(seconds, _SHORTEST_WAIT_SECONDS)))

    # The doors for operators

    @abstractmethod
    def overview(self) -> Overview:
        """Return what the layer holds. Its cost grows with the number of channels, groups and processes."""

    @abstractmethod
    def purge(self, channel: str) -> int:
        """
        Drop everything that waits on *channel*, and return how many; not what is being handled. Counted as `purged`.

        What waits for its time to go there is dropped, too; what waits to go to a group is not.
        Lanes go on: what followed in them on the same channel is dropped, too, and what follows on others waits there.
        Raises: TypeError for a process-local channel.
        """

    @abstractmethod
    def dead_letters(self, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """
        Return dead letters, the oldest first, from the one behind the id *after* on, be that one there or not.

        Raises: ValueError for an *after* that is no id.
        """

    @abstractmethod
    def replay(self, ids: Sequence[str]) -> list[str]:
        """
        Send dead letters again, with all their attempts before them and a new life; return the ids of those sent.

        One whose channel has no room, or that is not there, is passed over and stays as it is.
        """

    @abstractmethod
    def bury(self, ids: Sequence[str]) -> int:
        """Remove dead letters for good; return how many there were."""

    @abstractmethod
    def tally(self, drops: Mapping[str, int]) -> None:
        """Add to the counters of `dropped:<reason>` what was dropped elsewhere: reason -> how many."""

    # The doors for gateways

    @abstractmethod
    async def atally(self, drops: Mapping[str, int]) -> None:
        """`tally`, for an event loop."""

    @abstractmethod
    async def apost(self, sends: Sequence[Send]) -> list[Refusal]:
        """`post`, for an event loop."""

    @abstractmethod
    def collect(self, process: str, position: int, limit: int) -> Collected:
        """
        Return the mail of *process* (a name ending in `!`) from *position* on, and drop what lies before it.

        A process reads its own mail only, in one place: the position that it asks for acknowledges all before it, so
        that an answer lost on the way is asked for again.
        """

    @abstractmethod
    async def acollect(self, process: str, position: int, limit: int, timeout: float) -> Collected:  # noqa: ASYNC109 - the server waits
        """`collect`, for an event loop; when there is nothing, waits for *timeout* seconds first."""

    @abstractmethod
    def groups_of(self, process: str) -> list[tuple[str, str, int]]:
        """Return `(group, channel, deadline_ms)` of every membership of the process's channels."""

    @abstractmethod
    async def agroups_of(self, process: str) -> list[tuple[str, str, int]]:
        """`groups_of`, for an event loop."""

    @abstractmethod
    async def adiscard(self, memberships: Sequence[tuple[str, str]]) -> None:
        """End each `(group, channel)` of *memberships*, for a socket that has closed."""

    @abstractmethod
    async def aleave_wills(self, wills: Sequence[tuple[str, Will]]) -> None:
        """Leave the wills of connections, each with its lane, again: the server has lost them."""

    @abstractmethod
    async def aend_process(self, process: str) -> None:
        """Forget *process*, which stops and has no connections any more; with some, it is left for `reap_process`."""

    @abstractmethod
    async def acheck(self) -> None:
        """Return when the layer's server answers and is new enough. Raises: LayerUnavailable, which says what to do."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections that the event loop used."""

    @abstractmethod
    def close(self) -> None:
        """Close this process's other connections."""

    # For implementations

    @abstractmethod
    def _pop(self, channels: Sequence[str]) -> tuple[str, Content] | None:
        """Take one message off one of *channels*, without a lease."""

    @abstractmethod
    def _move_now(self) -> tuple[int, float]:
        """Put all that is due onto its channels; return how many that were, and the seconds until more is due."""

    @abstractmethod
    def _wait_until_due(self, seconds: float) -> None:
        """Return after *seconds*, which are above 0, or when a message may be due earlier than the first was."""

"""What a layer looks at before it takes anything of a call: names, times, and what does not go together."""

from __future__ import annotations

from chancelery import names
from chancelery.layers.values import Finished, Send


def require_finished(finished: Finished) -> None:
    """Raises: TypeError for a delivery that is done with in a way that cannot be."""
    if finished.later:
        require_no_sends(finished)
    for send in finished.sends:
        require_send(send)


def require_send(send: Send) -> None:
    """Raises: TypeError for a name that cannot be, or a time."""
    if send.timed:
        require_time(send)
    if send.to_group:
        names.require_group(send.address)
        return
    for channel in (send.address, send.lane or send.address, send.will.address if send.will else send.address):
        names.require_channel(channel)


def require_time(send: Send) -> None:
    """Raises: TypeError for a send that is to go out at no time that there is, or at several."""
    _, _, _, _, will, leaves, again, by_connection, delay_ms, due_ms, coalesce = send
    if min(delay_ms, due_ms) < 0 or (coalesce and not (coalesce.key and coalesce.every_ms > 0)):
        raise TypeError(
            f"a message goes out after a delay_ms or at a due_ms of 0 or more, or by a coalesce with a key and an "
            f"every_ms above 0: not by delay_ms={delay_ms!r}, due_ms={due_ms!r}, {coalesce!r}"
        )
    if bool(delay_ms) + bool(due_ms) + bool(coalesce) > 1:
        raise TypeError(
            f"delay_ms, due_ms and coalesce each say when a message goes out: this one has delay_ms={delay_ms}, "
            f"due_ms={due_ms} and {coalesce!r}, pass one of them"
        )
    if will or leaves or again or by_connection:
        raise TypeError("what a connection sends itself, or leaves a will with, goes out at once: it has no time")


def require_no_sends(finished: Finished) -> None:
    """Raises: TypeError. It is for one that is handled later."""
    if finished.sends:
        raise TypeError(
            f"the message on {finished.delivery.channel} is handled again later, and {len(finished.sends)} messages of "
            f"its consumer are with it: discard them, it sends them again"
        )

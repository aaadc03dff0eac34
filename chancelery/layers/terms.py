"""
The terms on which a layer takes a message: how large it may be, how many may wait, how often it is begun, its seal.

They come from the settings, and are the same for every kind of layer.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from chancelery import exceptions, names
from chancelery.exceptions import ChannelFull, InvalidChannelLayerError, MessageTooLarge
from chancelery.layers import codec
from chancelery.layers.values import MOST_ATTEMPTS, CapacityPatterns, Clock, Limits, Send

if TYPE_CHECKING:
    from chancelery.layers.encryption import Cipher
    from chancelery.trail import Trail
    from chancelery.types import Content

DEFAULT_CAPACITIES: Final = {"http.request.body[?]*": 4}
"""Unless `channel_capacity` says otherwise: what waits of one upload holds up its client, each has a quarter MiB."""


class Terms:
    """What a layer is made with."""

    ChannelFull: ClassVar = ChannelFull
    MessageTooLarge: ClassVar = MessageTooLarge

    def __init__(
        self,
        *,
        channel_capacity: CapacityPatterns | None = None,
        at_least_once: CapacityPatterns | None = None,
        encryption_keys: Sequence[str | None] | None = None,
        clock: Clock | None = None,
        **limits: float,
    ) -> None:
        """
        channel_capacity: glob or compiled regex -> messages; the first that matches a channel counts.
        at_least_once: glob or compiled regex -> attempts, at most 255. A message of a channel that one matches is
            handed out again when its worker dies, until it was begun that often; then it becomes a dead letter.
        encryption_keys: the first one encrypts content and trail of each message, each of them decrypts; None among
            them stands for messages that are not encrypted.
        clock: replaces the server's clock, for tests.
        limits: the fields of `Limits`.
        """
        self.limits = Limits(**limits)  # type: ignore[arg-type]
        self.clock = clock
        self.cipher = None if encryption_keys is None else _cipher(encryption_keys)
        """What encrypts; None when nothing is encrypted."""
        patterns = [*(channel_capacity or {}).items(), *DEFAULT_CAPACITIES.items()]
        self._patterns = [(_compiled(pattern), count) for pattern, count in patterns]
        self._at_least_once = [(_compiled(pattern), _attempts(n)) for pattern, n in (at_least_once or {}).items()]
        self._capacities: dict[str, int] = {}

    def pack(self, content: Content, trail: Trail = ()) -> bytes:
        """Return the body of a message. Raises: TypeError, MessageTooLarge."""
        body = codec.pack_body(content, trail)
        if len(body) > self.limits.max_message_bytes:
            raise MessageTooLarge(
                f"a message of {len(body)} bytes: at most {self.limits.max_message_bytes} are allowed; pass large data "
                f"by reference, or raise max_message_bytes"
            )
        return body if self.cipher is None else self.cipher.seal(body)

    def unpack(self, data: bytes) -> codec.Envelope:
        """Return the message in an envelope. Raises: CorruptMessage, also when no key opens it."""
        return codec.unpack(data if self.cipher is None else self.cipher.open(data))

    def capacity_of(self, channel: str) -> int:
        """Return how many messages may wait on *channel*; a process-local one shares its process's."""
        name = names.process_of(channel) or channel
        found = self._capacities.get(name)
        if found is None:
            default = self.limits.process_capacity if name.endswith("!") else self.limits.capacity
            found = next((count for pattern, count in self._patterns if pattern.match(name)), default)
            if len(self._capacities) > 10_000:  # noqa: PLR2004 - `?` channels have names without end
                self._capacities.clear()
            self._capacities[name] = found
        return found

    def attempts_of(self, channel: str) -> int:
        """Return how often a message of *channel* may be begun, or 0 for a channel that is handled at most once."""
        if "!" in channel:
            return 0  # mail is read by its process, without a lease
        return next((attempts for pattern, attempts in self._at_least_once if pattern.match(channel)), 0)

    def full(self, send: Send) -> exceptions.ChannelFull:
        """Return the error for a send that found no room."""
        capacity = self.capacity_of(send.address)
        if send.timed:
            there = "" if send.to_group else f'channel "{send.address}" holds {capacity} messages, or '
            return ChannelFull(
                f"{there}{self.limits.delayed_capacity} messages wait for their time already, this one to "
                f'"{send.address}" did not fit: send fewer, add workers, or raise delayed_capacity or the capacity'
            )
        if send.lane:
            return ChannelFull(
                f'channel "{send.address}" holds {capacity} messages, or the connection {send.lane} '
                f"{self.limits.lane_capacity}: add workers, or raise its capacity or lane_capacity"
            )
        return ChannelFull(f'channel "{send.address}" holds {capacity} messages: add workers, or raise its capacity')


def _attempts(number: int) -> int:
    if type(number) is not int or not 1 <= number <= MOST_ATTEMPTS:
        raise InvalidChannelLayerError(
            f"at_least_once: attempts are a number from 1 to {MOST_ATTEMPTS}, not {number!r}"
        )
    return number


def _cipher(keys: Sequence[str | None]) -> Cipher:
    from chancelery.layers.encryption import Cipher  # noqa: PLC0415 - only who encrypts loads OpenSSL

    return Cipher(keys)


def _compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern)) if isinstance(pattern, str) else pattern

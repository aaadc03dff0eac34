"""
Every exception of the package.

One root, one class per thing that a caller may catch. Control flow (a consumer that wants something else to happen
with its message) is a branch of its own, `ConsumerControl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from chancelery.message import Message

NORMAL_CLOSURE: Final = 1000
OWN_CODES: Final = range(3000, 5000)
"""The close codes that applications have for themselves."""
REGISTERED_CODES: Final = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
"""The other close codes that may be sent."""


class ChanceleryError(Exception):
    """Something in Chancelery failed."""


class ChannelFull(ChanceleryError):
    """The channel holds as many messages as it may; nothing was sent."""


class MessageTooLarge(ChanceleryError):
    """The packed message is larger than `max_message_bytes`; nothing was sent."""


class LayerUnavailable(ChanceleryError):
    """The channel layer's server did not answer, and what was asked may have been done; or its memory is full."""


class EmbeddedServerError(ChanceleryError):
    """The embedded Valkey cannot be started."""


class CorruptMessage(ChanceleryError):
    """Bytes on a channel are not an envelope that this version can read."""


class UnknownVersion(CorruptMessage):
    """The envelope was written by a newer version than this one."""


class UnsupportedFeature(ChanceleryError, NotImplementedError):
    """This channel layer has no such extension."""


class UnknownJob(ChanceleryError, LookupError):
    """No job has this id: it never existed, or its record has expired."""


class EscalationFailed(ChanceleryError):
    """A job's tasks could not be handed to Celery; the job has ended with an error."""


class TaskError(ChanceleryError):
    """Raised by a task to say what went wrong: its text is meant for clients, and sent to them as it is."""


class InvalidChannelLayerError(ImproperlyConfigured, ValueError):
    """A CHANNEL_LAYERS entry cannot be used."""


class InvalidSessionEngine(ImproperlyConfigured, ValueError):
    """The session engine of the settings cannot hold the sessions of channels."""


class RequestTimeout(ChanceleryError):
    """The rest of a request's body did not come in time."""


class RequestAborted(ChanceleryError):
    """The client went away before its request's body was there."""


class SendNotAvailableOnDemultiplexer(ChanceleryError):
    """A demultiplexer has no stream of its own to send on: the consumer of a stream sends, by its multiplexer."""


class ConsumerControl(Exception):
    """Raised by a consumer to say what shall happen with its message."""


class ConsumeLater(ConsumerControl):
    """
    The message is handled again, later; what the consumer has sent until now is discarded.

    The connection's other messages wait for it, as they always do.
    """

    def __init__(self, delay: float | None = None) -> None:
        """delay: seconds until then; by default longer each time."""
        super().__init__(delay)
        self.delay = delay


class ResponseLater(ConsumerControl):
    """Raised by a view: its response is sent to `request.reply_channel` by somebody else, later."""


class DenyConnection(ConsumerControl):
    """The socket that is connecting is turned away with HTTP 403."""


class ChannelSocketException(ConsumerControl):
    """Ends a consumer by doing something to its socket, see `run`."""

    def run(self, message: Message) -> None:
        """Do what the exception stands for to *message*'s reply channel."""
        raise NotImplementedError


class WebsocketCloseException(ChannelSocketException):
    """Closes the socket, with *code*: None or 1000 for a normal end, or the project's own, from 3000 to 4999."""

    def __init__(self, code: int | None = None) -> None:
        """Raises: ValueError for a code that an application may not send (RFC 6455, 7.4)."""
        if code is not None and (type(code) is not int or not (code == NORMAL_CLOSURE or code in OWN_CODES)):
            raise ValueError(f"a socket is closed with None, 1000, or a code from 3000 to 4999, not {code!r}")
        super().__init__(code)
        self.code = code

    def run(self, message: Message) -> None:
        """Close the socket of *message*."""
        if message.reply_channel is None:
            raise ValueError(f"{message!r} has no reply_channel: no socket to close")
        message.reply_channel.send({"close": True if self.code is None else self.code})

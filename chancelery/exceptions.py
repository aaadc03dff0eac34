"""
Every exception of the package.

One root, one class per thing that a caller may catch. Control flow (a consumer that wants something else to happen
with its message) is a branch of its own, `ConsumerControl`.
"""

from django.core.exceptions import ImproperlyConfigured


class ChanceleryError(Exception):
    """Something in Chancelery failed."""


class ChannelFull(ChanceleryError):
    """The channel holds as many messages as it may; nothing was sent."""


class MessageTooLarge(ChanceleryError):
    """The packed message is larger than `max_message_bytes`; nothing was sent."""


class LayerUnavailable(ChanceleryError):
    """The channel layer's server did not answer; whether the operation took place is unknown."""


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


class ConsumerControl(Exception):
    """Raised by a consumer to say what shall happen with its message."""


class ChannelSocketException(ConsumerControl):
    """Ends a consumer by doing something to its socket, see `run`."""

    def run(self, message: object) -> None:
        """Do what the exception stands for to *message*'s reply channel."""
        raise NotImplementedError


class DenyConnection(ConsumerControl):
    """The socket that is connecting is turned away with HTTP 403."""

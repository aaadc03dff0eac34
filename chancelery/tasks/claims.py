"""
Whose a job is: the user of a message, the socket that it came from, or whoever holds a signed claim.

Does no I/O but for what reading `message.user` needs. Of a user, only the id is ever kept.
"""

from __future__ import annotations

import functools
import hmac
from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner, b64_encode
from django.utils.crypto import salted_hmac

from chancelery import conf
from chancelery.message import Message

NOBODY = "nobody"
"""Who asks when the message knows that nobody is logged in."""

_SALT = "chancelery.tasks.claims"
_LONGEST = 200


class Asking(NamedTuple):
    """Who asks something of a job, as the scripts take it (`scripts/holders.lua`)."""

    socket: str
    user: str
    """`user:<pk>`, NOBODY, or an empty string when the message does not know."""
    is_trusted: bool
    """Whether a claim to this very job, or a staff account where that is enough, was shown."""

    @property
    def args(self) -> tuple[str, str, str]:
        """What the scripts' arguments begin with."""
        return self.socket, self.user, "1" if self.is_trusted else "0"


def claim_to(job_id: str) -> str:
    """Return a text by which whoever has it may see, resume, cancel and feed the job, for JOB_CLAIM_EXPIRY seconds."""
    return _signer(settings.SECRET_KEY).sign(job_id)


def is_claim_to(job_id: str, claim: str | None) -> bool:
    """Tell whether *claim*, which may be anything that somebody has sent, is one to this job, and in time."""
    if claim is None or len(claim) > _LONGEST or not claim.isascii():
        return False
    try:
        signed = TimestampSigner(salt=_SALT).unsign(claim, max_age=timedelta(seconds=conf.current().job_claim_expiry))
    except BadSignature:
        return False
    return signed == job_id


def asking(message: Message, job_id: str, claim: str | None) -> Asking:
    """Return who asks something of a job by *message*, showing *claim*."""
    socket = message.reply_channel.name if message.reply_channel is not None else ""
    return Asking(socket, user_of(message), is_claim_to(job_id, claim) or _is_staff(message))


def owner_of(message: Message | None) -> str:
    """Return whose a job is that *message* has begun: `user:<pk>`, or an empty string when no user is known."""
    if message is None:
        return ""
    job: Any = getattr(message, "job", None)  # of a consumer task: what it escalates is its own job's owner's
    if job is not None:
        return f"user:{job.owner}" if job.owner is not None else ""
    user = user_of(message)
    return "" if user == NOBODY else user


def user_of(message: Message) -> str:
    """Return the user of *message* as `user:<pk>`, NOBODY, or an empty string when no decorator has looked."""
    user: Any = getattr(message, "user", None)
    if user is None:
        return ""
    return f"user:{user.pk}" if user.is_authenticated else NOBODY


def is_of_socket(message: Message) -> bool:
    """Tell whether *message* is a websocket's own, so that its reply channel is one that is known to go."""
    return message.channel.name.startswith("websocket.")


class _Signer(TimestampSigner):
    """As Django's; derives its key once, which takes most of the time that signing does."""

    def __init__(self, key: str | bytes) -> None:
        super().__init__(key=key, salt=_SALT)
        self._keyed: hmac.HMAC = salted_hmac(f"{_SALT}signer", b"", key, algorithm=self.algorithm)

    def signature(self, value: str | bytes, key: str | bytes | None = None) -> str:
        if key is not None and key != self.key:
            return super().signature(value, key)
        keyed = self._keyed.copy()
        keyed.update(value if isinstance(value, bytes) else value.encode())
        return b64_encode(keyed.digest()).decode()


@functools.lru_cache(maxsize=4)
def _signer(key: str | bytes) -> TimestampSigner:
    return _Signer(key)


def _is_staff(message: Message) -> bool:
    if not conf.current().job_staff_access:
        return False
    user: Any = getattr(message, "user", None)
    return user is not None and user.is_authenticated and bool(user.is_staff)

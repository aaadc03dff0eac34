"""
Where results are had that are too large for a frame: the job's last event has the address in the place of its data.

Knows the URLconf, which Celery's workers load when there is such a result, and not before.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.urls import NoReverseMatch, reverse

from chancelery import conf
from chancelery.tasks.canvas import JOB_ID

_SALT = "chancelery.tasks.apart"
_NAME = "chancelery:result"


def address_of(job_id: str) -> str:
    """Return the path at which the job's result is had, or an empty string when the URLconf has no place for it."""
    if not hasattr(settings, "ROOT_URLCONF"):
        return ""
    try:
        return reverse(_NAME, args=[TimestampSigner(salt=_SALT).sign(job_id)])
    except NoReverseMatch:
        return ""


def job_at(signed: str) -> str | None:
    """Return the id of the job whose address has *signed* in it; None if that was not signed here, or too long ago."""
    try:
        job_id = TimestampSigner(salt=_SALT).unsign(signed, max_age=timedelta(seconds=conf.current().job_result_expiry))
    except BadSignature:
        return None
    return job_id if JOB_ID.fullmatch(job_id) else None

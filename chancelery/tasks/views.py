"""The view behind the addresses of results that are too large for a frame."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from chancelery.tasks.apart import job_at
from chancelery.tasks.engine import backend


@require_safe
@cache_control(private=True)
def result(_: HttpRequest, signed: str) -> HttpResponse:
    """Answer with the result of a job, as JSON. Whatever is wrong with the address, there is nothing at it."""
    job_id = job_at(signed)
    found = None
    if job_id is not None:
        engine = backend.current()
        with engine.reporting():
            found = engine.records.kept_apart(job_id)
    if found is None:
        raise Http404
    return HttpResponse(found, content_type="application/json")

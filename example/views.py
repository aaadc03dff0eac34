"""The pages, and the way for texts that are too long for a frame of a socket."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe

from example import frames
from example.models import MAX_UPLOAD_BYTES, Slider, Upload, UploadRefused

_CHUNK_BYTES = 64 * 1024


@require_safe
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """Everything that there is to see."""
    context = {
        "daphne_port": settings.DAPHNE_PORT,
        "max_upload_bytes": MAX_UPLOAD_BYTES,
        "max_parts": frames.MAX_PARTS,
    }
    return render(request, "example/page.html", context)


@require_safe
def sliders(request: HttpRequest) -> HttpResponse:
    """Sliders that move on every open page."""
    context = {"daphne_port": settings.DAPHNE_PORT, "sliders": Slider.objects.order_by("pk")}
    return render(request, "example/sliders.html", context)


@require_POST
def upload(request: HttpRequest) -> JsonResponse:
    """Keep the request's body, a text of any length up to the limit, and answer the id to count it by."""
    try:
        stored = Upload.store(request.GET.get("name", "") or "untitled", _body(request))
    except UploadRefused as refused:
        return JsonResponse({"error": str(refused)}, status=400)
    return JsonResponse({"upload": str(stored.pk), "name": stored.name, "bytes": stored.size}, status=201)


@require_safe
def health(_request: HttpRequest) -> JsonResponse:
    """Answer, over either server."""
    return JsonResponse({"status": "ok"})


def _body(request: HttpRequest) -> Iterator[bytes]:
    """Yield the body as it arrives; it is on its way to a file, not to memory."""
    while chunk := request.read(_CHUNK_BYTES):
        yield chunk

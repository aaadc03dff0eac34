"""Views for the tests of HTTP over channels."""

import asyncio
import io

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group as Team
from django.core.files.uploadhandler import FileUploadHandler
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from chancelery.exceptions import RequestAborted, RequestTimeout

closed = []
uploaded = []


class Noticed(HttpResponse):
    def close(self):
        super().close()
        closed.append("plain")


class NoticedStream(StreamingHttpResponse):
    def close(self):
        super().close()
        closed.append("stream")


def hello(request):
    response = Noticed("hello")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def about(request):
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "path_info": request.path_info,
            "scheme": request.scheme,
            "host": request.get_host(),
            "get": request.GET.dict(),
            "post": request.POST.dict(),
            "cookies": request.COOKIES,
            "body": request.body.decode() if request.content_type == "text/plain" else "",
            "ip": request.META.get("REMOTE_ADDR"),
            "trace": request.headers.get("X-Trace"),
            "channel": request.reply_channel.name,
        }
    )


def large(request):
    return HttpResponse(b"x" * (1024 * 1024 + 1))


def stream(request):
    return NoticedStream(["one", "", "two"])


def break_off(request):
    def parts():
        yield "one"
        raise RuntimeError("broke off")

    return NoticedStream(parts())


def fail(request):
    raise RuntimeError("failed")


def headers(request):
    return HttpResponse(headers={"X-CamelCase": "caf\u00e9"})


def tolerant(request):
    return HttpResponse(f"{len(request.GET)} {len(request.COOKIES)} {request.get_host()!r}")


def body(request):
    return HttpResponse(request.body)


def pieces(request):
    found = []
    while piece := request.read(7):
        found.append(piece.decode())
    return JsonResponse(found, safe=False)


def lines(request):
    return JsonResponse([line.decode() for line in request], safe=False)


@csrf_exempt
def files(request):
    return JsonResponse({name: [file.name, type(file).__name__, file.size] for name, file in request.FILES.items()})


def ignored(request):
    return HttpResponse("not read")


def looked_after(request):
    try:
        request.read()
    except (RequestAborted, RequestTimeout):
        return HttpResponse("looked after", status=422)
    return HttpResponse("read")


def later(request):
    Team.objects.get_or_create(name="later")
    closed.append("nothing yet")
    raise request.ResponseLater


def later_with_a_file(request):
    uploaded.extend(request.FILES.values())
    raise request.ResponseLater


async def later_async(request):
    raise request.ResponseLater


def broken_upload(request):
    Team.objects.create(name="broken")
    return HttpResponse(request.body)


def async_stream(request):
    async def parts():
        try:
            yield "one "
            await asyncio.sleep(0)
            yield b"two "
            yield f"{await sync_to_async(lambda: 3)()}"
        finally:
            closed.append("parts")

    return NoticedStream(parts())


def async_break_off(request):
    async def parts():
        yield "one"
        raise RuntimeError("broke off")

    return NoticedStream(parts())


def file(request):
    return FileResponse(io.BytesIO(b"x" * 1_500_000), filename="x.bin")


def endless(request):
    def parts():
        while True:
            yield b"x" * 100_000

    return NoticedStream(parts())


class NeverMind(FileUploadHandler):
    """Counts what passes through, and keeps nothing."""

    def receive_data_chunk(self, raw_data, start):
        self.seen = start + len(raw_data)

    def file_complete(self, file_size):
        return None


@csrf_exempt
def streamed(request):
    handler = NeverMind(request)
    request.upload_handlers = [handler]
    assert not request.FILES
    return HttpResponse(str(handler.seen))


urlpatterns = [
    path("hello/", hello),
    path("about/", about),
    path("large/", large),
    path("stream/", stream),
    path("break-off/", break_off),
    path("fail/", fail),
    path("headers/", headers),
    path("tolerant/", tolerant),
    path("body/", body),
    path("pieces/", pieces),
    path("lines/", lines),
    path("files/", files),
    path("streamed/", streamed),
    path("ignored/", ignored),
    path("looked-after/", looked_after),
    path("later/", later),
    path("later-async/", later_async),
    path("later-with-a-file/", later_with_a_file),
    path("broken-upload/", broken_upload),
    path("async-stream/", async_stream),
    path("async-break-off/", async_break_off),
    path("file/", file),
    path("endless/", endless),
]

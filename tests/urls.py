"""Views for the tests of HTTP over channels."""

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

closed = []


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


urlpatterns = [
    path("hello/", hello),
    path("about/", about),
    path("large/", large),
    path("stream/", stream),
    path("break-off/", break_off),
    path("fail/", fail),
]

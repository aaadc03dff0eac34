"""Views that say on the channel `said` how they fare, and wait for a word on `go?on`."""

import hashlib
import os
from pathlib import Path

from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from chancelery import Channel
from chancelery.exceptions import RequestAborted


def say(**content):
    Channel("said").send(content, immediately=True)


def about(request):
    cookies, agent = request.COOKIES, request.headers.get("User-Agent")
    found = {"method": request.method, "path": request.path, "path_info": request.path_info, "cookies": cookies}
    return JsonResponse({**found, "agent": agent, "get": request.GET, "scheme": request.scheme})


@csrf_exempt
def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse({"size": file.size, "kind": type(file).__name__, "digest": digest.hexdigest()})


@csrf_exempt
def swallow(request):
    size = 0
    say(reads=True)
    try:
        while piece := request.read(65536):
            size += len(piece)
    except RequestAborted:
        say(aborted=size)
        raise
    return HttpResponse(str(size))


@csrf_exempt
def refuse(request):
    return HttpResponse("no, thank you", status=403)


@csrf_exempt
def form(request):
    return JsonResponse(request.POST)


def download(request):
    return FileResponse(Path(os.environ["TEST_FILE"]).open("rb"))


def stream(request):
    def parts():
        yield "first"
        while request.message.channel_layer.receive(["go?on"], block=True)[0] is None:
            pass
        yield " last"

    return StreamingHttpResponse(parts())


def endless(request):
    def parts():
        sent = 0
        try:
            while True:
                yield b"x" * 65536
                sent += 65536
        finally:
            say(produced=sent)

    return StreamingHttpResponse(parts())


def later(request):
    say(waits=request.reply_channel.name)
    raise request.ResponseLater


def cookies(request):
    response = HttpResponse("cookies", headers={"X-CamelCase": "kept"})
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


urlpatterns = [
    path("about/", about),
    path("upload/", upload),
    path("swallow/", swallow),
    path("refuse/", refuse),
    path("form/", form),
    path("download/", download),
    path("stream/", stream),
    path("endless/", endless),
    path("later/", later),
    path("cookies/", cookies),
]

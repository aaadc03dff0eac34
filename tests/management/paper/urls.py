"""Pages."""

import os

from django.http import HttpResponse
from django.urls import path, reverse

WORD = "first"


def front(request):
    server = "channels" if hasattr(request, "reply_channel") else "wsgi"
    root = request.message["root_path"] if server == "channels" else ""
    return HttpResponse(f"{WORD} {os.getpid()} {server} {root}{reverse('front')}")


urlpatterns = [path("", front, name="front")]

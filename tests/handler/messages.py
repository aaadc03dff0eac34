"""What a gateway sends for a request, and what comes back."""

from __future__ import annotations

from chancelery.handler import ViewConsumer
from chancelery.message import Message
from tests.routed import received

HOST = [b"host", b"testserver"]
FORM = [b"content-type", b"application/x-www-form-urlencoded"]


def a_request(wrapper, path, **content):
    content = {
        "reply_channel": "gw!one",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "headers": [HOST],
        "body": b"",
        "client": ["10.0.0.1", 4000],
        "server": ["127.0.0.1", 80],
        **content,
    }
    return Message(content, "http.request", wrapper)


def responses(wrapper, path, *, consumer=None, **content):
    (consumer or ViewConsumer())(a_request(wrapper, path, **content))
    return received(wrapper.layer, "gw!")


def an_upload(wrapper, path, first, *rest, headers=(HOST,), closed=False, **content):
    """A request whose body has come in pieces: *first*, and *rest* on its body channel."""
    channel = wrapper.layer.new_channel("http.request.body?")
    for number, piece in enumerate(rest, 1):
        more = closed or number < len(rest)
        wrapper.layer.send(channel, {"content": piece, "more_content": more, "order": number})
    if closed:
        wrapper.layer.send(channel, {"content": b"", "more_content": False, "closed": True, "order": len(rest) + 1})
    content = {"method": "POST", "headers": list(headers), "body": first, "body_channel": channel, **content}
    return a_request(wrapper, path, **content)

"""Bindings that are gone after the test, and a socket that is in every group."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chancelery import Group
from chancelery.binding import registration
from chancelery.binding.websockets import WebsocketBinding
from chancelery.message import Message
from chancelery.registry import ChannelLayerWrapper
from tests.binding.models import Story
from tests.routed import received, routed

Bind = Callable[..., type[WebsocketBinding]]


@pytest.fixture
def wrapper() -> Iterator[ChannelLayerWrapper]:
    with routed() as wrapper:
        yield wrapper


@pytest.fixture
def bind(wrapper: ChannelLayerWrapper) -> Iterator[Bind]:
    """Makes bindings: `bind(fields=["title"])`."""
    made = []

    def bind(base: type[WebsocketBinding] = WebsocketBinding, **attributes: Any) -> type[WebsocketBinding]:
        defaults = {"model": Story, "stream": "stories", "groups": ["all"], "has_permission": lambda *_: True}
        if "group_names" in attributes:
            del defaults["groups"]
        made.append(type("Bound", (base,), {**defaults, **attributes}))
        return made[-1]

    yield bind
    for binding in made:
        registration.unregister(binding)


@pytest.fixture
def told(wrapper: ChannelLayerWrapper) -> Callable[..., list[Any]]:
    """What the members of groups were sent since it was last asked: (group, payload), in order."""
    members = {}

    def told(*groups: str) -> list[Any]:
        for group in groups:
            members[f"gw!{group}"] = group
            Group(group).add(f"gw!{group}")
        found = []
        while True:
            channel, content = wrapper.layer.receive(["gw!"])
            if channel is None:
                return found
            found.append((members[channel], json.loads(content["text"])["payload"]))

    return told


@pytest.fixture
def ask(wrapper: ChannelLayerWrapper) -> Callable[..., list[Any]]:
    """Have a client ask a binding for something; return the payloads that it is answered."""

    def ask(binding: type[WebsocketBinding], action: Any, pk: Any = None, data: Any = None, **extra: Any) -> list[Any]:
        text = extra.pop("text", None) or json.dumps({"action": action, "pk": pk, "data": data})
        text = text.replace("Infinity", "1e400")  # as a client of another kind may write it
        content = {"reply_channel": "asker!one", "path": "/", "order": 1, "text": text, **extra}
        binding.consumer(Message(content, "websocket.receive", wrapper))
        return [json.loads(answer["text"])["payload"] for answer in received(wrapper.layer, "asker!")]

    return ask

"""What Channels 1's callers wrote can be written: their arguments are taken, in their order and by their names."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest


class Call:
    """A way to call something."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


C = Call
CALLS = {
    "asgi.ChannelLayerManager.make_backend": [C("self", "default"), C("self", alias="default")],
    "asgi.ChannelLayerManager.make_test_backend": [C("self", "default")],
    "asgi.ChannelLayerManager.set": [C("self", "default", "wrapper")],
    "asgi.ChannelLayerWrapper": [C("layer", "default", "routing")],
    "asgi.ChannelLayerWrapper.local_only": [C("self")],
    "asgi.get_channel_layer": [C(), C("default"), C(alias="default")],
    "auth.transfer_user": [C("from", "to"), C(from_session="a", to_session="b")],
    "auth.channel_session_user": [C("consumer")],
    "auth.http_session_user": [C("consumer")],
    "auth.channel_session_user_from_http": [C("consumer")],
    "auth.channel_and_http_session_user_from_http": [C("consumer")],
    "binding.base.Binding.create": [C("self", "data")],
    "binding.base.Binding.update": [C("self", "pk", "data")],
    "binding.base.Binding.delete": [C("self", "pk")],
    "binding.base.Binding.consumer": [C("message"), C("message", room="a")],
    "binding.base.Binding.deserialize": [C("self", "message")],
    "binding.base.Binding.encode": [C("stream", "payload")],
    "binding.base.Binding.group_names": [C("instance")],
    "binding.base.Binding.has_permission": [C("self", "user", "action", "pk")],
    "binding.base.Binding.run_action": [C("self", "action", "pk", "data")],
    "binding.base.Binding.send_messages": [C("self", "instance", "group_names", "action")],
    "binding.base.Binding.serialize": [C("self", "instance", "action")],
    "binding.base.BindingMetaclass.register_all": [C()],
    "binding.websockets.WebsocketBinding.serialize_data": [C("self", "instance")],
    "channel.Channel": [C("name"), C("name", "default"), C("name", alias="a"), C("name", channel_layer="layer")],
    "channel.Channel.send": [C("self", {}), C("self", {}, True), C("self", content={}, immediately=True)],
    "channel.Group": [C("name"), C("name", "default"), C("name", alias="a"), C("name", channel_layer="layer")],
    "channel.Group.add": [C("self", "channel")],
    "channel.Group.discard": [C("self", "channel")],
    "channel.Group.send": [C("self", {}), C("self", {}, True), C("self", content={}, immediately=True)],
    "delay.models.DelayedMessage.send": [C("self"), C("self", "layer"), C("self", "layer", requeue_delay=1000)],
    "delay.worker.Worker": [
        C("layer"),
        C("layer", True, 1),
        C("layer", signal_handlers=False),
        C("layer", database_sleep_duration=1),
    ],
    "exceptions.WebsocketCloseException": [C(), C(4001), C(code=4001)],
    "exceptions.ConsumeLater": [C()],
    "generic.base.BaseConsumer": [C("message"), C("message", room="a")],
    "generic.base.BaseConsumer.as_route": [C(), C({"a": 1}), C(attrs={"a": 1}, path="^/")],
    "generic.base.BaseConsumer.channel_names": [C()],
    "generic.base.BaseConsumer.dispatch": [C("self", "message", room="a")],
    "generic.base.BaseConsumer.get_handler": [C("self", "message", room="a")],
    "generic.websockets.WebsocketConsumer.close": [C("self"), C("self", 4001), C("self", status=True)],
    "generic.websockets.WebsocketConsumer.connect": [C("self", "message", room="a")],
    "generic.websockets.WebsocketConsumer.connection_groups": [C("self"), C("self", room="a")],
    "generic.websockets.WebsocketConsumer.disconnect": [C("self", "message", room="a")],
    "generic.websockets.WebsocketConsumer.group_send": [
        C("g", "text"),
        C("g", None, b"", True),
        C("g", bytes=b"", close=1000),
    ],
    "generic.websockets.WebsocketConsumer.raw_connect": [C("self", "message", room="a")],
    "generic.websockets.WebsocketConsumer.raw_disconnect": [C("self", "message", room="a")],
    "generic.websockets.WebsocketConsumer.raw_receive": [C("self", "message", room="a")],
    "generic.websockets.WebsocketConsumer.receive": [C("self", "text"), C("self", text=None, bytes=b"", room="a")],
    "generic.websockets.WebsocketConsumer.send": [
        C("self", "text"),
        C("self", None, b""),
        C("self", text="t", close=True),
    ],
    "generic.websockets.JsonWebsocketConsumer.decode_json": [C("text")],
    "generic.websockets.JsonWebsocketConsumer.encode_json": [C({})],
    "generic.websockets.JsonWebsocketConsumer.group_send": [C("g", {}), C("g", {}, True)],
    "generic.websockets.JsonWebsocketConsumer.receive": [C("self", {}, room="a")],
    "generic.websockets.JsonWebsocketConsumer.send": [C("self", {}), C("self", {}, close=True)],
    "generic.websockets.WebsocketDemultiplexer.group_send": [C("g", "stream", {}), C("g", "stream", {}, close=False)],
    "generic.websockets.WebsocketDemultiplexer.receive": [C("self", {}, room="a")],
    "generic.websockets.WebsocketDemultiplexer.send": [C("self", {})],
    "generic.websockets.WebsocketMultiplexer": [C("stream", "reply_channel")],
    "generic.websockets.WebsocketMultiplexer.encode": [C("stream", {})],
    "generic.websockets.WebsocketMultiplexer.group_send": [C("g", "stream", {}), C("g", "stream", {}, close=True)],
    "generic.websockets.WebsocketMultiplexer.send": [C("self", {})],
    "handler.AsgiHandler": [C()],
    "handler.AsgiHandler.__call__": [C("self", "message")],
    "handler.AsgiHandler.chunk_bytes": [C(b"data")],
    "handler.AsgiHandler.encode_response": [C("response")],
    "handler.AsgiRequest": [C("message")],
    "handler.ViewConsumer": [C()],
    "handler.ViewConsumer.__call__": [C("self", "message")],
    "layers.memory.ChannelLayer": [C(expiry=60, group_expiry=86400, capacity=10, channel_capacity={"a*": 1})],
    "layers.redis.ChannelLayer": [
        C(hosts=[("localhost", 6379)], prefix="asgi:", expiry=60, group_expiry=86400, capacity=100)
    ],
    "layers.base.ChannelLayer.channel_statistics": [C("self", "channel")],
    "layers.base.ChannelLayer.flush": [C("self")],
    "layers.base.ChannelLayer.global_statistics": [C("self")],
    "layers.base.ChannelLayer.group_add": [C("self", "group", "channel"), C("self", group="g", channel="c")],
    "layers.base.ChannelLayer.group_channels": [C("self", "group")],
    "layers.base.ChannelLayer.group_discard": [C("self", "group", "channel")],
    "layers.base.ChannelLayer.new_channel": [C("self", "reply?"), C("self", pattern="reply?")],
    "layers.base.ChannelLayer.receive": [
        C("self", ["a"]),
        C("self", ["a"], True),
        C("self", channels=["a"], block=True),
    ],
    "layers.base.ChannelLayer.receive_many": [C("self", ["a"]), C("self", ["a"], block=True)],
    "layers.base.ChannelLayer.send": [C("self", "channel", {})],
    "layers.base.ChannelLayer.send_group": [C("self", "group", {})],
    "message.Message": [C({}, "channel", "layer"), C(content={}, channel_name="channel", channel_layer="layer")],
    "message.Message.copy": [C("self")],
    "message.Message.get": [C("self", "key"), C("self", "key", None)],
    "message.PendingMessageStore.append": [C("self", "sender", {})],
    "message.PendingMessageStore.prepare": [C("self"), C("self", signal="s", sender="x")],
    "message.PendingMessageStore.send_and_flush": [C("self"), C("self", signal="s", sender="x")],
    "routing.Include": [C([], path="^/")],
    "routing.Route": [C("channel", "consumer"), C(["a", "b"], "consumer", path="^/")],
    "routing.RouteClass": [C("consumer", path="^/")],
    "routing.Router": [C([]), C("project.routing")],
    "routing.Router.add_route": [C("self", "route")],
    "routing.Router.check_default": [C("self"), C("self", http_consumer="consumer")],
    "routing.Router.match": [C("self", "message")],
    "routing.Router.resolve_routing": [C([])],
    "routing.connect_consumer": [C("message"), C("message", room="a")],
    "routing.null_consumer": [C("message"), C("message", room="a")],
    "security.websockets.BaseOriginValidator": [C("consumer")],
    "security.websockets.BaseOriginValidator.get_header": [C("self", "message", b"origin")],
    "security.websockets.BaseOriginValidator.get_origin": [C("self", "message")],
    "security.websockets.BaseOriginValidator.validate_origin": [C("self", "message", "origin")],
    "sessions.channel_and_http_session": [C("consumer")],
    "sessions.channel_session": [C("consumer")],
    "sessions.enforce_ordering": [C("consumer"), C(slight=True), C("consumer", slight=False)],
    "sessions.http_session": [C("consumer")],
    "sessions.requeue_messages": [C("message")],
    "sessions.session_for_reply_channel": [C("reply_channel")],
    "sessions.wait_channel_name": [C("reply_channel")],
    "staticfiles.StaticFilesConsumer": [C()],
    "staticfiles.StaticFilesHandler": [C()],
    "staticfiles.StaticFilesHandler.file_path": [C("self", "url")],
    "staticfiles.StaticFilesHandler.get_base_url": [C("self")],
    "test.ChannelTestCase.get_next_message": [
        C("self", "c"),
        C("self", "c", "default", True),
        C("self", "c", alias="a", require=True),
    ],
    "test.Client": [C(), C("default"), C(alias="default")],
    "test.Client.consume": [C("self", "c"), C("self", "c", True), C("self", "c", fail_on_none=False)],
    "test.Client.get_consumer_by_channel": [C("self", "c")],
    "test.Client.get_next_message": [C("self", "c")],
    "test.Client.join_group": [C("self", "group")],
    "test.Client.receive": [C("self")],
    "test.Client.send": [C("self", "c"), C("self", "c", {}), C("self", to="c", content={})],
    "test.Client.send_and_consume": [C("self", "c", {}), C("self", "c", {}, False), C("self", "c", fail_on_none=False)],
    "test.WSClient": [C(), C(ordered=True), C(alias="default")],
    "test.WSClient.consume": [C("self", "c", True, False), C("self", "c", check_accept=False)],
    "test.WSClient.force_login": [C("self", "user"), C("self", "user", backend=None)],
    "test.WSClient.login": [C("self", username="a", password="b")],
    "test.WSClient.receive": [C("self"), C("self", False), C("self", json=False)],
    "test.WSClient.send": [C("self", "c", {}, "text", "/"), C("self", "c", text={}, path="/")],
    "test.WSClient.send_and_consume": [
        C("self", "c", {}, "text", "/", True, False),
        C("self", "c", check_accept=False),
    ],
    "test.WSClient.set_cookie": [C("self", "key", "value")],
    "test.WSClient.set_header": [C("self", "key", "value")],
    "test.apply_routes": [C([]), C([], ["default"]), C([], aliases=["default"])],
    "worker.Worker": [
        C("layer"),
        C("layer", None, 10, True, ["http.*"], ["slow.*"]),
        C(
            "layer",
            callback=print,
            message_retries=10,
            signal_handlers=False,
            only_channels=None,
            exclude_channels=None,
        ),
    ],
    "worker.WorkerGroup": [C("layer", n_threads=4), C("layer", signal_handlers=False, n_threads=4)],
}


def found(path: str) -> Any:
    """Return what is at *path* below the package: in the longest module that there is."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            target: Any = import_module(".".join(["chancelery", *parts[:length]]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            target = getattr(target, name)
        return target
    raise AssertionError(path)


@pytest.mark.parametrize("path", CALLS)
def test_it_takes_channels_1s_arguments(path: str) -> None:
    signature = inspect.signature(found(path))
    for call in CALLS[path]:
        signature.bind(*call.args, **call.kwargs)

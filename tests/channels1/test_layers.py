"""Layers as Channels 1's settings, gateways and callers know them."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from redis import Redis

from chancelery import Channel, channel_layers
from chancelery.exceptions import ChannelFull, InvalidChannelLayerError, MessageTooLarge
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.layers.redis import ChannelLayer, RedisChannelLayer, ShardedChannelLayer
from tests.contracts.layer import ChannelLayerContract
from tests.routed import routed

PREFIX = "channels1:"


@pytest.fixture
def layers_by(settings):
    def use(**config):
        settings.CHANNEL_LAYERS = {"default": {"ROUTING": [], **config}}
        return channel_layers["default"]

    return use


def test_a_host_may_be_named_by_host_and_port(redis_url):
    address = urlsplit(redis_url)
    layer = ChannelLayer(hosts=[(address.hostname, address.port)], prefix=PREFIX)
    layer.send("named", {"n": 1})
    assert layer.receive(["named"]) == ("named", {"n": 1})
    layer.flush()
    layer.close()


def test_several_hosts_may_be_named_so_too():
    layer = ChannelLayer(hosts=[("one", 6379), "redis://two", ("::1", 6380)])
    assert isinstance(layer, ShardedChannelLayer)
    assert [shard.layer.url for shard in layer.shards] == ["redis://one:6379", "redis://two", "redis://[::1]:6380"]


@pytest.mark.parametrize("host", [("one",), ("one", "6379"), (6379, "one"), 6379, None, ("one", 6379, 0)])
def test_what_is_neither_url_nor_pair_is_refused_as_a_value_error(host):
    with pytest.raises(ValueError, match="hosts is a list with the URL of a Redis"):
        RedisChannelLayer(hosts=[host])


@pytest.mark.parametrize("hosts", ["redis://one", {"redis://one"}, [], None])
def test_hosts_that_are_no_list_are_refused_as_a_value_error(hosts):
    with pytest.raises(ValueError, match="hosts is a list"):
        ChannelLayer(hosts=hosts)


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("symmetric_encryption_keys", ["s3cret"], "use encryption_keys, with keys of at least 32 characters"),
        ("stats_prefix", "asgi-meta:", "leave it out: prefix is enough"),
        ("connection_kwargs", {"socket_timeout": 7}, "options of a connection stand in its URL"),
        ("services", ["main"], "sentinel://host:26379/service"),
        ("sentinel_refresh_interval", 60, "Sentinels are asked whenever a connection is opened"),
    ],
)
def test_options_that_are_no_more_are_refused_with_what_to_do(layers_by, option, value, advice):
    config = {"hosts": ["redis://one"], option: value}
    with pytest.raises(InvalidChannelLayerError, match=advice) as caught:
        layers_by(BACKEND="asgi_redis.RedisChannelLayer", CONFIG=config)
    assert option in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "backend", ["asgi_redis.RedisSentinelChannelLayer", "asgi_redis.RedisLocalChannelLayer", "asgi_ipc.IPCChannelLayer"]
)
def test_backends_that_are_no_more_are_refused_with_what_to_do(layers_by, backend):
    with pytest.raises(ValueError, match=rf"{backend}' of Channels 1, which there is not: use \"chancelery.layers"):
        layers_by(BACKEND=backend)


def test_a_caller_catches_what_a_layer_raises_by_the_layers_own_names(layers_by):
    wrapper = layers_by(BACKEND="asgiref.inmemory.ChannelLayer", CONFIG={"capacity": 1, "max_message_bytes": 50})
    wrapper.send("full", {})
    with pytest.raises(wrapper.ChannelFull) as caught:
        wrapper.send("full", {})
    assert type(caught.value) is ChannelFull
    with pytest.raises(wrapper.MessageTooLarge) as caught:
        wrapper.send("large", {"text": "x" * 50})
    assert type(caught.value) is MessageTooLarge


def test_receive_many_is_receive_with_a_warning():
    layer = InMemoryChannelLayer()
    layer.send("channel", {"n": 1})
    with pytest.warns(DeprecationWarning, match="receive_many"):
        assert layer.receive_many(["channel"]) == ("channel", {"n": 1})
    with pytest.warns(DeprecationWarning, match="receive_many"):
        assert layer.receive_many(["channel"], block=False) == (None, None)


def test_a_blocking_receive_waits_in_memory_too():
    class Late(InMemoryChannelLayer):
        def wait(self, channels, timeout):
            self.send("channel", {"n": 1})
            super().wait(channels, timeout)

    layer = Late()
    assert layer.receive(["channel"]) == (None, None)
    assert layer.receive(["channel"], block=True) == ("channel", {"n": 1})


def test_no_key_of_a_message_is_reserved():
    with routed() as wrapper:
        Channel("channel").send({"__asgi_channel__": "gw!one"})
        assert wrapper.receive(["channel"]) == ("channel", {"__asgi_channel__": "gw!one"})


def test_the_statistics_have_channels_1s_keys():
    layer = InMemoryChannelLayer()
    assert {"messages_count", "channel_full_count"} <= layer.global_statistics().keys()
    keys = {"messages_count", "channel_full_count", "messages_pending", "messages_max_age"}
    assert layer.channel_statistics("channel").keys() == keys


def test_the_contract_can_be_imported_by_other_layers():
    parts = {name for base in ChannelLayerContract.__mro__ for name in vars(base) if name.startswith("test_")}
    assert len(parts) > 200


def test_names_are_refused_under_python_o_as_well():
    """Channels 1 used assert."""
    code = (
        "from chancelery.layers.memory import InMemoryChannelLayer\n"
        "for name in ('abc\\n', 'process!\\u00e9', '\\uff11', 'trailing?'):\n"
        "    try: InMemoryChannelLayer().send(name, {})\n"
        "    except TypeError: print('refused')\n"
        "try: InMemoryChannelLayer().send('channel', 'text')\n"
        "except TypeError: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["refused"] * 5


def test_a_flush_does_not_ask_for_all_keys_at_once(redis_url):
    with Redis.from_url(redis_url) as client:
        calls = client.info("commandstats").get("cmdstat_keys")
        layer = ChannelLayer(hosts=[redis_url], prefix=PREFIX)
        layer.send("channel", {})
        layer.flush()
        layer.close()
        assert client.info("commandstats").get("cmdstat_keys") == calls
        assert list(client.scan_iter(f"{PREFIX}*")) == []


def test_a_send_to_a_group_is_one_command_however_many_members_it_has(redis_url):
    with Redis.from_url(redis_url) as client:
        layer = ChannelLayer(hosts=[redis_url], prefix=PREFIX)
        for number in range(50):
            layer.group_add("room", f"gw.{number % 3}!{number}")
        layer.send_group("room", {})
        before = _scripts_run(client)
        layer.send_group("room", {})
        assert _scripts_run(client) == before + 1
        layer.flush()
        layer.close()


def _scripts_run(client):
    stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha", "fcall"))

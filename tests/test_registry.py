"""Which layer is behind an alias, and what is said about settings that cannot be used."""

from __future__ import annotations

import copy
import threading

import pytest

from chancelery import DEFAULT_CHANNEL_LAYER, Channel, channel_layers, route
from chancelery.exceptions import InvalidChannelLayerError
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.layers.redis import RedisChannelLayer
from chancelery.registry import ChannelLayerWrapper

MEMORY = "chancelery.layers.memory.InMemoryChannelLayer"


def consumer(message):
    """Somewhere to route to."""


routing = [route("a", consumer)]


def configured(settings, **config):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": MEMORY, "ROUTING": "tests.test_registry.routing", **config}}


def test_an_alias_has_the_layer_and_routing_of_the_settings(settings):
    configured(settings, CONFIG={"capacity": 7})
    wrapper = channel_layers[DEFAULT_CHANNEL_LAYER]
    assert isinstance(wrapper.layer, InMemoryChannelLayer)
    assert wrapper.alias == "default"
    assert wrapper.routing == "tests.test_registry.routing"
    assert wrapper.router.channels == {"a"}
    assert wrapper.capacity_of("a") == 7
    assert channel_layers["default"] is wrapper
    assert "default" in channel_layers
    assert "other" not in channel_layers


@pytest.mark.parametrize("backend", ["chancelery.layers.memory", "chancelery.layers.memory.ChannelLayer", MEMORY])
def test_a_backend_is_a_class_or_a_module_that_has_one(settings, backend):
    configured(settings, BACKEND=backend)
    assert isinstance(channel_layers["default"].layer, InMemoryChannelLayer)


def test_a_backend_may_be_the_class_itself(settings):
    configured(settings, BACKEND=InMemoryChannelLayer)
    assert isinstance(channel_layers["default"].layer, InMemoryChannelLayer)


def test_make_backend_makes_a_layer_of_its_own(settings):
    configured(settings)
    assert channel_layers.make_backend("default").layer is not channel_layers["default"].layer


def test_threads_that_ask_at_once_get_the_same_layer(settings):
    configured(settings)
    barrier, found = threading.Barrier(8), []

    def ask():
        barrier.wait()
        found.append(channel_layers["default"].layer)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_an_alias_can_be_set_and_set_back(settings):
    configured(settings)
    configured_wrapper = channel_layers["default"]
    replacement = ChannelLayerWrapper(InMemoryChannelLayer(), "default", [])
    assert channel_layers.set("default", replacement) is configured_wrapper
    assert channel_layers["default"] is replacement
    assert Channel("a").channel_layer is replacement
    assert channel_layers.set("default", configured_wrapper) is replacement
    assert channel_layers["default"] is configured_wrapper


def test_the_routing_is_read_when_it_is_needed_and_not_before(settings):
    configured(settings, ROUTING="nowhere.at_all")
    Channel("a").send({})
    with pytest.raises(Exception, match=r"'nowhere.at_all' cannot be imported"):
        channel_layers["default"].router  # noqa: B018


def test_changed_settings_are_read_anew(settings):
    configured(settings)
    before = channel_layers["default"]
    configured(settings, CONFIG={"capacity": 1})
    assert channel_layers["default"] is not before


def test_a_wrapper_can_be_copied(settings):
    configured(settings)
    wrapper = channel_layers["default"]
    assert copy.copy(wrapper).layer is wrapper.layer
    assert "default" in repr(wrapper)


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        ([], r"CHANNEL_LAYERS is a dict of alias -> configuration, not \[\]"),
        ({}, "has no alias 'default'; known are none: the setting is empty or missing"),
        ({"main": {}}, "has no alias 'default'; known are 'main'"),
        ({"default": "redis"}, r"\['default'\] is a dict of BACKEND, ROUTING, CONFIG, TEST_CONFIG, not 'redis'"),
        ({"default": {"ROUTING": []}}, r"\['default'\] has no BACKEND: name a class"),
        ({"default": {"BACKEND": MEMORY}}, r"\['default'\] has no ROUTING: name a list of routes"),
        ({"default": {"BACKEND": MEMORY, "ROUTES": []}}, "has no key 'ROUTES'; known are BACKEND, ROUTING, CONFIG"),
        ({"default": {"BACKEND": "no.where", "ROUTING": []}}, "BACKEND 'no.where', which is neither .*No module named"),
        ({"default": {"BACKEND": "nowhere", "ROUTING": []}}, "BACKEND 'nowhere', which is neither"),
        ({"default": {"BACKEND": "tests.settings", "ROUTING": []}}, "no attribute 'ChannelLayer'"),
        ({"default": {"BACKEND": MEMORY, "ROUTING": [], "CONFIG": []}}, r"CONFIG that is no dict .*: \[\]"),
        (
            {"default": {"BACKEND": MEMORY, "ROUTING": [], "CONFIG": {"size": 1}}},
            "CONFIG that its BACKEND refuses.*size",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_named_with_alias_and_key(settings, layers, complaint):
    settings.CHANNEL_LAYERS = layers
    with pytest.raises(InvalidChannelLayerError, match=complaint):
        channel_layers["default"]


def test_without_the_setting_no_alias_is_known(settings):
    del settings.CHANNEL_LAYERS
    with pytest.raises(InvalidChannelLayerError, match="no alias 'other'"):
        channel_layers["other"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("asgiref.inmemory", InMemoryChannelLayer),
        ("asgiref.inmemory.ChannelLayer", InMemoryChannelLayer),
        ("asgi_redis", RedisChannelLayer),
        ("asgi_redis.RedisChannelLayer", RedisChannelLayer),
        ("asgi_redis.core.RedisChannelLayer", RedisChannelLayer),
    ],
)
def test_the_backends_of_channels_1_are_ours_under_their_old_names(settings, path, kind):
    options = {} if kind is InMemoryChannelLayer else {"hosts": ["redis://127.0.0.1:1/0"]}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": path, "CONFIG": options, "ROUTING": []}}
    assert isinstance(channel_layers["default"].layer, kind)


def test_a_test_backend_has_the_options_of_test_config_and_the_routing(settings):
    configured(settings, CONFIG={"capacity": 7}, TEST_CONFIG={"capacity": 3})
    wrapper = channel_layers.make_test_backend("default")
    assert wrapper.capacity_of("a") == 3
    assert wrapper.router.channels == {"a"}
    assert wrapper.layer is not channel_layers["default"].layer


def test_each_test_backend_on_redis_has_keys_of_its_own(settings):
    hosts = ["redis://127.0.0.1:1"]
    configured(settings, BACKEND="chancelery.layers.redis", CONFIG={"hosts": hosts}, TEST_CONFIG={"hosts": hosts})
    one, other = (channel_layers.make_test_backend("default") for _ in range(2))
    assert one.layer.prefix.startswith("test:")
    assert other.layer.prefix != one.layer.prefix
    assert not one.local_only()


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({}, r"\['default'\] has no TEST_CONFIG: give it the options of its BACKEND in tests"),
        ({"TEST_CONFIG": []}, r"\['default'\] has a TEST_CONFIG that is no dict of the backend's options: \[\]"),
        ({"TEST_CONFIG": {"size": 1}}, r"\['default'\] has a TEST_CONFIG that its BACKEND refuses: .*size"),
    ],
)
def test_a_test_backend_that_cannot_be_made_is_named_with_alias_and_key(settings, config, complaint):
    configured(settings, **config)
    with pytest.raises(InvalidChannelLayerError, match=complaint):
        channel_layers.make_test_backend("default")


def test_a_wrapper_tells_whether_its_layer_is_in_this_process_alone(settings):
    configured(settings)
    assert channel_layers["default"].local_only()

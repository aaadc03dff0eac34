"""Every public name of Channels 1 can be imported from where it was, with `channels` renamed."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.core.exceptions import ImproperlyConfigured

from chancelery import exceptions
from chancelery.delay.models import DelayedMessage
from chancelery.layers.base import ChannelLayer
from chancelery.registry import _CHANNELS_1, channel_layers

NAMES = {
    "chancelery": "Channel Group route route_class include channel_layers DEFAULT_CHANNEL_LAYER __version__",
    "chancelery.apps": "ChanceleryConfig",
    "chancelery.asgi": "ChannelLayerManager ChannelLayerWrapper InvalidChannelLayerError channel_layers "
    "get_channel_layer",
    "chancelery.auth": "transfer_user channel_session_user http_session_user channel_session_user_from_http "
    "channel_and_http_session_user_from_http",
    "chancelery.binding": "Binding",
    "chancelery.binding.base": "Binding BindingMetaclass CREATE UPDATE DELETE",
    "chancelery.binding.websockets": "WebsocketBinding WebsocketBindingWithMembers",
    "chancelery.channel": "Channel Group",
    "chancelery.delay": "",
    "chancelery.delay.models": "DelayedMessage",
    "chancelery.delay.worker": "Worker",
    "chancelery.exceptions": "ConsumeLater ResponseLater RequestTimeout RequestAborted DenyConnection "
    "ChannelSocketException WebsocketCloseException SendNotAvailableOnDemultiplexer",
    "chancelery.generic": "BaseConsumer",
    "chancelery.generic.base": "BaseConsumer",
    "chancelery.generic.websockets": "WebsocketConsumer JsonWebsocketConsumer WebsocketDemultiplexer "
    "WebsocketMultiplexer",
    "chancelery.handler": "AsgiRequest AsgiHandler ViewConsumer",
    "chancelery.management.commands.runserver": "Command",
    "chancelery.management.commands.runworker": "Command",
    "chancelery.management.commands.rundelay": "Command",
    "chancelery.message": "Message PendingMessageStore pending_message_store",
    "chancelery.routing": "Router Route RouteClass Include route route_class include null_consumer connect_consumer",
    "chancelery.security.websockets": "BaseOriginValidator AllowedHostsOnlyOriginValidator allowed_hosts_only",
    "chancelery.sessions": "session_for_reply_channel channel_session http_session channel_and_http_session "
    "enforce_ordering requeue_messages wait_channel_name",
    "chancelery.signals": "consumer_started consumer_finished worker_ready worker_process_ready",
    "chancelery.staticfiles": "StaticFilesHandler StaticFilesConsumer",
    "chancelery.test": "ChannelTestCase TransactionChannelTestCase Client WSClient apply_routes "
    "ChannelLiveServerTestCase",
    "chancelery.worker": "Worker WorkerGroup",
}
OF_THE_TALK = {
    "chancelery": "WebsocketDemultiplexer",
    "chancelery.generic": "WebsocketConsumer",
    "chancelery.sessions": "http_session_user",
}
DEPRECATED = {
    "chancelery.test": "HttpClient",
    "chancelery.tests": "ChannelTestCase TransactionChannelTestCase Client WSClient HttpClient apply_routes "
    "ChannelLiveServerTestCase",
}


def each(names):
    return [(path, name) for path, found in names.items() for name in found.split()]


@pytest.mark.parametrize("path", NAMES)
def test_every_module_is_there(path):
    assert import_module(path).__doc__


@pytest.mark.parametrize(("path", "name"), each(NAMES))
def test_every_name_is_where_it_was(path, name):
    assert getattr(import_module(path), name) is not None


@pytest.mark.parametrize(("path", "name"), each(OF_THE_TALK))
def test_the_talks_other_places_have_the_names_too(path, name):
    assert getattr(import_module(path), name) is not None


@pytest.mark.parametrize(("path", "name"), each(DEPRECATED))
def test_old_names_of_the_test_kit_are_there_with_a_warning(path, name):
    with pytest.warns(DeprecationWarning, match="old name"):
        assert getattr(import_module(path), name) is not None


def test_the_model_of_delayed_messages_has_the_fields_and_the_manager_that_it_had():
    fields = {field.name: field for field in DelayedMessage._meta.get_fields()}
    assert {"due_date", "channel_name"} <= fields.keys()
    assert fields["channel_name"].max_length == 512
    assert isinstance(DelayedMessage.content, property)
    assert isinstance(DelayedMessage.delay, property)
    assert "due_date" in str(DelayedMessage.objects.is_due().query)


def test_a_layer_carries_its_exceptions():
    assert ChannelLayer.ChannelFull is exceptions.ChannelFull
    assert ChannelLayer.MessageTooLarge is exceptions.MessageTooLarge


def test_a_layer_that_cannot_be_made_is_a_value_error_as_it_was():
    assert issubclass(import_module("chancelery.asgi").InvalidChannelLayerError, ValueError)
    assert issubclass(import_module("chancelery.asgi").InvalidChannelLayerError, ImproperlyConfigured)


@pytest.mark.parametrize("path", _CHANNELS_1)
def test_the_layers_of_other_packages_are_backends_of_ours_by_their_names(path, settings):
    config = {"hosts": ["redis://127.0.0.1:1"]} if "redis" in path else {}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": path, "ROUTING": [], "CONFIG": config}}
    assert type(channel_layers["default"].layer).__module__.startswith("chancelery.layers.")

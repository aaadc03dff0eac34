"""What a binding must say of itself, and when it begins to listen."""

from __future__ import annotations

import pytest

from chancelery.binding import Binding
from chancelery.binding.base import CREATE, DELETE, UPDATE, BindingMetaclass
from chancelery.binding.websockets import WebsocketBinding, WebsocketBindingWithMembers
from tests.binding import COMMITS
from tests.binding.models import Found, Story
from tests.routed import received

pytestmark = COMMITS


def test_the_names_of_channels_1_are_there():
    assert (CREATE, UPDATE, DELETE) == ("create", "update", "delete")
    assert issubclass(WebsocketBindingWithMembers, WebsocketBinding)
    assert issubclass(WebsocketBinding, Binding)
    BindingMetaclass.register_all()  # has been done; nothing is told twice


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({}, "needs fields = .*, or exclude"),
        ({"fields": "title"}, "lists of names, not the text 'title'"),
        ({"fields": ["titel"]}, "names the field 'titel'; those of its model are id, title"),
        ({"exclude": ["sceret"]}, "names the field 'sceret'"),
        ({"fields": ["title"], "stream": None}, "needs stream"),
        ({"fields": ["title"], "groups": None}, "needs groups, or group_names"),
        ({"fields": ["title"], "coalesce": 0}, "coalesce is a number of seconds above 0"),
        ({"fields": ["title"], "coalesce": "fast"}, "coalesce is a number of seconds above 0"),
    ],
)
def test_what_lacks_is_noticed_when_a_binding_is_registered(bind, attributes, complaint):
    with pytest.raises(ValueError, match=complaint):
        bind(**attributes)


def test_a_binding_without_a_model_is_noticed_and_one_with_none_is_abstract():
    with pytest.raises(ValueError, match="needs a model; say model = None"):
        type("Without", (WebsocketBinding,), {"stream": "x"})
    abstract = type("Abstract", (WebsocketBinding,), {"model": None})
    with pytest.raises(LookupError, match="is not registered: it is abstract"):
        abstract()


def test_a_model_may_be_named_by_its_label(bind):
    binding = bind(model="binding.Story", fields=["title"])
    assert binding().model is Story
    assert binding().model_label == "binding.story"
    assert binding.model == "binding.Story"


def test_the_bindings_module_of_an_app_is_found(wrapper):
    wrapper.layer.group_add("found", "gw!one")
    Found.objects.create(name="here")
    [message] = received(wrapper.layer, "gw!")
    assert '"model": "binding.found"' in message["text"]


def test_a_binding_that_is_unregistered_hears_of_nothing(bind, told):
    binding = bind(fields=["title"])
    told("all")
    binding.unregister()
    Story.objects.create(title="unheard")
    binding.register()
    binding.register()
    Story.objects.create(title="heard")
    assert [payload["data"] for _, payload in told()] == [{"title": "heard"}]

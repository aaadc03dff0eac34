"""Of what changes often, only the latest is stored and told, and that always is."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError
from django.db.models.signals import post_save
from django.test import modify_settings
from django.utils.functional import SimpleLazyObject

from chancelery.binding import users
from chancelery.binding.websockets import WebsocketBinding
from chancelery.exceptions import ConsumeLater
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.message import Message
from chancelery.routing import Router
from chancelery.sessions import session_for_reply_channel
from tests.binding import COMMITS
from tests.binding.models import Label, Story
from tests.routed import received, routed

pytestmark = COMMITS
EVERY = 0.05


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def wrapper(clock):
    with routed(layer=InMemoryChannelLayer(clock=clock, max_message_bytes=5000)) as wrapper:
        yield wrapper


@pytest.fixture
def saves():
    """The values that were stored, in order."""
    found = []

    def note(instance, created, **_):
        if not created:
            found.append(instance.words)

    post_save.connect(note, sender=Story)
    yield found
    post_save.disconnect(note, sender=Story)


@pytest.fixture
def work(wrapper, clock):
    """Let time pass, and have everything handled that is there then, as a worker does; return how much that was."""

    def work(seconds=0.0):
        router = Router([])
        router.check_default()
        clock.now += seconds
        wrapper.layer.move_due(0)
        contents = received(wrapper.layer, "chancelery.binding")
        for content in contents:
            message = Message(content, "chancelery.binding", wrapper)
            consumer, kwargs = router.match(message)
            consumer(message, **kwargs)
        return len(contents)

    return work


@pytest.fixture
def story():
    return Story.objects.create(title="One")


def answers(wrapper):
    return [json.loads(message["text"])["payload"] for message in received(wrapper.layer, "asker!")]


# In


def test_of_fifty_changes_a_second_twenty_are_stored_and_the_last_always_is(bind, ask, work, saves, story):
    binding = bind(fields=["words"], coalesce=EVERY)
    for words in range(1, 51):
        assert ask(binding, "update", story.pk, {"words": words}) == []
        work(0.02)
    work(EVERY)
    assert len(saves) <= 21
    assert saves == sorted(saves)
    assert (saves[0], saves[-1]) == (1, 50)
    story.refresh_from_db()
    assert story.words == 50


def test_the_first_change_is_stored_at_once(bind, ask, work, saves, story):
    binding = bind(fields=["words"], coalesce=EVERY)
    ask(binding, "update", story.pk, {"words": 1})
    work()
    assert saves == [1]


def test_changes_of_different_fields_do_not_replace_each_other(bind, ask, work, story):
    binding = bind(fields=["words", "title"], coalesce=EVERY)
    for data in ({"words": 1}, {"words": 2}, {"title": "Two"}, {"words": 3}, {"words": 4}):
        ask(binding, "update", story.pk, data)
    for _ in range(5):
        work(EVERY)
    story.refresh_from_db()
    assert (story.words, story.title) == (4, "Two")


def test_objects_do_not_wait_for_each_other(bind, ask, work, story):
    binding = bind(fields=["words"], coalesce=EVERY)
    other = Story.objects.create(title="Two")
    ask(binding, "update", story.pk, {"words": 1})
    ask(binding, "update", other.pk, {"words": 2})
    assert work() == 2
    assert sorted(Story.objects.values_list("words", flat=True)) == [1, 2]


def test_of_several_sockets_the_latest_change_is_stored(bind, ask, work, saves, story):
    binding = bind(fields=["words"], coalesce=EVERY)
    for number, socket in enumerate(["one", "two", "one", "two"]):
        ask(binding, "update", story.pk, {"words": number}, reply_channel=f"asker!{socket}")
    work()
    work(EVERY)
    assert saves == [0, 3]


@pytest.mark.parametrize("wrong", ["many", None, [1], 10**30, 1.5])
def test_what_is_not_valid_overtakes_nothing(bind, ask, work, wrong, story):
    """Or somebody who may change an object could have everybody else's changes dropped."""
    binding = bind(fields=["words"], coalesce=EVERY)
    for words in (1, 2):
        assert ask(binding, "update", story.pk, {"words": words}) == []
    [answer] = ask(binding, "update", story.pk, {"words": wrong}, reply_channel="asker!two")
    assert answer["errors"]
    work()
    work(EVERY)
    story.refresh_from_db()
    assert story.words == 2


def test_what_is_asked_of_an_object_is_done_one_after_the_other(bind, ask, wrapper, story):
    binding = bind(fields=["words", "title"], coalesce=EVERY)
    for socket, data in (("one", {"words": 1}), ("two", {"title": "Two"}), ("two", {"words": 2})):
        ask(binding, "update", story.pk, data, reply_channel=f"asker!{socket}")
    lease = wrapper.layer.open_lease()
    assert len(wrapper.layer.fetch(["chancelery.binding"], 10, lease).deliveries) == 1


def test_a_deletion_waits_for_the_change_before_it(bind, ask, work, wrapper, saves, story):  # noqa: PLR0917
    binding = bind(fields=["words"], coalesce=EVERY)
    for words in (1, 2):
        ask(binding, "update", story.pk, {"words": words})
    ask(binding, "delete", story.pk)
    work()
    work(EVERY)
    assert saves == [1, 2]
    assert not Story.objects.exists()
    assert answers(wrapper) == []


def test_a_creation_does_not_wait(bind, ask):
    assert ask(bind(fields=["title"], coalesce=EVERY), "create", None, {"title": "New"}) == []
    assert Story.objects.get().title == "New"


def test_permission_is_asked_for_before_anything_is_passed_on(bind, ask, work, story):
    binding = bind(fields=["words"], coalesce=EVERY, has_permission=lambda *_: False)
    [answer] = ask(binding, "update", story.pk, {"words": 1})
    assert answer["errors"] == {"__all__": ["this is not allowed"]}
    assert work() == 0


def test_what_is_wrong_is_answered_to_whoever_asked_on_their_stream(bind, ask, work, wrapper, story):
    binding = bind(fields=["words"], coalesce=EVERY)
    at_once = ask(binding, "update", str(story.pk), {"words": "many"})
    ask(binding, "update", 404, {"words": 1})
    ask(binding, "update", story.pk, {"secret": "x"})
    work()
    work(EVERY)
    assert [(answer["pk"], answer["errors"]) for answer in at_once + answers(wrapper)] == [
        (str(story.pk), {"words": ["“many” value must be an integer."]}),
        (404, {"pk": ["there is no such object"]}),
        (story.pk, {"__all__": ["nothing to change: what can be is words"]}),
    ]


@pytest.mark.parametrize("value", [10**30, "\ud800", "\0"])
def test_what_no_message_can_carry_is_answered(bind, ask, work, value):
    binding = bind(fields=["notes"], coalesce=EVERY)
    [answer] = ask(binding, "update", 1, {"notes": value})
    assert answer["errors"].keys() == {"__all__"}
    assert work() == 0


def test_what_is_too_large_to_be_passed_on_is_answered(bind, ask, story):
    binding = bind(fields=["notes"], coalesce=EVERY)
    [answer] = ask(binding, "update", story.pk, {"notes": "x" * 6000})
    assert answer["errors"] == {"__all__": ["this cannot be passed on"]}


def test_who_asked_is_known_also_when_their_socket_is_gone(bind, ask, work, story):
    ada = get_user_model().objects.create_user("ada")
    seen = []

    class Own(WebsocketBinding):
        model = None

        def update(self, pk, data):
            seen.append((self.user, self.message.reply_channel.name, self.action, self.pk))

    binding = bind(Own, fields=["words"], coalesce=EVERY)
    session = session_for_reply_channel("asker!one")
    session.update({"_auth_user_id": str(ada.pk), "_auth_user_backend": "django.contrib.auth.backends.ModelBackend"})
    session["_auth_user_hash"] = ada.get_session_auth_hash()
    session.keep()
    for _ in range(2):
        ask(binding, "update", story.pk, {"words": 1})
    session.flush()
    work()
    assert seen.pop() == (ada, "asker!one", "update", story.pk)
    assert seen == []
    ada.delete()
    work(EVERY)
    assert seen[0][0] == AnonymousUser()


def test_in_a_project_without_users_nobody_is_looked_for():
    with modify_settings(INSTALLED_APPS={"remove": ["django.contrib.auth"]}):
        assert users.key_of(SimpleLazyObject(lambda: pytest.fail("was looked for"))) is None


def test_a_change_that_the_database_cannot_take_now_is_handled_again(bind, ask, work, story):
    class Locked(WebsocketBinding):
        model = None

        def update(self, pk, data):
            raise OperationalError("database is locked")

    binding = bind(Locked, fields=["words"], coalesce=EVERY)
    ask(binding, "update", story.pk, {"words": 1})
    with pytest.raises(ConsumeLater):
        work()


def test_a_binding_that_this_process_does_not_have_is_named(bind, ask, work, story):
    binding = bind(fields=["words"], coalesce=EVERY)
    ask(binding, "update", story.pk, {"words": 1})
    binding.unregister()
    with pytest.raises(LookupError, match=r"no binding '.*Bound' is registered in this process"):
        work()


# Out


def test_of_what_is_told_of_an_object_the_latest_comes_every_so_often(bind, told, clock, wrapper, story):
    bind(fields=["words"], coalesce=EVERY)
    told("all")
    found = []
    for words in range(1, 51):
        story.words = words
        story.save()
        found += told()
        clock.now += 0.02
        wrapper.layer.move_due(0)
    clock.now += EVERY
    wrapper.layer.move_due(0)
    values = [payload["data"]["words"] for _, payload in found + told()]
    assert len(values) <= 21
    assert values == sorted(values)
    assert (values[0], values[-1]) == (1, 50)


def test_creations_and_deletions_are_neither_dropped_nor_overtaken(bind, told, clock, wrapper):
    bind(model=Label, fields=["text"], coalesce=EVERY)
    told("all")
    for number in range(2):
        label = Label.objects.create(code="a", text=f"{number}")
        for letter in "bcd":
            label.text = f"{number}{letter}"
            label.save()
        label.delete()
    for _ in range(10):
        clock.now += EVERY
        wrapper.layer.move_due(0)
    found = [(payload["action"], payload["data"]["text"]) for _, payload in told()]
    once = [("create", "{}"), ("update", "{}d"), ("delete", "{}d")]
    assert found == [(action, text.format(number)) for number in range(2) for action, text in once]


def test_each_group_gets_the_latest(bind, told, clock, wrapper, story):
    bind(fields=["words"], coalesce=EVERY, groups=["a", "b"])
    told("a", "b")
    for words in (1, 2, 3):
        story.words = words
        story.save()
    clock.now += EVERY
    wrapper.layer.move_due(0)
    found = [(group, payload["data"]["words"]) for group, payload in told()]
    assert found == [("a", 1), ("b", 1), ("a", 3), ("b", 3)]

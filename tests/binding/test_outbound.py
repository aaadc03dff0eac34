"""Who is told what when an object changes."""

from __future__ import annotations

import contextlib
import datetime as dt
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chancelery import outbox
from chancelery.binding.websockets import WebsocketBinding, WebsocketBindingWithMembers
from chancelery.exceptions import LayerUnavailable
from chancelery.layers.memory import InMemoryChannelLayer
from tests.binding import COMMITS
from tests.binding.models import Draft, Feature, Room, Story, Tag
from tests.routed import received, routed

pytestmark = COMMITS


def by_room(cls, instance):
    return [f"room-{instance.room_id}"] if instance.room_id else []


BY_ROOM = {"fields": ["title"], "group_names": classmethod(by_room)}


def actions(found):
    return [(group, payload["action"]) for group, payload in found]


def test_a_group_is_told_of_creation_change_and_deletion(bind, told):
    bind(fields=["title", "words"])
    told("all")
    story = Story.objects.create(title="One")
    pk = story.pk
    story.words = 5
    story.save()
    story.delete()
    assert told() == [
        ("all", {"action": action, "pk": pk, "data": {"title": "One", "words": words}, "model": "binding.story"})
        for action, words in [("create", 0), ("update", 5), ("delete", 5)]
    ]


def test_frames_are_multiplexed(bind, wrapper):
    bind(fields=["title"])
    wrapper.layer.group_add("all", "gw!one")
    Story.objects.create(pk=7, title="One")
    payload = '{"action": "create", "pk": 7, "data": {"title": "One"}, "model": "binding.story"}'
    assert received(wrapper.layer, "gw!") == [{"text": f'{{"stream": "stories", "payload": {payload}}}'}]


# Which fields


def test_only_declared_fields_are_told(bind, told):
    bind(fields=["title"], groups=["some"])
    bind(exclude=["secret", "notes", "file", "changed", "tags", "kind", "lasts", "weight"], groups=["others"])
    told("some", "others")
    Story.objects.create(title="One")
    found = dict(told())
    assert found["some"]["data"] == {"title": "One"}
    assert found["others"]["data"].keys() == {"title", "words", "price", "starts", "is_out", "room"}


@pytest.mark.parametrize("fields", [["__all__"], "__all__", ("__all__",)])
def test_all_fields_are_told_when_all_are_declared_but_for_excluded_ones(bind, told, fields):
    bind(fields=fields, exclude=["secret"])
    told("all")
    story = Story.objects.create(title="One")
    [(_, payload)] = told()
    expected = {field.name for field in (*Story._meta.concrete_fields, *Story._meta.many_to_many)}
    assert payload["data"].keys() == expected - {"id", "secret"}
    assert payload["pk"] == story.pk


def test_values_are_told_in_types_of_json_as_the_database_has_them(bind, told):
    bind(exclude=["secret", "file", "changed"])
    room, tag = Room.objects.create(name="A"), Tag.objects.create(name="t")
    story = Story(title=5, words="7", price="1.5", starts="2026-07-01", lasts=dt.timedelta(minutes=1), room=room)
    story.notes = {"a": [1, None]}
    story.save()
    story.tags.add(tag)
    told("all")
    story.save()
    [(_, payload)] = told()
    assert payload["data"] == {
        "title": "5",
        "words": 7,
        "price": "1.50",
        "weight": 1.0,
        "starts": "2026-07-01",
        "lasts": "00:01:00",
        "is_out": False,
        "kind": "news",
        "notes": {"a": [1, None]},
        "room": room.pk,
        "tags": [str(tag.pk)],
    }


def test_members_are_told_too(bind, told):
    bind(
        WebsocketBindingWithMembers,
        fields=["title"],
        send_members=["shouted", "doubled", "room.name", "starts"],
    )
    told("all")
    Story.objects.create(title="One", words=4, room=Room.objects.create(name="A"), starts=dt.date(2026, 7, 1))
    [(_, payload)] = told()
    members = {"shouted": "ONE", "doubled": 8, "room__name": "A", "starts": "2026-07-01"}
    assert payload["data"] == {"title": "One", **members}
    Story.objects.create(title="Two")
    [(_, payload)] = told()
    assert payload["data"]["room__name"] is None


def test_what_is_told_may_be_replaced(bind, told):
    class Own(WebsocketBinding):
        model = None

        def serialize_data(self, instance):
            return {"words": f"{instance.words} words"}

    bind(Own, fields=["title"])
    bind(fields=["title"], groups=["nothing"], serialize=lambda self, instance, action: {})
    told("all", "nothing")
    Story.objects.create(title="One", words=3)
    assert [payload["data"] for _, payload in told()] == [{"words": "3 words"}]


# Which groups


@pytest.mark.parametrize(
    "group_names",
    [
        classmethod(lambda cls, instance: [f"room-{instance.room_id}"]),
        classmethod(lambda cls, instance, action: [f"room-{instance.room_id}"]),
        staticmethod(lambda instance: [f"room-{instance.room_id}"]),
        lambda self, instance, action: [f"room-{instance.room_id}"],  # as the talk has it
        lambda self, instance: [f"room-{self.instance.room_id}"],
        lambda self, *args: [f"room-{args[0].room_id}"],
    ],
)
def test_group_names_may_be_written_in_any_way_that_there_was(bind, told, group_names):
    bind(fields=["title"], group_names=group_names)
    told("room-None")
    Story.objects.create(title="One")
    assert actions(told()) == [("room-None", "create")]


def test_a_text_for_a_list_of_groups_is_noticed(bind):
    bind(fields=["title"], group_names=classmethod(lambda cls, instance: "all"))
    story = Story(title="One")
    story.pk = 5
    Story.objects.bulk_create([story])
    with pytest.raises(TypeError, match="a list of names, not the text 'all'"):
        story.save()


def test_an_object_that_moves_is_deleted_in_its_old_group_and_created_in_its_new_one(bind, told):
    """Channels 1 asked the object in memory, which had moved already: the old group heard nothing."""
    bind(**BY_ROOM)
    one, two = Room.objects.create(name="1"), Room.objects.create(name="2")
    story = Story.objects.create(title="Old", room=one)
    told(f"room-{one.pk}", f"room-{two.pk}")
    story.room, story.title = two, "New"
    story.save()
    found = told()
    assert actions(found) == [(f"room-{one.pk}", "delete"), (f"room-{two.pk}", "create")]
    assert [payload["data"]["title"] for _, payload in found] == ["Old", "New"]  # the old group learns nothing new


def test_a_kept_group_is_updated_while_others_come_and_go(bind, told):
    bind(fields=["title"], group_names=classmethod(lambda cls, story: ["always", *story.title]))
    story = Story.objects.create(title="ab")
    told("always", "a", "b", "c")
    story.title = "bc"
    story.save()
    expected = [("a", "delete"), ("always", "update"), ("b", "update"), ("c", "create")]
    assert sorted(actions(told())) == expected


def test_groups_are_those_of_what_was_stored_not_of_what_is_in_memory(bind, told):
    bind(**BY_ROOM)
    one, two = Room.objects.create(name="1"), Room.objects.create(name="2")
    story = Story.objects.create(title="One", room=one)
    told(f"room-{one.pk}", f"room-{two.pk}")
    story.room, story.title = two, "Two"
    story.save(update_fields=["title"])
    assert [(group, payload["action"], payload["data"]) for group, payload in told()] == [
        (f"room-{one.pk}", "update", {"title": "Two"})
    ]
    Story.objects.only("pk").get().save(update_fields=["title"])  # everything else is deferred
    assert actions(told()) == [(f"room-{one.pk}", "update")]
    story.refresh_from_db()
    story.room = None
    story.delete()
    assert actions(told()) == [(f"room-{one.pk}", "delete")]


def test_an_expression_is_told_as_its_value(bind, told):
    bind(fields=["words"])
    story = Story.objects.create(title="One", words=1)
    told("all")
    story.words = F("words") + 1
    story.save()
    assert [payload["data"] for _, payload in told()] == [{"words": 2}]


def test_fixtures_are_told(bind, told):
    now = timezone.now()
    bind(**BY_ROOM)
    room = Room.objects.create(name="1")
    told(f"room-{room.pk}")
    Story(pk=3, title="raw", room=room, changed=now).save_base(raw=True)
    Story(pk=3, title="again", room=None, changed=now).save_base(raw=True)
    assert [payload["action"] for _, payload in told()] == ["create", "delete"]


def test_a_proxy_and_a_child_are_told_of_as_what_they_are(bind, told):
    bind(fields=["title"])
    told("all")
    Draft.objects.create(title="Draft").delete()
    Feature.objects.create(title="Feature").delete()
    found = told()
    assert [payload["action"] for _, payload in found] == ["create", "delete"] * 2
    assert {payload["model"] for _, payload in found} == {"binding.story"}


def test_a_binding_of_a_child_has_the_fields_of_its_parent(bind, told):
    bind(model=Feature, fields=["title", "pages"])
    told("all")
    Feature.objects.create(title="Feature", pages=3)
    assert [payload["data"] for _, payload in told()] == [{"title": "Feature", "pages": 3}]


def test_a_cascade_is_told(bind, told):
    bind(**BY_ROOM)
    room = Room.objects.create(name="1")
    Story.objects.create(title="One", room=room)
    told(f"room-{room.pk}")
    pk = room.pk
    room.delete()
    assert actions(told()) == [(f"room-{pk}", "delete")]


# When


def test_nothing_is_told_before_it_is_committed(bind, told):
    bind(**BY_ROOM)
    room = Room.objects.create(name="1")
    told(f"room-{room.pk}")
    with transaction.atomic():
        story = Story.objects.create(title="One", room=room)
        story.title = "Two"
        story.save()
        assert told() == []
    found = told()
    assert actions(found) == [(f"room-{room.pk}", "create"), (f"room-{room.pk}", "update")]
    assert found[0][1]["data"] == {"title": "Two"}


def test_what_is_rolled_back_is_never_told(bind, told):
    bind(fields=["title"])
    story = Story.objects.create(title="One")
    told("all")
    with transaction.atomic():
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            story.title = "Never"
            story.save()
            Story.objects.create(title="Never")
            raise ZeroDivisionError
        Story.objects.create(title="Kept")
    assert [payload["data"]["title"] for _, payload in told()] == ["Kept"]


def test_what_is_created_and_deleted_at_once_is_told_as_deleted_only(bind, told):
    bind(fields=["title"])
    told("all")
    with transaction.atomic():
        Story.objects.create(title="One").delete()
    assert actions(told()) == [("all", "delete")]


def test_a_consumer_that_is_handled_again_has_told_what_it_has_committed(bind, told):
    bind(fields=["title"])
    told("all")
    with outbox.holding() as held:
        Story.objects.create(title="One")
        assert held.sends == []
    assert len(told()) == 1


def test_saving_a_committed_object_does_not_fail_because_nobody_can_be_told(bind, caplog):
    class Away(InMemoryChannelLayer):
        def post(self, sends):
            raise LayerUnavailable("it is away")

    bind(fields=["title"])
    with routed(layer=Away()):
        Story.objects.create(title="One")
    assert Story.objects.count() == 1
    assert "it is away" in caplog.text


def test_an_object_may_be_saved_by_a_receiver_while_it_is_saved(bind, told):
    def again(instance, created, **kwargs):
        if created:
            instance.room = Room.objects.create(name="1")
            instance.save()

    bind(fields=["title"], group_names=classmethod(lambda cls, story: ["all"]))
    told("all")
    post_save.connect(again, sender=Story)
    try:
        Story.objects.create(title="One")
    finally:
        post_save.disconnect(again, sender=Story)
    assert sorted(action for _, action in actions(told())) == ["create", "update"]


def test_the_project_may_commit_by_itself(bind, told):
    bind(fields=["title"])
    told("all")
    connection.set_autocommit(False)
    try:
        Story.objects.create(title="One")
        connection.commit()
    finally:
        connection.set_autocommit(True)
    assert len(told()) == 1


def test_fixed_groups_cost_one_query_more_and_others_two(bind):
    bind(fields=["title"])
    story = Story.objects.create(title="One")
    with CaptureQueriesContext(connection) as queries:
        story.save()
    assert len(queries) == 2
    bind(**BY_ROOM)
    with CaptureQueriesContext(connection) as queries:
        story.save()
    assert len(queries) == 4


# Many-to-many


def test_relations_are_told_from_either_side(bind, told):
    bind(fields=["tags"])
    story, tag, other = Story.objects.create(title="1"), Tag.objects.create(name="a"), Tag.objects.create(name="b")
    told("all")

    def tags():
        return [payload["data"]["tags"] for _, payload in told()]

    story.tags.add(tag)
    assert tags() == [[str(tag.pk)]]
    story.tags.add(tag)
    assert tags() == []  # nothing has changed
    other.stories.add(story)
    assert tags() == [sorted([str(tag.pk), str(other.pk)])]
    other.stories.clear()
    assert tags() == [[str(tag.pk)]]
    story.tags.set([other])
    assert tags() == [[str(other.pk)]] * 2  # a removal and an addition, told when both are committed
    story.tags.clear()
    assert tags() == [[]]


def test_relations_that_are_not_declared_are_not_told_unless_they_move_an_object(bind, told):
    bind(fields=["title"])
    bind(fields=["title"], group_names=classmethod(lambda cls, story: [f"tag-{tag.name}" for tag in story.tags.all()]))
    story, tag = Story.objects.create(title="1"), Tag.objects.create(name="a")
    told("all", "tag-a")
    story.tags.add(tag)
    assert actions(told()) == [("tag-a", "create")]
    story.tags.remove(tag)
    assert actions(told()) == [("tag-a", "delete")]
    story.tags.add(tag)
    told()
    story.delete()
    assert sorted(actions(told())) == [("all", "delete"), ("tag-a", "delete")]


def test_a_symmetrical_relation_is_told_of_both_ends(bind, told):
    bind(model=Tag, fields=["near"])
    one, two = Tag.objects.create(name="1"), Tag.objects.create(name="2")
    told("all")
    one.near.add(two)
    assert {payload["pk"]: payload["data"]["near"] for _, payload in told()} == {
        str(one.pk): [str(two.pk)],
        str(two.pk): [str(one.pk)],
    }
    one.near.clear()
    assert {payload["pk"]: payload["data"]["near"] for _, payload in told()} == {str(one.pk): [], str(two.pk): []}


# The explicit door


def test_query_set_update_is_told_by_watching(bind, told):
    binding = bind(**BY_ROOM)
    one, two = Room.objects.create(name="1"), Room.objects.create(name="2")
    Story.objects.create(title="moves", room=one)
    Story.objects.create(title="stays", room=two)
    told(f"room-{one.pk}", f"room-{two.pk}")
    with binding.watching(Story.objects.all()):
        Story.objects.update(room=two)
        assert told() == []
    found = told()
    assert actions(found) == [(f"room-{one.pk}", "delete"), (f"room-{two.pk}", "create")]
    assert {payload["data"]["title"] for _, payload in found} == {"moves"}


def test_bulk_update_and_bulk_create_and_raw_deletion_are_told_by_watching(bind, told):
    binding = bind(fields=["words"])
    story, gone = Story.objects.create(title="1"), Story.objects.create(title="2")
    told("all")
    with transaction.atomic(), binding.watching(Story.objects.all()):
        story.words = 9
        Story.objects.bulk_update([story], ["words"])
        Story.objects.filter(pk=gone.pk)._raw_delete("default")
        Story.objects.bulk_create([Story(title="3", words=3)])
    assert [(payload["action"], payload["data"]["words"]) for _, payload in told()] == [
        ("update", 9),
        ("delete", 0),
        ("create", 3),
    ]


def test_what_is_watched_is_told_also_when_it_failed_half_way_and_not_when_it_was_rolled_back(bind, told):
    binding = bind(fields=["words"])
    Story.objects.create(title="1")
    told("all")
    with contextlib.suppress(ZeroDivisionError), binding.watching(Story.objects.all()):
        Story.objects.update(words=1)
        raise ZeroDivisionError
    assert [payload["data"] for _, payload in told()] == [{"words": 1}]
    with contextlib.suppress(ZeroDivisionError), transaction.atomic(), binding.watching(Story.objects.all()):
        Story.objects.update(words=2)
        raise ZeroDivisionError
    assert told() == []


def test_changes_can_be_sent_of_objects_or_a_queryset(bind, told):
    binding = bind(fields=["words"])
    told("all")
    stories = Story.objects.bulk_create([Story(title="1"), Story(title="2")])
    binding.send_changes(stories, "create")
    Story.objects.update(words=F("words") + 1)
    binding.send_changes(Story.objects.order_by("pk"))
    Story.objects.all()._raw_delete("default")
    binding.send_changes(stories, "delete")
    assert [(payload["action"], payload["data"]["words"]) for _, payload in told()] == [
        *[("create", 0)] * 2,
        *[("update", 1)] * 2,
        *[("delete", 0)] * 2,
    ]


def test_changes_of_what_has_no_key_or_no_such_action_are_refused(bind):
    binding = bind(fields=["words"])
    with pytest.raises(ValueError, match="have no primary key"):
        binding.send_changes([Story(title="1")], "create")
    with pytest.raises(ValueError, match="create, update or delete, not 'renamed'"):
        binding.send_changes([], "renamed")


def test_changes_of_another_model_are_refused(bind):
    binding = bind(fields=["words"])
    with pytest.raises(TypeError, match="is bound to Story, and cannot tell of a Room"):
        binding.send_changes([Room(pk=1)])
    with pytest.raises(TypeError, match="cannot tell of a Room"), binding.watching(Room.objects.all()):
        pytest.fail("not reached")


def test_decimals_stay_exact(bind, told):
    bind(fields=["price"])
    told("all")
    Story.objects.create(title="1", price=Decimal("0.10"))
    assert [payload["data"] for _, payload in told()] == [{"price": "0.10"}]

"""What clients ask for: done if it may be, and answered with what is wrong if not; nothing else changes."""

from __future__ import annotations

import json
import sqlite3
import uuid

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.test import Client

from chancelery import WebsocketDemultiplexer
from chancelery.binding.websockets import WebsocketBinding
from chancelery.message import Message
from chancelery.sessions import session_for_reply_channel
from tests.binding import COMMITS
from tests.binding.models import Cabinet, Drawer, Holder, Label, Room, Seat, Story, Tag
from tests.routed import received

pytestmark = COMMITS


def snapshot():
    return [list(model.objects.order_by("pk").values()) for model in (Story, Room, Tag, Label, User)]


# What is done


def test_a_client_creates_changes_and_deletes(bind, ask, told):
    binding = bind(fields=["title", "words", "price", "starts", "notes"])
    told("all")
    data = {"title": "One", "words": "3", "price": 1.5, "starts": "2026-07-01", "notes": {"a": [1]}}
    assert ask(binding, "create", None, data) == []
    story = Story.objects.get()
    assert (story.title, story.words, str(story.price), story.notes) == ("One", 3, "1.50", {"a": [1]})
    assert ask(binding, "update", story.pk, {"words": 4}) == []
    assert ask(binding, "update", str(story.pk), {"title": "Two"}) == []
    story.refresh_from_db()
    assert (story.title, story.words) == ("Two", 4)
    assert ask(binding, "delete", story.pk) == []
    assert not Story.objects.exists()
    assert [payload["action"] for _, payload in told()] == ["create", "update", "update", "delete"]


def test_a_client_sets_relations(bind, ask):
    binding = bind(fields=["title", "room", "tags"])
    room, tags = Room.objects.create(name="A"), [Tag.objects.create(name=name) for name in "ab"]
    keys = [str(tag.pk) for tag in tags]
    assert ask(binding, "create", None, {"title": "One", "room": room.pk, "tags": keys}) == []
    story = Story.objects.get()
    assert (story.room, set(story.tags.all())) == (room, set(tags))
    assert ask(binding, "update", story.pk, {"tags": keys[:1]}) == []
    assert set(story.tags.all()) == set(tags[:1])
    assert ask(binding, "update", story.pk, {"room": None}) == []
    assert Story.objects.get().room is None


def test_an_update_writes_no_other_columns(bind, ask):
    """What somebody else has changed since the object was read is not taken back."""

    class Slow(WebsocketBinding):
        model = None

    def has_changed_meanwhile(story):
        Story.objects.filter(pk=story.pk).update(words=99)

    binding = bind(Slow, fields=["title", "words"])
    story = Story.objects.create(title="One")
    before = story.changed
    Story.clean, original = has_changed_meanwhile, Story.clean
    try:
        assert ask(binding, "update", story.pk, {"title": "Two"}) == []
    finally:
        Story.clean = original
    story.refresh_from_db()
    assert (story.title, story.words) == ("Two", 99)
    assert story.changed > before


def test_a_model_with_a_save_of_its_own_is_stored_whole(bind, ask):
    binding = bind(model=Label, fields=["text"])
    Label.objects.create(code="a", text="Old")
    assert ask(binding, "update", "a", {"text": "New"}) == []
    assert Label.objects.get().slug == "new"


def test_the_talk_s_way_by_a_channel_works_too(bind, wrapper):
    binding = bind(fields=["title"])
    content = {
        "reply_channel": "asker!one",
        "path": "/",
        "order": 1,
        "stream": "intval",
        "payload": {"action": "create", "data": {"title": "One"}},
    }
    binding.consumer(Message(content, "binding.intval", wrapper))
    assert Story.objects.get().title == "One"
    binding.consumer(Message({**content, "payload": {"action": "fly"}}, "binding.intval", wrapper))
    [answer] = received(wrapper.layer, "asker!")
    assert json.loads(answer["text"])["stream"] == "intval"


def test_behind_a_demultiplexer_it_is_asked_and_answers_on_its_stream(bind, wrapper):
    binding = bind(fields=["title"])

    class Streams(WebsocketDemultiplexer):
        consumers = {"own": binding.consumer}  # noqa: RUF012 - as projects write it

    def handle(channel, **content):
        Streams(Message({"reply_channel": "asker!one", "path": "/", "order": 1, **content}, channel, wrapper))
        return [json.loads(answer["text"]) for answer in received(wrapper.layer, "asker!")]

    assert handle("websocket.connect") == handle("websocket.disconnect") == []
    frame = {"stream": "own", "payload": {"action": "create", "data": {"title": "One"}}}
    assert handle("websocket.receive", text=json.dumps(frame)) == []
    assert Story.objects.get().title == "One"
    frame["payload"]["data"] = {}
    [answer] = handle("websocket.receive", text=json.dumps(frame))
    assert answer["stream"] == "own"
    assert answer["payload"]["errors"].keys() == {"title"}


# What may cross


def test_a_client_sets_only_declared_fields(bind, ask):
    """Channels 1 let whoever could create a user make it a superuser."""
    binding = bind(model=User, fields=["username"])
    data = {"username": "eve", "is_superuser": True, "is_staff": True, "password": "x", "id": 77, "pk": 77}
    assert ask(binding, "create", 77, data) == []
    [eve] = User.objects.all()
    assert (eve.username, eve.is_superuser, eve.is_staff, eve.password) == ("eve", False, False, "")
    assert eve.pk != 77
    assert ask(binding, "update", eve.pk, {**data, "username": "eva"}) == []
    eve.refresh_from_db()
    assert (eve.username, eve.is_superuser, eve.pk == 77) == ("eva", False, False)


def test_excluded_fields_are_not_set_either(bind, ask):
    binding = bind(exclude=["secret"])
    assert ask(binding, "create", None, {"title": "One", "secret": "told"}) == []
    assert Story.objects.get().secret == "hidden"


def test_a_creation_never_touches_an_object_that_is_there(bind, ask):
    """Channels 1 looked natural keys up, and overwrote the user who had the name."""
    binding = bind(model=User, fields=["username", "first_name"])
    ada = User.objects.create_user("ada", first_name="Ada")
    [answer] = ask(binding, "create", ada.pk, {"username": "ada", "first_name": "Eve"})
    assert answer["errors"] == {"username": ["A user with that username already exists."]}
    ada.refresh_from_db()
    assert ada.first_name == "Ada"
    labels = bind(model=Label, fields=["code", "text"])
    Label.objects.create(code="a", text="Old")
    ask(labels, "create", "a", {"code": "a", "text": "New"})
    assert Label.objects.get(code="a").text == "Old"


def test_files_keys_and_what_no_form_would_let_edit_are_not_set(bind, ask):
    binding = bind(fields=["id", "title", "file", "changed"])
    story = Story.objects.create(title="One")
    ask(binding, "update", story.pk, {"id": 9, "title": "Two", "file": "/etc/passwd", "changed": "1999-01-01T00:00Z"})
    found = Story.objects.get()
    assert (found.pk, found.title, found.file.name, found.changed.year > 2000) == (story.pk, "Two", "", True)


def test_a_path_of_a_file_is_no_more_set_than_a_file(bind, ask):
    """A model does not look whether a path is one of those that its form would offer."""
    binding = bind(model=Drawer, fields=["label", "path"])
    assert ask(binding, "create", None, {"label": "a", "path": "/etc/passwd"}) == []
    assert Drawer.objects.get().path == ""


@pytest.mark.parametrize("name", ["cabinet", "others"])
def test_what_the_models_manager_does_not_show_cannot_be_chosen(bind, ask, name):
    """As in a form: a field alone would look at all rows, those of other tenants, too."""
    binding = bind(model=Drawer, fields=["label", "cabinet", "others"])
    shown, hidden = Cabinet.objects.create(), Cabinet.objects.create(is_open=False)
    keys = {cabinet: [cabinet.pk] if name == "others" else cabinet.pk for cabinet in (shown, hidden)}
    [answer] = ask(binding, "create", None, {"label": "a", name: keys[hidden]})
    assert answer["errors"].keys() == {name}
    [no_such_one] = ask(binding, "create", None, {"label": "a", name: [404] if name == "others" else 404})
    assert no_such_one == answer  # or whether it exists could be asked for
    assert ask(binding, "create", None, {"label": "b", name: keys[shown]}) == []
    [answer] = ask(binding, "update", Drawer.objects.get().pk, {name: keys[hidden]})
    assert answer["errors"].keys() == {name}
    assert Drawer.objects.filter(**{name: shown}).exists()


def test_more_keys_than_a_query_takes_are_answered(bind, ask):
    binding = bind(fields=["tags"])
    story = Story.objects.create(title="One")
    limit = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1000)
    try:
        [answer] = ask(binding, "update", story.pk, {"tags": [str(uuid.uuid4()) for _ in range(2000)]})
    finally:
        connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, limit)
    assert answer["errors"].keys() == {"tags"}


def test_a_part_of_a_key_is_no_more_set_than_a_key(bind, ask):
    """Or who may change one object could write into another one, by giving this one its key."""
    binding = bind(model=Seat, fields=["row", "number", "guest"])
    for row in (1, 2):
        Seat.objects.create(row=row, number=5, guest=f"guest {row}")
    assert ask(binding, "update", [1, "5"], {"row": 2, "guest": "eve"}) == []
    assert list(Seat.objects.order_by("row").values_list("row", "guest")) == [(1, "eve"), (2, "guest 2")]
    assert ask(binding, "delete", [1, 5]) == []
    assert Seat.objects.get().row == 2


@pytest.mark.parametrize(
    "pk", [5, "x", "[2,5]", "[", [2], [2, 5, 6], [2, [5]], [2, "x"], [True, 5], [2, None], None, {}]
)
@pytest.mark.parametrize("coalesce", [None, 0.05])
def test_a_key_of_several_fields_is_a_list_of_them(bind, ask, pk, coalesce):
    binding = bind(model=Seat, fields=["guest"], coalesce=coalesce)
    Seat.objects.create(row=2, number=5)
    [answer] = ask(binding, "update", pk, {"guest": "eve"})
    assert answer["errors"].keys() == {"pk"}
    assert Seat.objects.get().guest == ""


@pytest.mark.parametrize("coalesce", [None, 0.05])
@pytest.mark.parametrize("depth", [50, 98, 99, 100, 101, 500, *range(900, 1000, 10)])
def test_values_of_any_depth_are_stored_or_answered(bind, ask, depth, coalesce):
    binding = bind(fields=["notes"], coalesce=coalesce)
    story = Story.objects.create(title="One")
    text = f'{{"action": "update", "pk": {story.pk}, "data": {{"notes": {"[" * depth}{"]" * depth}}}}}'
    answers = ask(binding, None, text=text)
    story.refresh_from_db()
    assert coalesce or bool(answers) == (story.notes == {})


# What is refused


@pytest.mark.parametrize(
    ("action", "pk", "data", "errors"),
    [
        ("fly", 1, {}, {"action": ["this is create, update or delete"]}),
        (None, 1, {}, {"action": ["this is create, update or delete"]}),
        (["create"], 1, {}, {"action": ["this is create, update or delete"]}),
        ({"a": 1}, 1, {}, {"action": ["this is create, update or delete"]}),
        ("create", None, None, {"data": ["this is an object: the values by the names of their fields"]}),
        ("update", 1, [1], {"data": ["this is an object: the values by the names of their fields"]}),
        ("update", 1, {}, {"__all__": ["nothing to change: what can be is title, words"]}),
        ("update", 1, {"secret": "x"}, {"__all__": ["nothing to change: what can be is title, words"]}),
        ("update", None, {"words": 1}, {"pk": ["a primary key is a text or a number"]}),
        ("update", True, {"words": 1}, {"pk": ["a primary key is a text or a number"]}),
        ("update", [1], {"words": 1}, {"pk": ["a primary key is a text or a number"]}),
        ("update", "x", {"words": 1}, {"pk": ["“x” value must be an integer."]}),
        ("update", "1\0", {"words": 1}, {"pk": ["texts cannot have null characters or lone surrogates in them"]}),
        ("update", 10**40, {"words": 1}, {"pk": ["this number is too large"]}),
        ("update", 2**63, {"words": 1}, {"pk": ["there is no such object"]}),
        ("update", 404, {"words": 1}, {"pk": ["there is no such object"]}),
        ("delete", 404, None, {"pk": ["there is no such object"]}),
        ("delete", None, None, {"pk": ["a primary key is a text or a number"]}),
        ("create", None, {}, {"title": ["This field cannot be blank."]}),
        ("create", None, {"title": "forbidden"}, {"__all__": ["not this one"]}),
        ("update", 1, {"title": "forbidden"}, {"__all__": ["not this one"]}),
        ("update", 1, {"words": -2000}, {"__all__": ["Constraint “not_too_few_words” is violated."]}),
    ],
)
def test_what_cannot_be_done_is_answered_and_changes_nothing(bind, ask, told, action, pk, data, errors):  # noqa: PLR0917
    binding = bind(fields=["title", "words"])
    Story.objects.create(pk=1, title="One")
    before = snapshot()
    told("all")
    [answer] = ask(binding, action, pk, data)
    assert answer["errors"] == errors
    assert answer.keys() == {"action", "pk", "errors"}
    assert snapshot() == before
    assert told() == []


WRONG = {
    "title": [None, "", "x" * 21, ["x"], {"x": 1}, True, "\0", "\ud800"],
    "words": [None, "", "x", 1.5, 1.5e400, [1], {}, True, 2**63, -(2**64), "9" * 5000],
    "price": ["x", 1e9, [1], {}, True, "NaN", "Infinity", "1e999999", 10**30],
    "weight": [None, "x", "nan", "inf", 1e400, [1], True],
    "starts": [5, "yesterday", "2026-13-01", [], {}, True, 1.5],
    "lasts": [5, "long", [], {}, True, "999999999999999999 days"],
    "is_out": [None, "maybe", 2, [], {}],
    "kind": ["rumour", None, 5],
    "notes": [{"a": "\0"}, {"\ud800": 1}, [10**30], None],
    "room": ["x", 404, [], {}, True, 2**64, "\0"],
    "tags": [None, "x", 5, ["x"], [str(uuid.UUID(int=1))], [None], [[]], {"a": 1}],
}


@pytest.mark.parametrize(("name", "values"), WRONG.items(), ids=WRONG)
def test_a_value_that_a_field_cannot_have_is_answered_by_its_name(bind, ask, name, values):
    binding = bind(fields=list(WRONG))
    story = Story.objects.create(title="One", words=3)
    before = snapshot()
    for value in values:
        for action, data in (("update", {name: value}), ("create", {"title": "New", name: value})):
            [answer] = ask(binding, action, story.pk, data)
            assert answer["errors"].keys() == {name}, value
        assert snapshot() == before, value


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "null", "", '{"pk": NaN}', "[" * 100_000])
def test_a_frame_that_asks_for_nothing_is_answered(bind, ask, text):
    binding = bind(fields=["title"])
    [answer] = ask(binding, None, text=text or " ")
    assert answer["errors"].keys() <= {"__all__", "action"}


def test_what_is_unique_is_answered(bind, ask):
    binding = bind(fields=["title", "room"])
    room = Room.objects.create(name="A")
    Story.objects.create(title="One", room=room)
    other = Story.objects.create(title="Two", room=room)
    [answer] = ask(binding, "update", other.pk, {"title": "One"})
    assert answer["errors"] == {"__all__": ["Story with this Room and Title already exists."]}
    assert len(ask(binding, "create", None, {"title": "One", "room": room.pk})) == 1
    titles = bind(fields=["title"])  # the room is none of the client's business, and counts
    assert len(ask(titles, "update", other.pk, {"title": "One"})) == 1
    assert sorted(Story.objects.values_list("title", flat=True)) == ["One", "Two"]


def test_what_the_database_alone_refuses_is_answered_and_logged_once(bind, ask, caplog):
    binding = bind(model=Label, fields=["text"])
    Label.objects.create(code="", text="taken")
    for _ in range(3):
        [answer] = ask(binding, "create", None, {"text": "New"})
        assert answer["errors"] == {"__all__": ["this cannot be stored"]}
    assert caplog.text.count("the database refused what") == 1
    assert Label.objects.get().text == "taken"


def test_what_others_refer_to_is_not_deleted(bind, ask):
    binding = bind(fields=["title"])
    story = Story.objects.create(title="One")
    Holder.objects.create(story=story)
    [answer] = ask(binding, "delete", story.pk)
    assert answer["errors"] == {"__all__": ["it cannot be deleted: others refer to it"]}
    assert Story.objects.exists()


def test_an_object_that_is_deleted_meanwhile_does_not_come_back(bind, ask):
    binding = bind(fields=["title"])
    story = Story.objects.create(title="One")
    Story.clean, original = (lambda self: Story.objects.filter(pk=self.pk).delete()), Story.clean
    try:
        [answer] = ask(binding, "update", story.pk, {"title": "Two"})
    finally:
        Story.clean = original
    assert answer["errors"] == {"pk": ["there is no such object"]}
    assert not Story.objects.exists()


def test_what_does_not_cross_is_not_told_by_errors_either(bind, ask):
    binding = bind(fields=["title"])
    story = Story.objects.create(title="One")

    def refuse(self):
        raise ValidationError({"secret": ["is too short"]})

    Story.clean, original = refuse, Story.clean
    try:
        [answer] = ask(binding, "update", story.pk, {"title": "Two"})
    finally:
        Story.clean = original
    assert answer["errors"] == {"__all__": ["is too short"]}


def test_an_answer_repeats_what_was_asked_for_in_short(bind, ask):
    binding = bind(fields=["title"])
    [answer] = ask(binding, "x" * 10_000, {"a": "b"}, None)
    assert (answer["action"], answer["pk"]) == ("x" * 100, None)


def test_nobody_to_answer_is_an_error_of_the_project(bind, ask):
    binding = bind(fields=["title"], channel_session_user=False)
    with pytest.raises(ValueError, match="has no reply_channel to answer"):
        ask(binding, "fly", reply_channel=None)


# Permissions


@pytest.mark.parametrize("action", ["create", "update", "delete"])
def test_nobody_may_do_anything_unless_the_binding_says_so(bind, ask, action):
    binding = bind(fields=["title"], has_permission=WebsocketBinding.has_permission)
    story = Story.objects.create(title="One")
    before = snapshot()
    [answer] = ask(binding, action, story.pk, {"title": "Two"})
    assert answer == {"action": action, "pk": story.pk, "errors": {"__all__": ["this is not allowed"]}}
    assert snapshot() == before


def test_permission_is_asked_with_user_action_and_the_key_as_the_model_has_it(bind, ask):
    seen = []
    binding = bind(fields=["title"], has_permission=lambda self, *args: seen.append(args))
    ask(binding, "update", "5", {})
    ask(binding, "create", "5", {})
    assert [(action, pk) for _, action, pk in seen] == [("update", 5), ("create", None)]
    assert seen[0][0] == AnonymousUser()


def test_a_binding_may_refuse_in_its_own_words(bind, ask):
    class Own(WebsocketBinding):
        model = None

        def create(self, data):
            raise ValidationError({"title": f"not by {self.user}"})

        def delete(self, pk):
            raise PermissionDenied

    binding = bind(Own, fields=["title"])
    assert ask(binding, "create", None, {})[0]["errors"] == {"title": ["not by AnonymousUser"]}
    assert ask(binding, "delete", 1)[0]["errors"] == {"__all__": ["this is not allowed"]}


def test_the_session_of_the_connection_is_there_when_asked_for(bind, ask):
    def note(self, user, action, pk):
        self.message.channel_session["asked"] = action

    binding = bind(fields=["title"], channel_session=True, channel_session_user=False, has_permission=note)
    ask(binding, "create", None, {})
    assert session_for_reply_channel("asker!one")["asked"] == "create"


def test_the_user_is_whom_the_connection_knows(bind, ask, wrapper):
    browser = Client()
    browser.force_login(get_user_model().objects.create_user("ada"))
    cookie = f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}".encode()
    seen = []
    binding = bind(fields=["title"], http_user=True, has_permission=lambda self, user, *_: seen.append(user.username))
    content = {"reply_channel": "asker!one", "path": "/", "order": 0, "headers": [[b"cookie", cookie]]}
    binding.consumer(Message(content, "websocket.connect", wrapper))
    ask(binding, "create", None, {})
    assert seen == ["ada"]

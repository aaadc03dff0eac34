"""Static files before the views."""

from __future__ import annotations

import pytest

from chancelery.handler import ViewConsumer
from chancelery.registry import ChannelLayerWrapper
from chancelery.routing import Router
from chancelery.staticfiles import StaticFilesConsumer, static_files_consumer
from tests.handler.messages import a_request, responses

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def static(settings, tmp_path):
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "site.css").write_text("body { color: teal }")
    (tmp_path / "secret.txt").write_text("secret")
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.staticfiles"]
    settings.STATIC_URL = "/static/"
    settings.STATICFILES_DIRS = [tmp_path / "static"]


@pytest.fixture
def consumer():
    return StaticFilesConsumer()


def body(found):
    return b"".join(message["content"] for message in found)


@pytest.mark.parametrize("debug", [True, False])
def test_a_file_is_served_whoever_decided_that_it_should_be(wrapper, consumer, settings, debug):
    settings.DEBUG = debug
    found = responses(wrapper, "/static/site.css", consumer=consumer)
    assert (found[0]["status"], body(found)) == (200, b"body { color: teal }")
    assert [b"Content-Type", b"text/css"] in found[0]["headers"]


def test_a_file_that_the_client_has_is_not_sent_again(wrapper, consumer):
    [[head], *_] = [responses(wrapper, "/static/site.css", consumer=consumer)[:1]]
    since = dict(map(tuple, head["headers"]))[b"Last-Modified"]
    headers = [[b"host", b"testserver"], [b"if-modified-since", since]]
    assert responses(wrapper, "/static/site.css", consumer=consumer, headers=headers)[0]["status"] == 304


def test_other_paths_are_the_views(wrapper, consumer):
    assert body(responses(wrapper, "/hello/", consumer=consumer)) == b"hello"
    assert responses(wrapper, "/static", consumer=consumer)[0]["status"] in {301, 404}


@pytest.mark.parametrize(
    "path",
    [
        "/static/../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static//../../secret.txt",
        "/static/..\\secret.txt",
        "/static/./.././secret.txt",
        "/static//etc/passwd",
        "/static/site.css\x00.txt",
        "/static/",
        "/static/nothing.css",
    ],
)
@pytest.mark.parametrize("debug", [True, False])
def test_nothing_but_static_files_is_served(wrapper, consumer, settings, path, debug):
    settings.DEBUG = debug
    found = responses(wrapper, path, consumer=consumer)
    assert found[0]["status"] in {400, 404}
    assert b"secret" not in body(found).replace(b"secret.txt", b"").replace(b"SECRET", b"")


def test_static_files_of_another_host_are_not_served(wrapper, settings):
    settings.STATIC_URL = "https://cdn.example/static/"
    assert responses(wrapper, "/static/site.css", consumer=StaticFilesConsumer())[0]["status"] == 404


def test_it_takes_the_place_of_the_views_in_a_routing(wrapper):
    router = Router([])
    router.check_default(static_files_consumer)
    assert router.match(a_request(wrapper, "/static/site.css")) == (static_files_consumer, {})
    assert isinstance(wrapper, ChannelLayerWrapper)
    assert issubclass(StaticFilesConsumer, ViewConsumer)

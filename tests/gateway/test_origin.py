"""Which pages may open a websocket, by a table."""

from __future__ import annotations

import pytest

from chancelery.gateway.origin import is_allowed, origin_of


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        (b"http://example.com", True),
        (b"https://example.com:8443", True),
        (b"http://EXAMPLE.com", True),
        (b"http://chat.example.org", True),
        (b"http://example.org:8000", True),
        (b"http://[::1]:8000", True),
        (b"https://trusted.net", True),
        (b"https://any.wide.net", True),
        (b"https://wide.net", True),
        (b"http://trusted.net", False),
        (b"https://trusted.net:444", False),
        (b"http://evil.net", False),
        (b"http://example.com.evil.net", False),
        (b"http://notexample.com", False),
        (b"http://evil.net,http://example.com", False),
        (b"null", False),
        (b"", False),
        (b"example.com", False),
        (b"http://", False),
        (b"http://user@example.com", False),
        (b"http://ex\xc3\xa4mple.com", False),
        (b"http://[::1", False),
    ],
)
def test_an_origin_is_judged_by_the_settings(settings, origin, allowed):
    settings.ALLOWED_HOSTS = ["example.com", ".example.org", "[::1]"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://trusted.net", "https://*.wide.net"]
    assert is_allowed(origin) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"http://localhost:3000", True),
        (b"http://app.localhost", True),
        (b"http://127.0.0.1:8000", True),
        (b"http://[::1]:8000", True),
        (b"http://example.com", False),
    ],
)
def test_debug_without_allowed_hosts_allows_this_machine(settings, origin, allowed):
    settings.DEBUG = True
    settings.ALLOWED_HOSTS = []
    assert is_allowed(origin) is allowed


def test_without_debug_and_allowed_hosts_no_page_is_allowed(settings):
    settings.ALLOWED_HOSTS = []
    assert not is_allowed(b"http://localhost")


def test_the_check_can_be_switched_off(settings):
    settings.CHANCELERY = {"CHECK_ORIGIN": False}
    assert is_allowed(b"http://evil.net")


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ([], None),
        ([(b"host", b"here")], None),
        ([(b"Origin", b"http://a")], b"http://a"),
        ([(b"origin", b"http://a"), (b"origin", b"http://b")], b"http://a,http://b"),
        ([(b"origin", b"")], b""),
    ],
)
def test_the_origin_is_found_among_the_headers(headers, origin):
    assert origin_of(headers) == origin

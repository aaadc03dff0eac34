from typing import Any

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from chancelery.deployment.cache import PrefixedRedisCache
from chancelery.deployment.connections import sync_client

BACKEND = "chancelery.deployment.cache.PrefixedRedisCache"


def cache_of(url: str, **params: Any) -> PrefixedRedisCache:
    return PrefixedRedisCache(url, {"KEY_PREFIX": "site:c", **params})


def test_clearing_removes_its_own_keys_and_leaves_queues_jobs_and_other_sites_alone(redis_url: str) -> None:
    client = sync_client(redis_url)
    others = ["site:l:queue", "site:q:celery", "site:cc:1:x", "other:c:1:x", "site:c", "x:site:c:1:x"]
    for key in others:
        client.set(key, "theirs")
    cache = cache_of(redis_url)
    cache.set_many({f"key-{number}": number for number in range(2500)}, timeout=60)
    cache.set("old", 1, version=2)
    assert cache.clear() is True
    assert cache.get("key-7") is None
    assert cache.get("old", version=2) is None
    assert not list(client.scan_iter(match="site:c:*"))
    assert [client.get(key) for key in others] == [b"theirs"] * len(others)
    assert cache.clear() is False
    client.delete(*others)


def test_a_prefix_is_taken_literally(redis_url: str) -> None:
    client = sync_client(redis_url)
    client.set("sXte:1:x", "theirs")
    cache = cache_of(redis_url, KEY_PREFIX="s[A-Z]te")
    cache.set("x", 1)
    assert cache.clear() is True
    assert cache.get("x") is None
    assert client.get("sXte:1:x") == b"theirs"
    client.delete("sXte:1:x")


def test_it_is_a_django_cache(redis_url: str) -> None:
    settings = {"default": {"BACKEND": BACKEND, "LOCATION": redis_url, "KEY_PREFIX": "whole:c"}}
    with override_settings(CACHES=settings):
        cache = caches["default"]
        cache.set("a", {"b": [1, 2]}, timeout=100)
        assert cache.get("a") == {"b": [1, 2]}
        assert cache.add("a", 1) is False
        cache.set("n", 1)
        assert cache.incr("n") == 2
        assert cache.get_many(["a", "n", "none"]) == {"a": {"b": [1, 2]}, "n": 2}
        assert 90 < sync_client(redis_url).ttl("whole:c:1:a") <= 100
        assert cache.touch("a", 500)
        cache.delete_many(["a", "n"])
        assert cache.get("a") is None


@pytest.mark.parametrize(
    ("server", "params", "complaint"),
    [
        (["redis://a", "redis://b"], {}, "one URL as its LOCATION, not 2"),
        ([], {}, "one URL as its LOCATION, not 0"),
        ("redis://a", {"KEY_PREFIX": ""}, "needs a KEY_PREFIX"),
        ("redis://a", {"KEY_FUNCTION": lambda *_: "x"}, "has no KEY_FUNCTION"),
        ("redis://a", {"OPTIONS": {"db": 1, "serializer": None}}, "has no option 'db'"),
    ],
)
def test_settings_that_it_cannot_honour_are_refused(server: Any, params: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=complaint):
        cache_of(server, **params)

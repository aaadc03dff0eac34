import pytest
from django.core.exceptions import ImproperlyConfigured

from chancelery.deployment import Deployment
from chancelery.deployment.address import parse


@pytest.mark.parametrize(
    ("url", "for_redis"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("redis://H:1/2", "redis://h:1/2"),
        (" redis://h:1/\n", "redis://h:1/0"),
        ("redis://:p%40ss@h", "redis://:p%40ss@h:6379/0"),
        ("redis://u:p,p@h", "redis://u:p%2Cp@h:6379/0"),
        ("redis://[::1]:7/1", "redis://[::1]:7/1"),
        ("rediss://h", "rediss://h:6379/0?ssl_cert_reqs=required"),
        ("rediss://h/1?ssl_ca_certs=/a.pem", "rediss://h:6379/1?ssl_ca_certs=%2Fa.pem&ssl_cert_reqs=required"),
        ("unix:///run/a.sock", "unix:///run/a.sock?db=0"),
        ("unix://u:p@/run/a.sock?db=2", "unix://u:p@/run/a.sock?db=2"),
        ("sentinel://h/main", "sentinel://h:26379/main/0"),
        ("sentinel://u:p%40@h:1,[::1]:2,k/main/3", "sentinel://u:p%40@h:1,[::1]:2,k:26379/main/3"),
        ("sentinel://h/main?sentinel_password=a%26b", "sentinel://h:26379/main/0?sentinel_password=a%26b"),
    ],
)
def test_a_url_is_written_out_in_full(url: str, for_redis: str) -> None:
    assert parse(url).for_redis() == for_redis
    assert parse(parse(url).for_redis()) == parse(url)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (None, "is a str, not NoneType"),
        ("", "has no scheme"),
        ("localhost:6379", "has no scheme"),
        ("amqp://s3cret@h", "begins with amqp://"),
        ("sentinel://:s3cret@h", "needs hosts and the name of a service"),
        ("sentinel://:s3cret@/main", "needs hosts and the name of a service"),
        ("sentinel://:s3cret@h,h2/ma in", "needs hosts and the name of a service"),
        ("sentinel://:s3@cret@h/main", "needs hosts and the name of a service"),
        ("sentinel://:s3cret@h,/main", "a host of the sentinel:// URL of Redis cannot be read"),
        ("sentinel://:s3cret@h:s3cret/main", "a host of the sentinel:// URL of Redis cannot be read"),
        ("sentinel://:s3cret@h/main/one", "the database in the URL of Redis is a number"),
        ("sentinel://:s3cret@h/main?ssl=1", r"allowed: sentinel_username, sentinel_password"),
        ("rediss://:s3cret@h?ssl_keyfile=/a", "ssl_keyfile in the URL of Redis is the key of an ssl_certfile"),
        ("redis+cluster://:s3cret@h", "names a Redis Cluster"),
        ("redis://:s3cret@h,h2", "names several hosts: Redis Cluster"),
        ("redis://:s3cret@h;redis://h2", "names several hosts"),
        ("redis://:s3cret/x@h", "cannot be read"),
        ("redis://:s3cret@h:port", "cannot be read"),
        ("redis://:s3cret@h:70000", "cannot be read"),
        ("redis://:s3@cret@h", "has more than one @"),
        ("redis://:s3cret@", "has no host"),
        ("redis://:s3cret@h/one", "the database in the URL of Redis is a number"),
        ("redis://:s3cret@h/-1", "the database in the URL of Redis is a number"),
        ("redis://:s3cret@h?timeout=s3cret", r"options after its \? that are not known here \(allowed: none\)"),
        ("rediss://:s3cret@h?ssl=1", r"allowed: ssl_cert_reqs, ssl_ca_certs"),
        ("rediss://:s3cret@h?ssl_cert_reqs=maybe", "is one of required, optional, none"),
        ("unix://run/a.sock", "needs three slashes"),
        ("unix://:s3cret@/", "has no path"),
        ("unix:///a?db=x", "is a number"),
    ],
)
def test_a_bad_url_is_refused_with_what_is_allowed_and_without_the_password(url: str, complaint: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=complaint) as caught:
        Deployment(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_two_spellings_of_one_database_are_one_place() -> None:
    assert parse("redis://localhost").location == parse("rediss://:p@127.0.0.1:6379/0").location
    assert parse("redis://localhost/1").location != parse("redis://localhost").location
    assert parse("unix:///a").location != parse("unix:///b").location
    assert parse("sentinel://a,b/main").location == parse("sentinel://:p@b:26379,A/main/0").location
    assert parse("sentinel://a,b/main").location != parse("sentinel://a,b/other").location


def test_a_password_is_never_shown() -> None:
    assert "s3cret" not in repr(Deployment("redis://u:s3cret@h"))
    assert parse("redis://u:s3cret@h").for_display() == "redis://***@h:6379/0"
    shown = parse("sentinel://u:s3cret@h,k/main?sentinel_password=s3cret").for_display()
    assert shown == "sentinel://***@h:26379,k:26379/main/0"
    assert repr(Deployment("redis://h")) == "Deployment(url='redis://h:6379/0', prefix='chancelery')"

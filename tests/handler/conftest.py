"""A site without a server."""

from __future__ import annotations

import pytest

from tests.handler import urls
from tests.routed import routed


@pytest.fixture(autouse=True)
def _site(settings):
    settings.ROOT_URLCONF = "tests.handler.urls"
    settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
    urls.closed.clear()


@pytest.fixture
def wrapper():
    with routed() as wrapper:
        yield wrapper

"""Bindings. They speak after commits, so that their tests commit; that they name their apps makes it fast."""

import pytest

COMMITS = pytest.mark.django_db(
    transaction=True,
    available_apps=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "chancelery",
        "tests.binding",
    ],
)

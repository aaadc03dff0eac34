"""The CHANCELERY setting: defaults, what is refused, and that tests may change it."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import get_args

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from chancelery import conf

DURATIONS = [field.name for field in fields(conf.Settings) if str(field.type).startswith("float")]
COUNTS = [field.name for field in fields(conf.Settings) if str(field.type) == "int"]
SWITCHES = [field.name for field in fields(conf.Settings) if str(field.type) == "bool"]
OPTIONAL = [field.name for field in fields(conf.Settings) if str(field.type).endswith(" | None")]
CHOICES = {"outgoing_policy": get_args(conf.OutgoingPolicy)}


def test_without_the_setting_everything_has_its_default() -> None:
    assert conf.current() == conf.Settings()


def test_every_option_is_of_a_kind_that_is_checked() -> None:
    assert set(DURATIONS + COUNTS + SWITCHES) | set(CHOICES) == set(asdict(conf.Settings()))


def test_the_defaults_pass_their_own_check() -> None:
    with override_settings(CHANCELERY={name.upper(): value for name, value in asdict(conf.Settings()).items()}):
        assert conf.current() == conf.Settings()


@pytest.mark.parametrize("name", DURATIONS + COUNTS + SWITCHES)
def test_each_option_can_be_set_alone(name: str) -> None:
    value = False if name in SWITCHES else 7
    with override_settings(CHANCELERY={name.upper(): value}):
        assert asdict(conf.current()) == asdict(conf.Settings()) | {name: value}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in CHOICES for value in CHOICES[name]])
def test_each_choice_can_be_made(name: str, value: str) -> None:
    with override_settings(CHANCELERY={name.upper(): value}):
        assert getattr(conf.current(), name) == value


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", ["", "CLOSE", None, 1, ["close"]], ids=repr)
def test_a_choice_is_one_of_a_few(name: str, value: object) -> None:
    with (
        override_settings(CHANCELERY={name.upper(): value}),
        pytest.raises(ImproperlyConfigured, match=rf"is one of {', '.join(CHOICES[name])}, not"),
    ):
        conf.current()


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_limit_that_can_be_off_is_off(name: str) -> None:
    assert getattr(conf.current(), name) is None
    with override_settings(CHANCELERY={name.upper(): None}):
        assert getattr(conf.current(), name) is None


@pytest.mark.parametrize("name", DURATIONS)
def test_durations_may_be_fractions(name: str) -> None:
    with override_settings(CHANCELERY={name.upper(): 0.25}):
        assert getattr(conf.current(), name) == 0.25


@pytest.mark.parametrize("name", DURATIONS + COUNTS)
@pytest.mark.parametrize("value", [0, -1, True, False, "5", [5]], ids=repr)
def test_a_number_is_above_0(name: str, value: object) -> None:
    with (
        override_settings(CHANCELERY={name.upper(): value}),
        pytest.raises(ImproperlyConfigured, match=rf"CHANCELERY\['{name.upper()}'\] is a number above 0.*, not"),
    ):
        conf.current()


@pytest.mark.parametrize("name", sorted({*DURATIONS, *COUNTS} - {*OPTIONAL}))
def test_only_what_can_be_off_is_none(name: str) -> None:
    with (
        override_settings(CHANCELERY={name.upper(): None}),
        pytest.raises(ImproperlyConfigured, match=r"is a number above 0 \(type"),
    ):
        conf.current()


@pytest.mark.parametrize("name", DURATIONS + COUNTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=repr)
def test_a_number_is_a_real_number(name: str, value: float) -> None:
    with override_settings(CHANCELERY={name.upper(): value}), pytest.raises(ImproperlyConfigured):
        conf.current()


@pytest.mark.parametrize("name", COUNTS)
def test_sizes_are_whole(name: str) -> None:
    with (
        override_settings(CHANCELERY={name.upper(): 2.5}),
        pytest.raises(ImproperlyConfigured, match=r"\(type int\), not 2\.5"),
    ):
        conf.current()


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", [0, 1, None, "yes"], ids=repr)
def test_a_switch_is_true_or_false(name: str, value: object) -> None:
    with (
        override_settings(CHANCELERY={name.upper(): value}),
        pytest.raises(ImproperlyConfigured, match=rf"CHANCELERY\['{name.upper()}'\] is True or False, not"),
    ):
        conf.current()


@pytest.mark.parametrize("key", ["CAPACITY_WAITS", "capacity_wait", "", 7], ids=repr)
def test_an_unknown_option_is_refused_with_those_that_are_known(key: object) -> None:
    with (
        override_settings(CHANCELERY={key: 5}),
        pytest.raises(ImproperlyConfigured, match=rf"has no option {key!r}; known are .*CAPACITY_WAIT, "),
    ):
        conf.current()


@pytest.mark.parametrize("value", [None, [], "CAPACITY_WAIT=5", {"CAPACITY_WAIT"}], ids=repr)
def test_it_is_a_dict(value: object) -> None:
    with (
        override_settings(CHANCELERY=value),
        pytest.raises(ImproperlyConfigured, match="CHANCELERY is a dict of options, not"),
    ):
        conf.current()


def test_a_change_of_the_settings_is_seen_and_so_is_its_end() -> None:
    assert conf.current().capacity_wait == 2.0
    with override_settings(CHANCELERY={"CAPACITY_WAIT": 5}):
        assert conf.current().capacity_wait == 5
        with override_settings(CHANCELERY={"CAPACITY_WAIT": 6}):
            assert conf.current().capacity_wait == 6
        assert conf.current().capacity_wait == 5
    assert conf.current().capacity_wait == 2.0


def test_it_is_read_once() -> None:
    assert conf.current() is conf.current()


def test_nobody_can_change_an_option_in_passing() -> None:
    with pytest.raises(AttributeError):
        conf.current().capacity_wait = 5.0

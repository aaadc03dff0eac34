"""What can be set, called, run or go wrong is in the reference, and nothing else is."""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.core.management import load_command_class

import chancelery
from chancelery import checks, conf, exceptions
from chancelery.cli import main
from chancelery.layers.base import Limits

ROOT = Path(chancelery.__file__).parent
DOCS = ROOT.parent / "docs"


def table(page: str, heading: str) -> dict[str, str]:
    """Return the first two columns of the rows under a heading, without their backticks."""
    text = (DOCS / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]*) \|", text, re.MULTILINE)
    return {name: value.strip().strip("`") for name, value in rows}


def test_every_option_of_chancelery_is_documented_with_its_default() -> None:
    documented = table("reference/settings.md", "`CHANCELERY`")
    assert documented == {field.name.upper(): repr(field.default) for field in fields(conf.Settings)}


def test_every_limit_of_a_layer_is_documented_with_its_default() -> None:
    documented = table("reference/settings.md", "`CHANNEL_LAYERS`")
    assert documented == {field.name: repr(field.default) for field in fields(Limits)}


def test_every_exception_is_documented() -> None:
    text = (DOCS / "reference/errors.md").read_text()
    ours = {name for name, found in vars(exceptions).items() if getattr(found, "__module__", "") == exceptions.__name__}
    assert set(re.findall(r"^(?:\| )?`(\w+)`", text, re.MULTILINE)) == ours


def test_every_check_is_documented() -> None:
    given = set(re.findall(r'"(chancelery\.[EW]\d+)"', inspect.getsource(checks)))
    assert set(re.findall(r"`(chancelery\.[EW]\d+)`", (DOCS / "reference/checks.md").read_text())) == given


def test_every_management_command_is_documented_with_its_options() -> None:
    text = (DOCS / "reference/commands.md").read_text()
    for file in (ROOT / "management" / "commands").glob("[a-z]*.py"):
        assert f"## `manage.py {file.stem}`" in text
        parser = load_command_class("chancelery", file.stem).create_parser("manage.py", file.stem)
        own = {option for action in parser._actions for option in action.option_strings if option.startswith("--")}
        of_django = {"--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color"}
        of_django |= {"--force-color", "--skip-checks", "--help"}
        assert {option for option in own - of_django if f"`{option}`" not in text} == set()


def test_every_option_of_chancelery_dev_is_documented(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["dev", "--help"])
    offered = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
    section = (DOCS / "reference/commands.md").read_text().partition("## `chancelery dev`")[2].partition("\n## ")[0]
    assert {option for option in offered if option not in section} == set()


def test_every_room_has_its_place_in_the_tour() -> None:
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix in {"", ".py"} and not path.name.startswith("_")}
    assert set(re.findall(r"\| `(\w+)` \|$", (DOCS / "tour.md").read_text(), re.MULTILINE)) == rooms


def test_every_file_that_the_tour_names_is_there() -> None:
    named = set(re.findall(r"`([\w/]+\.(?:py|lua|js))`", (DOCS / "tour.md").read_text()))
    there = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.*")} | {path.name for path in ROOT.rglob("*.*")}
    assert named - there == set()

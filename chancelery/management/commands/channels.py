"""`manage.py channels`: what the channel layers hold, and the few things that an operator does about it."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer, Overview
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.management.channels.letters import all_letters, ids_of, listed
from chancelery.management.channels.pages import page
from chancelery.management.channels.samples import Sample, compared, selected
from chancelery.management.channels.shapes import letters_as_json, samples_as_json
from chancelery.registry import channel_layers

_INTERVAL_SECONDS: Final = 1.0
_LETTERS_SHOWN: Final = 50
_NAMES_SHOWN: Final = 10
_AT_ONCE: Final = 100
_INTERRUPTED: Final = 130
_CLEAR_SCREEN: Final = "\x1b[H\x1b[2J"

_OPTIONS: Final = {
    "": {"interval", "watch", "json"},
    "dead": {"limit", "after", "json"},
    "replay": {"all", "channel"},
    "bury": {"all", "channel", "yes"},
    "purge": {"yes"},
}
"""What goes with which action; none means to show what there is."""
_USAGE: Final = """%(prog)s [PATTERN] [--interval SECONDS] [--watch] [--json]
       %(prog)s dead [--limit N] [--after ID] [--json]
       %(prog)s replay (ID… | --all [--channel PATTERN])
       %(prog)s bury (ID… | --all [--channel PATTERN] [--yes])
       %(prog)s purge CHANNEL [--yes]"""


class Command(BaseCommand):
    """Shows what there is and what was dropped; lists, sends again and removes dead letters; empties a channel."""

    help = "Shows what the channel layers hold, how fast it moves and what was dropped; sees to dead letters."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of all actions; which goes with which is checked in `handle`."""
        parser.usage = _USAGE
        parser.add_argument("words", nargs="*", metavar="PATTERN", help="a glob of channels to show; or an action")
        parser.add_argument("--layer", metavar="ALIAS", help="one channel layer (default: all)")
        parser.add_argument(
            "--interval", type=float, metavar="SECONDS", help="time between two looks (default: 1; 0: no rates)"
        )
        parser.add_argument("--watch", action="store_true", help="look again and again, until Ctrl-C")
        parser.add_argument("--json", action="store_true", help="print one JSON object, with everything")
        parser.add_argument("--limit", type=int, metavar="N", help="how many dead letters to list (default: 50)")
        parser.add_argument("--after", metavar="ID", help="list dead letters behind this one")
        parser.add_argument("--all", action="store_true", help="all dead letters")
        parser.add_argument("--channel", metavar="PATTERN", help="with --all: those of channels that match this glob")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *_: Any, **options: Any) -> None:
        """Do what the words say. Raises: CommandError, which says what is allowed."""
        action, words = _order(options["words"])
        _require_fitting(action, options)
        do = {"dead": self._dead, "replay": self._replay, "bury": self._bury, "purge": self._purge}.get(action)
        try:
            (do or self._show)(words, options)
        except (ImproperlyConfigured, LayerUnavailable) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None

    # What there is

    def _show(self, words: Sequence[str], options: Mapping[str, Any]) -> None:
        if len(words) > 1:
            raise CommandError(f"one pattern at a time, not {len(words)}: quote it, or the shell replaces it by files")
        interval = _INTERVAL_SECONDS if options["interval"] is None else options["interval"]
        if interval < 0 or (options["watch"] and not interval):
            raise CommandError(f"--interval is 0 or more seconds, and more than 0 with --watch; not {interval:g}")
        looks = _Looks(_layers(options["layer"]), words[0] if words else None)
        if options["watch"]:
            self._watch(looks, interval, as_json=options["json"])
            return
        samples = looks.again()
        if interval:
            time.sleep(interval)
            samples = looks.again()
        self._print(samples, as_json=options["json"])

    def _watch(self, looks: _Looks, interval: float, *, as_json: bool) -> None:
        samples = looks.again()
        try:
            while True:
                if not as_json:
                    self.stdout.write(_CLEAR_SCREEN if self.stdout.isatty() else "\n", ending="")
                self._print(samples, as_json=as_json)
                samples = self._after(interval, looks)
        except KeyboardInterrupt:
            return

    def _after(self, interval: float, looks: _Looks) -> list[Sample]:
        """Return the samples after *interval* seconds, or after as many as it takes for the servers to answer."""
        while True:
            time.sleep(interval)
            try:
                return looks.again()
            except LayerUnavailable as error:
                self.stderr.write(str(error))

    def _print(self, samples: Sequence[Sample], *, as_json: bool) -> None:
        self.stdout.write(samples_as_json(samples) if as_json else "\n\n".join(map(page, samples)))
        self.stdout.flush()

    # Dead letters

    def _dead(self, words: Sequence[str], options: Mapping[str, Any]) -> None:
        _require_no_words(words)
        limit = _LETTERS_SHOWN if options["limit"] is None else options["limit"]
        if limit < 1:
            raise CommandError(f"--limit is at least 1, not {limit}")
        try:
            found = {
                alias: layer.dead_letters(limit + 1, options["after"] or "")
                for alias, layer in _layers(options["layer"]).items()
            }
        except ValueError as error:
            raise CommandError(f"--after: {error}") from error
        if options["json"]:
            self.stdout.write(letters_as_json({alias: letters[:limit] for alias, letters in found.items()}))
            return
        for alias, letters in found.items():
            clock = channel_layers[alias].layer.clock or time.time
            self.stdout.write(f'{"Dead" if letters else "No dead"} letters on the layer "{alias}"')
            self.stdout.write(listed(letters[:limit], clock() * 1000), ending="\n" if letters else "")
            if len(letters) > limit:
                self.stdout.write(f"There are more: add --after {letters[limit - 1].id}")

    def _replay(self, words: Sequence[str], options: Mapping[str, Any]) -> None:
        layer, ids = _chosen(words, options)
        sent = sum(len(layer.replay(some)) for some in _batches(ids))
        self.stdout.write(f"Dead letters sent again: {sent} of {len(ids)}")
        if sent < len(ids):
            raise CommandError(
                f"not sent: {len(ids) - sent}, since their channels have no room, or somebody else was faster; those "
                f"that `manage.py channels dead` still lists can be tried again when workers have made room"
            )

    def _bury(self, words: Sequence[str], options: Mapping[str, Any]) -> None:
        layer, ids = _chosen(words, options)
        if options["all"]:
            _confirm(f"Remove dead letters for good, {len(ids)} of them?", options)
        buried = sum(layer.bury(some) for some in _batches(ids))
        self.stdout.write(f"Dead letters removed: {buried}")

    # Channels

    def _purge(self, words: Sequence[str], options: Mapping[str, Any]) -> None:
        if len(words) != 1:
            raise CommandError("purge needs the name of one channel")
        alias, layer = _only_layer(options["layer"])
        waiting = {channel.name: channel.pending for channel in layer.overview().channels}
        [name] = words
        if name not in waiting:
            raise CommandError(f'no channel "{name}" on the layer "{alias}"; known are {_some(list(waiting))}')
        _confirm(f'Drop everything that waits on "{name}", {waiting[name]:,} now?', options)
        self.stdout.write(f'Messages dropped from "{name}": {layer.purge(name)}')


class _Looks:
    """Repeated looks at layers, each compared with the one before."""

    def __init__(self, layers: Mapping[str, ChannelLayer], pattern: str | None) -> None:
        self._layers = layers
        self._pattern = pattern
        self._before: dict[str, Overview] = {}

    def again(self) -> list[Sample]:
        """Look now."""
        return [self._sample(alias, layer) for alias, layer in self._layers.items()]

    def _sample(self, alias: str, layer: ChannelLayer) -> Sample:
        now = selected(layer.overview(), self._pattern)
        before, self._before[alias] = self._before.get(alias), now
        return compared(alias, _backend(layer), before, now)


def _order(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the action ("" for none) and what it is to be done to."""
    return (words[0], words[1:]) if words and words[0] in _OPTIONS else ("", words)


def _require_fitting(action: str, options: Mapping[str, Any]) -> None:
    for name in sorted(set().union(*_OPTIONS.values()) - _OPTIONS[action]):
        if options[name] not in (None, False):
            fitting = ", ".join(f"--{option}" for option in sorted(_OPTIONS[action] | {"layer"}))
            raise CommandError(f"--{name} does not go with {action or 'showing channels'}; {fitting} do")


def _require_no_words(words: Sequence[str]) -> None:
    if words:
        raise CommandError(f"dead takes options only, not {' '.join(words)}; replay and bury take ids")


def _layers(alias: str | None) -> dict[str, ChannelLayer]:
    aliases = [alias] if alias is not None else list(channel_layers.configs)
    if not aliases:
        raise CommandError("CHANNEL_LAYERS is empty or missing: there is nothing to show")
    return {each: channel_layers[each].layer for each in aliases}


def _only_layer(alias: str | None) -> tuple[str, ChannelLayer]:
    layers = _layers(alias)
    if len(layers) > 1:
        raise CommandError(f"there are several channel layers: name one with --layer, of {', '.join(layers)}")
    return next(iter(layers.items()))


def _backend(layer: ChannelLayer) -> str:
    name = type(layer).__name__
    return f"{name}, which sees this process only" if isinstance(layer, InMemoryChannelLayer) else name


def _chosen(words: Sequence[str], options: Mapping[str, Any]) -> tuple[ChannelLayer, list[str]]:
    """Return the layer, and the ids of the dead letters that are meant."""
    if bool(words) == options["all"] or (options["channel"] and not options["all"]):
        raise CommandError("say which dead letters: their ids, or --all, to which --channel PATTERN may be added")
    alias, layer = _only_layer(options["layer"])
    if options["all"]:
        return layer, ids_of(layer, options["channel"])
    there = {letter.id for letter in all_letters(layer)}
    unknown = [each for each in words if each not in there]
    if unknown:
        raise CommandError(
            f'no dead letter {", ".join(unknown)} on the layer "{alias}": nothing was done; '
            f"`manage.py channels dead` lists those that there are"
        )
    return layer, list(dict.fromkeys(words))


def _confirm(question: str, options: Mapping[str, Any]) -> None:
    if options["yes"]:
        return
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        raise CommandError("nobody is there to answer: add --yes") from None
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing was done")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"{shown} and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else shown or "none"


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[first : first + _AT_ONCE] for first in range(0, len(ids), _AT_ONCE))

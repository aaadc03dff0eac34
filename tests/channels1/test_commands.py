"""Commands take the options that they took."""

from __future__ import annotations

import pytest
from daphne.cli import CommandLineInterface
from django.core.management import load_command_class

from chancelery.layers.base import Limits


def test_runworker_has_channels_1s_options():
    parser = load_command_class("chancelery", "runworker").create_parser("manage.py", "runworker")
    given = "--layer other --only-channels http.* --only-channels websocket.* --exclude-channels slow.* --threads 2"
    options = parser.parse_args(given.split())
    assert (options.layer, options.threads) == ("other", 2)
    assert options.only_channels == ["http.*", "websocket.*"]
    assert options.exclude_channels == ["slow.*"]


def test_daphne_has_channels_1s_options():
    """All but `--ws-protocol`, which is CHANNELS_WS_PROTOCOLS now, and `--force-sync`."""
    given = (
        "-p 8001 -b 127.0.0.1 -v 1 -t 120 --access-log - --proxy-headers --root-path /site --ping-interval 20 "
        "--ping-timeout 30 --websocket_timeout 3600 --websocket_connect_timeout 5 project.asgi:channel_layer"
    )
    options = CommandLineInterface().parser.parse_args(given.split())
    assert (options.port, options.host, options.root_path, options.http_timeout) == (8001, "127.0.0.1", "/site", 120)
    assert CommandLineInterface().parser.parse_args(["-u", "/run/site.sock", "a:b"]).unix_socket == "/run/site.sock"
    assert CommandLineInterface().parser.parse_args(["--fd", "3", "a:b"]).file_descriptor == 3
    assert CommandLineInterface().parser.parse_args(["-e", "tcp:8000", "a:b"]).socket_strings == ["tcp:8000"]


@pytest.mark.parametrize("option", ["--ws-protocol", "--force-sync"])
def test_two_of_daphnes_options_are_no_more(option, capsys):
    with pytest.raises(SystemExit):
        CommandLineInterface().parser.parse_args([option, "v1", "a:b"])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_a_membership_outlasts_a_socket_of_daphnes():
    assert CommandLineInterface().parser.get_default("websocket_timeout") <= Limits().group_expiry

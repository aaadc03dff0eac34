import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from chancelery.cli.procfile import as_leader, expand, ports, read_environment, read_procfile


def test_a_procfile_is_read_with_its_release_line_and_where_to_look(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text(
        "# Two programs.\n# open: http://127.0.0.1/\n\nrelease: migrate\nweb: serve --port 1\nb-2:  beat \n"
    )
    procfile = read_procfile(path)
    assert procfile.release == "migrate"
    assert procfile.processes == {"web": "serve --port 1", "b-2": "beat"}
    assert procfile.look == "http://127.0.0.1/"
    assert procfile.directory == tmp_path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("web: a\nweb a", "line 2 is not a process: write name: command"),
        ("web: a\n\nweb: b", "line 3: there is a process 'web' already"),
        ("web:", "line 1 is not a process"),
        ("release: migrate", "names no process"),
        ("", "names no process"),
    ],
)
def test_a_line_that_means_nothing_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "Procfile"
    path.write_text(text)
    with pytest.raises(ImproperlyConfigured, match=complaint):
        read_procfile(path)


def test_a_procfile_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_bytes(b"web: \xff")
    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        read_procfile(path)
    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        read_procfile(tmp_path)


@pytest.mark.parametrize(
    ("command", "started"),
    [
        ("serve --port 1", "exec serve --port 1"),
        ("A=1 B='two words' C=\"$A b\" serve", "A=1 B='two words' C=\"$A b\" exec serve"),
        ("serve --bind ${PORT:-8000} > log 2>&1", "exec serve --bind ${PORT:-8000} > log 2>&1"),
        ("serve 'a && b'", "exec serve 'a && b'"),
        ("cd site && serve", "cd site && serve"),
        ("cd site && exec serve", "cd site && exec serve"),
        ("exec serve", "exec serve"),
        ("serve | tee log", "serve | tee log"),
        ("serve; serve", "serve; serve"),
        ("(serve)", "(serve)"),
        ("while true; do serve; done", "while true; do serve; done"),
        ("exit 3", "exit 3"),
        ("serve 'no end", "serve 'no end"),
        ("A=1", "A=1"),
    ],
)
def test_a_shell_is_told_to_become_the_program_where_there_is_only_one(command: str, started: str) -> None:
    assert as_leader(command) == started


def test_the_environment_wins_over_the_env_file_and_this_python_comes_first(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# secrets\n\nA=file\nB = file # and why\nexport C='a # b'\nD=\"x y\"  # z\nE=http://h/#frag\nF=\n"
    )
    found = read_environment(tmp_path, {"A": "given", "PATH": "/bin"})
    assert {name: found[name] for name in "ABCDEF"} == {
        "A": "given", "B": "file", "C": "a # b", "D": "x y", "E": "http://h/#frag", "F": "",
    }  # fmt: skip
    assert found["PATH"] == f"{Path(sys.executable).parent}:/bin"


@pytest.mark.parametrize(
    ("line", "complaint"), [("A", "not NAME=value"), ("2=3", "not NAME=value"), ("A='b", "quotation mark")]
)
def test_a_line_of_the_env_file_that_means_nothing_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / ".env").write_text(f"OK=1\n{line}\n")
    with pytest.raises(ImproperlyConfigured, match=f"line 2.*{complaint}"):
        read_environment(tmp_path, {})


def test_ports_are_a_hundred_apart_from_the_given_one() -> None:
    assert ports({"a": "", "b": ""}, {}) == {"a": "5000", "b": "5100"}
    assert ports({"a": "", "b": ""}, {"PORT": "7000"}) == {"a": "7000", "b": "7100"}
    with pytest.raises(ImproperlyConfigured, match="PORT is a number, not 'seven'"):
        ports({"a": ""}, {"PORT": "seven"})


def test_variables_are_expanded_as_a_shell_does() -> None:
    assert expand("$A ${A} ${A:-x} ${B:-x} ${C:-x} $B.", {"A": "1", "C": ""}) == "1 1 1 x x ."

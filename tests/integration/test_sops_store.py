"""A document in a file that the real `sops` encrypts: old or new, and never in clear."""

import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from sops_files import Sops, make_sops

from stackyard.stores import Conflict, StoreError, open_store, update
from stackyard.stores.sops import SopsFile

SECRET = "c2VjcmV0LWtleS1vZi10aGUtY2x1c3Rlcg=="
OLD, NEW = f"old {SECRET}\n", f"new {SECRET}\n"


@pytest.fixture
def sops(tmp_path: Path) -> Sops:
    return make_sops(tmp_path / "site")


def address(sops: Sops) -> str:
    return f"sops:{sops.folder}/secrets/KUBECONFIG.yaml"


def file(sops: Sops) -> Path:
    return sops.folder / "secrets" / "KUBECONFIG.yaml"


def in_clear(sops: Sops) -> dict[str, object]:
    """What `sops` itself makes of the file."""
    done = subprocess.run(
        [str(Path(sysconfig.get_path("scripts"), "sops")), "decrypt", str(file(sops))],
        env=sops.environ,
        capture_output=True,
        check=True,
    )
    found: dict[str, object] = yaml.safe_load(done.stdout)
    return found


def holds_secret(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]


def test_a_new_file_is_the_twin_of_vaults_secret(sops: Sops) -> None:
    store = open_store(address(sops), sops.environ)
    assert store.read().document is None
    assert update(store, lambda _: OLD)
    tree = {"cluster-secret-store": {"secrets": {"KUBECONFIG": {"KUBECONFIG": OLD}}}}
    assert in_clear(sops) == {"vault": {"kv": tree}}
    assert store.read().document == OLD
    assert not holds_secret(sops.folder)
    assert sorted(path.name for path in file(sops).parent.iterdir()) == ["KUBECONFIG.yaml"]


def test_what_does_not_change_is_not_encrypted_anew(sops: Sops) -> None:
    store = open_store(address(sops), sops.environ)
    other = open_store(f"{address(sops)}#vault.kv.other.KEY", sops.environ)
    update(store, lambda _: OLD)
    update(other, lambda _: "other")
    file(sops).chmod(0o644)
    before = file(sops).read_text()
    assert not update(store, lambda _: OLD)
    assert file(sops).read_text() == before
    assert update(store, lambda _: NEW)
    changed = set(before.splitlines()) ^ set(file(sops).read_text().splitlines())
    names = {line.split(":")[0].strip() for line in changed}
    assert names <= {"KUBECONFIG", "mac", "lastmodified"}
    assert other.read().document == "other"
    assert file(sops).stat().st_mode & 0o777 == 0o644


def test_a_whole_file(sops: Sops) -> None:
    store = SopsFile(file(sops), sops.environ)
    update(store, lambda _: "a: {b: one, c: [1, {d: true}], e: 1}\nz: last\n")
    before = file(sops).read_text()
    assert update(store, lambda _: "a: {b: one, c: [1], f: {g: null}}\nz: last\n")
    assert in_clear(sops) == {"a": {"b": "one", "c": [1], "f": {"g": None}}, "z": "last"}
    kept = re.findall(r"^z: .*|^ +b: .*", before, re.MULTILINE)
    assert kept == re.findall(r"^z: .*|^ +b: .*", file(sops).read_text(), re.MULTILINE)
    for text in (
        "a: {b: [], n: [[1], [{x: []}]]}",
        "a: {b: [[]], n: {x: 1}, s: [1, 2, 3]}",
        "a: {b: {}, n: [], s: [1, true, 3.5]}",
    ):
        store.write(text, store.read().version)
        assert in_clear(sops) == yaml.safe_load(text)
    for wrong, says in (
        ("a: [", "is not valid YAML"),
        ("- a", "is not a mapping"),
        ("sops: 1", "is not a mapping without the key sops"),
        ("{a: 2020-01-01}", "a is neither text, number, list nor mapping"),
        ("{'a\"]': 1}", "cannot be set by sops"),
    ):
        with pytest.raises(StoreError, match=says):
            store.write(wrong, store.read().version)


def test_a_rival_is_a_conflict(sops: Sops) -> None:
    store = open_store(address(sops), sops.environ)
    found = store.read()
    update(store, lambda _: OLD)
    with pytest.raises(Conflict):
        store.write(NEW, found.version)
    assert store.read().document == OLD


def test_what_goes_wrong_is_one_sentence(sops: Sops, tmp_path: Path) -> None:
    store = open_store(address(sops), sops.environ)
    update(store, lambda _: OLD)
    before = file(sops).read_bytes()

    def says(**change: str) -> str:
        with pytest.raises(StoreError) as caught:
            update(open_store(address(sops), sops.environ | change), lambda _: NEW)
        assert SECRET not in str(caught.value)
        return str(caught.value)

    stranger = make_sops(tmp_path / "stranger")
    key = stranger.environ["SOPS_AGE_KEY_FILE"]
    assert "no key here decrypts it: set SOPS_AGE_KEY_FILE" in says(SOPS_AGE_KEY_FILE=key)
    file(sops).write_text(f"vault: {SECRET}")
    assert "it is not encrypted by SOPS" in says()
    file(sops).write_bytes(before.replace(b"KUBECONFIG:", b"KUBECONFIg:"))
    assert "it was changed past SOPS" in says()
    file(sops).write_text("a: [")
    assert "is not valid YAML" in says()


def test_a_rule_that_leaves_the_value_in_clear_is_refused(tmp_path: Path) -> None:
    sops = make_sops(tmp_path / "site", "encrypted_regex: ^data$")
    store = open_store(address(sops), sops.environ)
    with pytest.raises(StoreError, match=r"would leave vault.* in clear; nothing is written"):
        update(store, lambda _: OLD)
    assert not holds_secret(sops.folder)
    (sops.folder / ".sops.yaml").write_text("creation_rules: [{path_regex: other, age: x}]")
    with pytest.raises(StoreError, match=r"no rule of \.sops\.yaml is for this file"):
        update(store, lambda _: OLD)
    (sops.folder / ".sops.yaml").unlink()
    with pytest.raises(StoreError, match=r"there is no \.sops\.yaml above it"):
        update(store, lambda _: OLD)


def append(number: int, text: str | None) -> str:
    return f"{text}{number} "


def test_writers_at_once_lose_nothing(sops: Sops) -> None:
    store = open_store(address(sops), sops.environ)
    update(store, lambda _: "")
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                update(store, partial(append, number))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    assert sorted((store.read().document or "").split()) == [*"012345"]


EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "subprocess.Popen"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killer:
    """Ends this process, without a chance to tidy up, at the n-th moment at which it writes."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if event in EVENTS and (event != "open" or given[2] & WRITES):
            self.step()

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Count the moment before a call that Python tells no audit hook of, and that after it."""

        def function(*given: Any, **more: Any) -> Any:
            self.step()
            made = real(*given, **more)
            self.step()
            return made

        return function


def write_and_be_killed(place: str, environ: dict[str, str], left: int) -> int:
    """Write in a child process that is killed at some moment; return how it ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            killer = Killer(left)
            for name in ("write", "fsync", "fchmod"):
                setattr(os, name, killer.around(getattr(os, name)))
            sys.addaudithook(killer)
            update(open_store(place, environ), lambda _: NEW)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("kind", ["sops", "file"])
def test_killed_at_any_write_it_is_old_or_new(sops: Sops, kind: str) -> None:
    place = address(sops).replace("sops:", f"{kind}:")
    store = open_store(place, sops.environ)
    update(store, lambda _: OLD)
    seen = []
    for step in range(60):
        code = write_and_be_killed(place, sops.environ, step)
        found = open_store(place, sops.environ).read().document
        assert found in {OLD, NEW}, (step, code)
        if kind == "sops":
            assert not holds_secret(sops.folder)
        seen.append((code, found))
        if code == 0:
            break
        assert code == -signal.SIGKILL, step
        if found == NEW:
            update(store, lambda _: OLD)
    assert seen[-1] == (0, NEW)
    # It was killed before the file was there, and after.
    assert (-signal.SIGKILL, OLD) in seen
    assert (-signal.SIGKILL, NEW) in seen
    # The next writer took away what the killed ones had left.
    assert [path.name for path in file(sops).parent.iterdir()] == ["KUBECONFIG.yaml"]

"""A document in a file that the real `sops` encrypts: old or new, and never in clear."""

import os
import re
import signal
import subprocess
import sysconfig
from functools import partial
from pathlib import Path

import pyrage
import pytest
import yaml
from sops_files import Sops, make_sops
from syscalls import run_traced

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


def test_what_somebody_else_removed_too_is_written_all_the_same(sops: Sops) -> None:
    store = SopsFile(file(sops), sops.environ)
    before = "a: {b: one, c: two}\nd: {e: 1}\nf: 1\n"
    update(store, lambda _: before)
    mine = store.differences(before, "a: {c: mine}\nd: {g: 2}\n")
    update(store, lambda _: "a: {c: two}\nf: 1\n")
    store.change(mine, store.read().version)
    assert in_clear(sops) == {"a": {"c": "mine"}, "d": {"g": 2}}


def test_what_comes_through_a_merge_is_not_removed_in_silence(sops: Sops) -> None:
    path = sops.folder / "x.yaml"
    path.write_text("a: &a {k: one}\nb:\n  <<: *a\n  l: two\n  m: three\n")
    command = [str(Path(sysconfig.get_path("scripts"), "sops")), "encrypt", "-i", str(path)]
    subprocess.run(command, env=sops.environ, cwd=sops.folder, check=True)
    store = SopsFile(path, sops.environ)
    with pytest.raises(StoreError, match="k stays, through a <<; nothing"):
        store.write("a: {k: one}\nb: {l: two}\n", store.read().version)
    store.write("a: {k: one}\nb: {k: own, l: two}\n", store.read().version)
    found = store.read().document
    assert yaml.safe_load(found or "") == {"a": {"k": "one"}, "b": {"k": "own", "l": "two"}}


GROUPS = """\
creation_rules:
  - path_regex: \\.yaml$
    shamir_threshold: 2
    mac_only_encrypted: true
    key_groups: [{{age: [{}]}}, {{age: [{}]}}]
"""


def test_key_groups_settings_and_comments_stay(sops: Sops) -> None:
    second = pyrage.x25519.Identity.generate()
    with Path(sops.environ["SOPS_AGE_KEY_FILE"]).open("a") as keys:
        keys.write(f"{second}\n")
    (sops.folder / ".sops.yaml").write_text(GROUPS.format(sops.recipient, second.to_public()))
    path = sops.folder / "x.yaml"
    path.write_text("# top\na: one # side\nb:\n    # within\n    - x\n    - z\nc: 1\n")
    command = [str(Path(sysconfig.get_path("scripts"), "sops")), "encrypt", "-i", str(path)]
    subprocess.run(command, env=sops.environ, cwd=sops.folder, check=True)
    # From now on others are to encrypt for: this file stays as it is.
    (sops.folder / ".sops.yaml").write_text(f"creation_rules: [{{age: {sops.recipient}}}]\n")
    store = SopsFile(path, sops.environ)
    clear, before = store.read().document or "", path.read_text()
    assert update(store, lambda _: clear.replace("one", "two"))
    assert store.read().document == clear.replace("one", "two")
    changed = set(before.splitlines()) ^ set(path.read_text().splitlines())
    assert {line.split(":")[0].strip() for line in changed} <= {"a", "mac", "lastmodified"}
    # SOPS counts a comment in a list as an item.
    assert update(store, lambda _: clear.replace("- x", "- y"))
    assert yaml.safe_load(store.read().document or "") == {"a": "one", "b": ["y", "z"], "c": 1}
    assert path.read_text().count("-----BEGIN AGE") == 2
    assert "shamir_threshold: 2" in path.read_text()
    assert "mac_only_encrypted: true" in path.read_text()


@pytest.mark.parametrize("name", ["SOPS_AGE_KEY", "SOPS_AGE_KEY_CMD"])
def test_a_key_from_the_environment(sops: Sops, name: str) -> None:
    update(open_store(address(sops), sops.environ), lambda _: OLD)
    environ = dict(sops.environ)
    key = environ.pop("SOPS_AGE_KEY_FILE")
    given = {"SOPS_AGE_KEY": Path(key).read_text(), "SOPS_AGE_KEY_CMD": f"cat {key}"}[name]
    assert open_store(address(sops), environ | {name: given}).read().document == OLD
    for change in ({}, {"SOPS_AGE_KEY": "no key"}):
        with pytest.raises(StoreError, match="no key here decrypts it: set SOPS_AGE_KEY_FILE or"):
            open_store(address(sops), environ | change).read()


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
    older = tmp_path / "older" / "sops"
    older.parent.mkdir()
    older.write_text("#!/bin/sh\necho 'flag provided but not defined: -value-stdin' >&2; exit 1\n")
    older.chmod(0o755)
    assert "this sops is too old, 3.11 is needed" in says(PATH=f"{older.parent}:/bin")
    file(sops).write_text(f"vault: {SECRET}")
    assert "it is not encrypted by SOPS" in says()
    file(sops).write_bytes(before.replace(b"KUBECONFIG:", b"KUBECONFIg:"))
    assert "it was changed past SOPS" in says()
    file(sops).write_text("a: [")
    assert "is not valid YAML" in says()


@pytest.mark.parametrize("key", ["é", "a 'b", "-1"])
def test_a_key_of_any_letters_is_the_same_when_it_is_written_again(sops: Sops, key: str) -> None:
    store = open_store(f"{address(sops)}#a.{key}", sops.environ)
    assert update(store, lambda _: OLD)
    assert update(store, lambda _: NEW)
    whole = SopsFile(file(sops), sops.environ).read().document
    assert yaml.safe_load(whole or "") == {"a": {key: NEW}}


def test_the_metadata_of_sops_is_no_place(sops: Sops) -> None:
    place = address(sops)
    update(open_store(place, sops.environ), lambda _: OLD)
    before = file(sops).read_bytes()
    for keys in ("sops", "sops.x", "sops.mac"):
        inside = open_store(f"{place}#{keys}", sops.environ)
        with pytest.raises(StoreError, match="the key sops is SOPS' own"):
            inside.write(NEW, open_store(place, sops.environ).read().version)
    assert file(sops).read_bytes() == before


@pytest.mark.parametrize("value", [f"!!bool {SECRET}", f"!!timestamp {SECRET}", f"!!int {SECRET}"])
def test_a_tag_that_is_not_the_values_is_one_sentence(sops: Sops, value: str) -> None:
    whole = SopsFile(file(sops), sops.environ)
    with pytest.raises(StoreError, match="its content is not valid YAML") as caught:
        whole.differences("a: b", f"a: {value}")
    assert SECRET not in str(caught.value)


def test_a_rule_that_leaves_the_value_in_clear_is_refused(tmp_path: Path) -> None:
    sops = make_sops(tmp_path / "site", "encrypted_regex: ^data$")
    store = open_store(address(sops), sops.environ)
    with pytest.raises(StoreError, match=r"would leave vault.* in clear; nothing is written"):
        update(store, lambda _: OLD)
    assert not holds_secret(sops.folder)
    (sops.folder / ".sops.yaml").write_text("creation_rules: [{path_regex: other, age: x}]")
    with pytest.raises(StoreError, match=r"no rule of \.sops\.yaml is for this file"):
        update(store, lambda _: OLD)
    (sops.folder / ".sops.yaml").write_text("creation_rules: [")
    with pytest.raises(StoreError, match=r"the \.sops\.yaml above it makes no sense"):
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


OURS = re.compile(r"/stackyard-\d+/[0-9a-f]{32}$|^/proc/self/fd/\d+$|^/dev/null$")


@pytest.mark.parametrize(
    ("kind", "start"),
    [("sops", OLD), ("sops", None), ("file", OLD), ("file", None)],
    ids=["sops", "new sops", "file", "new file"],
)
def test_killed_at_any_write_it_is_old_or_new(sops: Sops, kind: str, start: str | None) -> None:
    place = address(sops).replace("sops:", f"{kind}:")
    store = open_store(place, sops.environ)

    def write() -> None:
        update(open_store(place, sops.environ), lambda _: NEW)

    opened: set[str] = set()
    outcomes: list[tuple[int, str | None]] = []
    unharmed = False
    while not unharmed:
        if start is None:
            file(sops).unlink(missing_ok=True)
        else:
            update(store, lambda _: start)
        step = len(outcomes)
        run = run_traced(write, step)
        found = open_store(place, sops.environ).read().document
        assert found in {start, NEW}, (step, run)
        if kind == "sops":
            assert not holds_secret(sops.folder.parent)
        unharmed = len(run.moments) <= step
        outcomes.append((run.code, found))
        opened |= {one.target for one in run.moments if one.call.startswith("open")}
    codes = {code for code, _ in outcomes}
    # Where a program of ours is killed, and not we, it is an error.
    assert codes == {0, -signal.SIGKILL, *([1] if kind == "sops" and start else [])}
    assert outcomes[-1] == (0, NEW)
    # It was killed before the file was there, and after.
    assert {found for code, found in outcomes if code == -signal.SIGKILL} == {start, NEW}
    # Each call that can be seen to change a file was one of the moments.
    assert {"mkdir", "openat", "write", "fchmod", "fsync", "rename"} <= {
        one.call for one in run.moments
    }
    # No other file was ever open for writing.
    beside = {path for path in opened if not path.startswith(f"{file(sops).parent}/.KUBECONFIG")}
    assert all(OURS.search(path) for path in beside), beside
    # The next writer took away what the killed ones had left.
    assert [path.name for path in file(sops).parent.iterdir()] == ["KUBECONFIG.yaml"]

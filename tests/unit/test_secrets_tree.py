"""Secret files as what Vault is to have: read, compared and turned into manifests."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyard.secrets.errors import SecretFilesError, SecretsError
from stackyard.secrets.external import Access, manifests
from stackyard.secrets.new import check_new, document
from stackyard.secrets.scalars import check_scalars
from stackyard.secrets.sync import describe, desired, plan, without_removals
from stackyard.secrets.tree import Entry, Place, check_defined_once, read_entries, shared_keys

FILE = """\
vault:
  kv:
    cluster-secret-store:
      secrets:
        GRAFANA: {USER: admin, PORT: 3000, TLS: true}
        DNS:
          TOKEN: hunter2
    empty: {}
sops: {mac: x}
other: 1
"""


def entry(path: str, key: str, value: str = "v", file: str = "f", mount: str = "kv") -> Entry:
    return Entry(Place(mount, path), key, value, file, 1)


def test_a_file() -> None:
    found = read_entries(FILE, "f")
    assert [(str(one.place), one.key, one.value, one.line) for one in found] == [
        ("kv/cluster-secret-store/secrets/GRAFANA", "USER", "admin", 5),
        ("kv/cluster-secret-store/secrets/GRAFANA", "PORT", "3000", 5),
        ("kv/cluster-secret-store/secrets/GRAFANA", "TLS", "true", 5),
        ("kv/cluster-secret-store/secrets/DNS", "TOKEN", "hunter2", 7),
    ]
    assert "hunter2" not in repr(found)
    assert read_entries("talos: {}", "f") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: b: hunter2", "f:1: is not valid YAML"),
        ("", "f:1: is not a mapping"),
        ("vault: hunter2", "f:1: vault must be a mapping of mounts"),
        ("vault:\n  kv: hunter2", "f:2: kv must be a mapping"),
        ("vault:\n  kv:\n    A: hunter2", "f:3: A is a value where only secrets or folders can be"),
        (
            "vault: {kv: {a: {b: {c: d}, E: hunter2}}}",
            "f:1: E is a value where only secrets or folders can be",
        ),
        ("vault: {kv: {a: {A: [hunter2]}}}", "f:1: A of kv/a must be a text: put it in quotes"),
        ("vault: {kv: {a: {A: 1.10}}}", "f:1: A of kv/a must be a text: put it in quotes"),
        ("vault: {kv: {a: {A: null}}}", "f:1: A of kv/a must be a text: put it in quotes"),
        ("vault: {kv: {a: {A: 2020-01-01}}}", "f:1: A of kv/a must be a text: put it in quotes"),
        ("vault: {kv: {a/b: {A: x}}}", "f:1: 'a/b' is no name of a mount"),
        # As a part of a URL these would lead to Vault's other interfaces.
        ("vault:\n  kv:\n    ..: {sys: {A: x}}", "f:3: '..' is no name of a mount"),
        ("vault: {kv: {a: {.: {A: x}}}}", "f:1: '.' is no name of a mount"),
        ("vault: {..: {a: {A: x}}}", "f:1: '..' is no name of a mount"),
        ('vault: {kv: {"a\\nb": {A: x}}}', "f:1: 'a\\nb' is no name of a mount"),
        ("vault: {kv: {a: {'': x}}}", "f:1: '' is no name of a mount"),
    ],
)
def test_files_with_mistakes(text: str, says: str) -> None:
    with pytest.raises(SecretFilesError) as caught:
        read_entries(text, "f")
    assert str(caught.value).startswith(says)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["0123", "yes", "No", "1.10", "1.0", "12:30", "0x1F", "1_000", "+1", "9" * 20, ".inf"]
)
def test_what_yaml_takes_for_something_else(text: str) -> None:
    with pytest.raises(SecretFilesError) as caught:
        check_scalars("a: b\n", f"a: b\nc: {text}\n", "f")
    assert str(caught.value) == (
        "f:2: is no text to YAML and would become another one: put it in quotes"
    )
    check_scalars("a: b\n", f"a: b\nc: '{text}'\n", "f")
    # What SOPS made of it before is no mistake of this edit.
    check_scalars(f"a: {text}\n", f"a: {text}\nc: d\n", "f")


def test_what_yaml_takes_as_it_stands() -> None:
    check_scalars("", "{a: 1, b: true, c: text, d: -5, e: 1e3, f: null, g: ~, <<: {h: 0}}", "f")


def test_a_key_that_two_files_define() -> None:
    first, second = entry("a", "K", file="1"), entry("a", "K", file="2")
    with pytest.raises(SecretFilesError) as caught:
        check_defined_once([second, first, entry("a", "L")])
    assert str(caught.value) == "2:1: K of kv/a is defined in 1:1, too: keep one"
    check_defined_once([first, entry("b", "K")])
    assert shared_keys([first, entry("b", "K", file="2")]) == (
        "2:1: K of kv/b is also a key of kv/a (1:1): they cannot be in one Kubernetes Secret",
    )


def test_the_plan_and_what_stays_without_pruning() -> None:
    wanted = desired([entry("a", "NEW", "1"), entry("a", "OTHER", "2"), entry("b", "SAME")])
    observed: dict[Place, dict[str, Any]] = {
        Place("kv", "a"): {"OTHER": "old", "EXTRA": {"x": 1}},
        Place("kv", "b"): {"SAME": "v"},
        Place("kv", "c"): {"GONE": "x"},
    }
    changes = plan(wanted, observed)
    assert list(describe(changes)) == [
        "+ kv/a NEW", "~ kv/a OTHER", "- kv/a EXTRA", "- kv/c GONE",
    ]  # fmt: skip
    assert [change.after for change in changes] == [{"NEW": "1", "OTHER": "2"}, {}]
    (kept,) = without_removals(changes, observed)
    assert kept.after == {"NEW": "1", "OTHER": "2", "EXTRA": {"x": 1}}
    assert list(describe([kept])) == ["+ kv/a NEW", "~ kv/a OTHER"]


SECRETS = st.dictionaries(
    st.sampled_from([Place("kv", "a"), Place("kv", "b"), Place("x", "a")]),
    st.dictionaries(st.sampled_from("KLM"), st.sampled_from("12"), min_size=1),
)


@given(SECRETS, SECRETS)
def test_a_plan_leads_to_what_is_wanted(
    wanted: dict[Place, dict[str, str]], observed: dict[Place, dict[str, str]]
) -> None:
    changes = plan(wanted, observed)
    after = {**observed, **{change.place: dict(change.after) for change in changes}}
    assert {place: secret for place, secret in after.items() if secret} == wanted
    assert plan(wanted, after) == () or not all(after.values())
    kept = without_removals(changes, observed)
    grown = {**observed, **{change.place: dict(change.after) for change in kept}}
    for place in {*wanted, *observed}:
        assert grown[place] == {**observed.get(place, {}), **wanted.get(place, {})}


def test_manifests() -> None:
    access = Access("https://vault:8200", role="eso", ca="PEM", namespace="team")
    store, secret = manifests([entry("s/B", "TWO"), entry("s/A", "ONE", "hunter2")], access)
    vault = store["spec"]["provider"]["vault"]
    assert (store["apiVersion"], store["kind"]) == (
        "external-secrets.io/v1",
        "ClusterSecretStore",
    )
    assert vault["caBundle"] == base64.b64encode(b"PEM").decode()
    assert (vault["path"], vault["version"], vault["namespace"]) == ("kv", "v2", "team")
    labelled = {"matchLabels": {"cluster-secrets": "true"}}
    assert store["spec"]["conditions"] == [{"namespaceSelector": labelled}]
    assert secret["spec"]["namespaceSelectors"] == [labelled]
    # The fields of the operator's API that are needed, and no other.
    assert store["spec"].keys() == {"conditions", "provider"}
    assert vault.keys() == {"server", "path", "version", "namespace", "caBundle", "auth"}
    assert vault["auth"]["kubernetes"] == {
        "mountPath": "kubernetes",
        "role": "eso",
        "serviceAccountRef": {"name": "external-secrets", "namespace": "external-secrets"},
    }
    assert secret["kind"] == "ClusterExternalSecret"
    assert secret["spec"].keys() == {
        "externalSecretName", "namespaceSelectors", "refreshTime", "externalSecretSpec",
    }  # fmt: skip
    spec: dict[str, Any] = secret["spec"]["externalSecretSpec"]
    assert spec.keys() == {"secretStoreRef", "refreshInterval", "target", "data"}
    assert spec["data"] == [
        {"secretKey": "ONE", "remoteRef": {"key": "s/A", "property": "ONE"}},
        {"secretKey": "TWO", "remoteRef": {"key": "s/B", "property": "TWO"}},
    ]
    assert spec["secretStoreRef"] == {
        "kind": "ClusterSecretStore",
        "name": store["metadata"]["name"],
    }
    assert spec["target"]["name"] == "cluster-secrets"
    assert "hunter2" not in json.dumps([store, secret])


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([], "there is no secret"),
        ([entry("a", "K"), entry("a", "L", mount="x")], "they are in kv and x"),
        ([entry("a", "K"), entry("b", "K")], "K is in kv/a and in kv/b"),
        ([entry("a", "K L")], "f:1: 'K L' of kv/a cannot be a key of a Kubernetes Secret"),
        ([entry("a", "..K")], "f:1: '..K' of kv/a cannot be a key of a Kubernetes Secret"),
    ],
)
def test_manifests_that_cannot_be(entries: list[Entry], says: str) -> None:
    with pytest.raises(SecretsError, match=says):
        manifests(entries, Access("https://vault"))


def test_a_new_file() -> None:
    place = check_new("common/s/GRAFANA", "kv", ["PASSWORD"], [entry("s/GRAFANA", "USER")])
    assert str(place) == "kv/s/GRAFANA"
    (only,) = read_entries(document(place, {"PASSWORD": "a: #b\n"}), "f")
    assert (only.place, only.key, only.value) == (place, "PASSWORD", "a: #b\n")


@pytest.mark.parametrize(
    ("name", "keys", "says"),
    [
        ("GRAFANA", ["K"], "GRAFANA is no name"),
        ("common/../x", ["K"], "is no name"),
        ("/common/x", ["K"], "is no name"),
        ("common/x.yaml", ["K"], "is no name"),
        ("common/x", ["a b"], "the key 'a b' is no name"),
        ("common/x", ["K", "K"], "the key 'K' is no name, or comes twice"),
        ("common/a", ["K"], "K of kv/a is defined in f:1 already"),
    ],
)
def test_a_new_file_that_cannot_be(name: str, keys: list[str], says: str) -> None:
    with pytest.raises(SecretsError) as caught:
        check_new(name, "kv", keys, [entry("a", "K")])
    assert says in str(caught.value)

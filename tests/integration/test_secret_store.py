"""A document in a Kubernetes Secret, through the real kubectl."""

import base64
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_proxy import Certificate
from kube_api import KubeApi, kube_api, kubeconfig_of

from stackyard.kubeconfig import dump
from stackyard.stores import Conflict, StoreError, open_store, update
from stackyard.stores.protocol import UnavailableError

PLACE = "/api/v1/namespaces/default/secrets/kubeconfigs"


@pytest.fixture
def api(lab_certificate: Certificate) -> Iterator[KubeApi]:
    with kube_api(lab_certificate) as running:
        yield running


@pytest.fixture
def environ(api: KubeApi, lab_certificate: Certificate, tmp_path: Path) -> dict[str, str]:
    config = tmp_path / "config"
    config.write_text(dump(kubeconfig_of(api, lab_certificate)))
    path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    return {"KUBECONFIG": str(config), "PATH": path, "HOME": str(tmp_path), "NO_PROXY": "*"}


def add(text: str | None) -> str:
    return f"{text or ''}mine "


def test_other_keys_stay_and_rivals_conflict(api: KubeApi, environ: dict[str, str]) -> None:
    store = open_store("k8s:default/kubeconfigs", environ)
    found = store.read()
    assert found.document is None
    other = open_store("k8s:default/kubeconfigs#other", environ)
    assert update(other, lambda _: "theirs")
    with pytest.raises(Conflict):
        store.write("late", found.version)
    stale = store.read()
    assert update(store, add)
    with pytest.raises(Conflict):
        other.write("late", stale.version)
    data = {key: base64.b64decode(value) for key, value in api.secrets[PLACE]["data"].items()}
    assert data == {"other": b"theirs", "kubeconfigs": b"mine "}
    assert not update(store, lambda text: text)
    assert api.versions == 2


def test_a_write_whose_answer_is_lost_happens_once(api: KubeApi, environ: dict[str, str]) -> None:
    store = open_store("k8s:default/kubeconfigs", environ)
    for written in ("mine ", "mine mine "):
        api.cuts_after_write = 1
        assert update(store, add)
        assert store.read().document == written


def test_a_write_that_is_cut_is_asked_again(
    api: KubeApi, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store("k8s:default/kubeconfigs", environ)
    for written in ("mine ", "mine mine "):
        api.cuts_before_write = 2
        assert update(store, add)
        assert store.read().document == written
    assert api.versions == 2
    found = store.read()
    monkeypatch.setattr("stackyard.stores.secret.DEADLINE_SECONDS", 0.1)
    api.cuts_before_write = 1000
    with pytest.raises(UnavailableError, match="it may or may not be written: run it again"):
        store.write("mine", found.version)
    assert store.read() == found


def test_a_lost_answer_and_a_rival_is_not_done_twice(api: KubeApi, environ: dict[str, str]) -> None:
    store = open_store("k8s:default/kubeconfigs", environ)

    def rival() -> None:
        secret = api.secrets[PLACE]
        secret["data"]["kubeconfigs"] = base64.b64encode(b"mine rival ").decode()
        secret["metadata"]["resourceVersion"] = "1000"

    api.cuts_after_write, api.meanwhile = 1, rival
    with pytest.raises(UnavailableError, match="it may or may not be written: run it again"):
        update(store, add)
    assert store.read().document == "mine rival "


def test_what_goes_wrong_is_one_sentence(api: KubeApi, environ: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="Secret other/x: there is no such namespace"):
        update(open_store("k8s:other/x", environ), add)
    store = open_store("k8s:default/kubeconfigs", environ)
    for status, says in ((401, "the login is wrong"), (403, "this login may not do that")):
        api.status = status
        with pytest.raises(StoreError, match=says):
            store.read()
    api.status = 0
    api.secrets[PLACE] = {
        "kind": "Secret",
        "metadata": {"resourceVersion": "1"},
        "data": {"kubeconfigs": "/w=="},
    }
    with pytest.raises(StoreError, match="the key kubeconfigs is not a text"):
        store.read()


def test_what_is_no_kubernetes_is_never_empty(api: KubeApi, environ: dict[str, str]) -> None:
    store = open_store("k8s:default/kubeconfigs", environ)
    api.page = "<html>Please log in</html>"
    for api.status in (200, 302, 404):
        with pytest.raises(StoreError, match="what answers there is no Kubernetes"):
            update(store, add)
    api.page, api.status = "", 0
    api.secrets[PLACE] = {"kind": "Secret", "metadata": {}, "data": {}}
    with pytest.raises(StoreError, match="what answers there is no Kubernetes"):
        update(store, add)


def test_a_cluster_that_is_down(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = Path(environ["KUBECONFIG"])
    text = config.read_text()
    config.write_text(text.replace(text.split("server: ")[1].split()[0], "https://127.0.0.1:1"))
    monkeypatch.setattr("stackyard.stores.secret.DEADLINE_SECONDS", 0.1)
    with pytest.raises(UnavailableError, match="no answer, is the cluster running"):
        open_store("k8s:default/x", environ).read()

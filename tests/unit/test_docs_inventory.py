"""What docs/inventory.md and docs/awx.md show is true: examples run, names exist."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackyard.fleet import load_fleet, site
from stackyard.proxmox.settings import Settings
from stackyard.stores.vaultsettings import VaultSettings

ROOT = Path(__file__).parents[2]
TOWERS_FILE = "{{ tower.filename }}"  # where AWX puts what a credential's file injector makes


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_nornir_example_runs() -> None:
    (example,) = blocks("inventory.md", "python")
    assert len([line for line in example.splitlines() if line]) <= 10
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "k8s-home 192.168.1.16 suporte home" in done.stdout.splitlines()


def test_the_site_of_the_example_is_right(tmp_path: Path) -> None:
    (text,) = [block for block in blocks("inventory.md", "yaml") if "networks:" in block]
    for folder in ("vms", "inventory"):
        (tmp_path / folder).mkdir()
    (tmp_path / "inventory" / "site.yml").write_text(text)
    (tmp_path / "vms" / "a.yaml").write_text("name: a\ntarget_node: node01\n")
    assert load_fleet(tmp_path).site.cluster_networks[0].cluster == "prod"
    assert set(yaml.safe_load(text)) == set(site.KEYS)


def test_the_credential_type_sets_what_is_read() -> None:
    *_sources, fields, injectors, authority, _, _ = map(yaml.safe_load, blocks("awx.md", "yaml"))
    known = {field["id"] for field in fields["fields"]}
    used = {name for text in injectors["env"].values() for name in re.findall(r"\w+", text)}
    assert used == known == set(fields["required"])
    given = {name: text.strip("{} ") for name, text in injectors["env"].items()}
    values = {"url": "https://node:8006", "user": "awx@pve", "fingerprint": "ab" * 32}
    settings = Settings.from_environment(
        {name: values.get(field, "x") for name, field in given.items()}
    )
    assert (settings.user, settings.token_id, settings.fingerprint) == ("awx@pve", "x", "ab" * 32)
    assert list(authority["env"]) == ["PROXMOX_CA"]


def test_the_credential_type_for_vault_sets_what_is_read() -> None:
    fields, injectors = map(yaml.safe_load, blocks("awx.md", "yaml")[-2:])
    known = {f"{{{{ {field['id']} }}}}" for field in fields["fields"]}
    assert known == {*injectors["file"].values(), *injectors["env"].values()} - {TOWERS_FILE}
    values = {"{{ address }}": "https://vault:8200", "{{ token }}": "x", TOWERS_FILE: "/ca.pem"}
    settings = VaultSettings.from_environment(
        {name: values[text] for name, text in injectors["env"].items()}
    )
    assert settings == VaultSettings("https://vault:8200", "x", "/ca.pem")


def test_the_execution_environment_asks_for_what_the_package_does() -> None:
    document: Any = yaml.safe_load((ROOT / "execution-environment.yml").read_text())
    wanted = set(document["dependencies"]["python"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert wanted <= set(project["dependencies"])
    for name in ("system", "galaxy"):
        assert (ROOT / document["dependencies"][name]).is_file()


# Of the plugin of community.proxmox 2.0.0, with those of its fragments.
PEERS_OPTIONS = (
    *("plugin", "url", "user", "password", "token_id", "token_secret", "validate_certs"),
    *("group_prefix", "facts_prefix", "want_facts", "want_post_filter_facts", "filters"),
    *("want_proxmox_nodes_ansible_host", "exclude_nodes", "qemu_extended_statuses"),
    *("compose", "groups", "keyed_groups", "strict", "use_extra_vars", "leading_separator"),
)


@pytest.mark.parametrize("option", PEERS_OPTIONS)
def test_the_migration_table_has_every_option(option: str) -> None:
    page = (ROOT / "docs" / "inventory.md").read_text()
    table = page.partition("## From community.proxmox")[2].partition("\n## ")[0]
    left = [row.split(" | ")[0] for row in table.splitlines() if row.startswith("| `")]
    assert any(re.search(rf"`{option}[`:]", cell) for cell in left)

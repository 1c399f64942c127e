"""Ansible's view of the VM definitions: thin, all of it is `stackyard.inventory`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable

try:
    import stackyard  # noqa: F401
except ImportError:
    # A stock AWX has no such package; the checkout or collection that this file is in has.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stackyard.definitions.load import load_vms
from stackyard.errors import StackyardError
from stackyard.inventory import Inventory, build_inventory

DOCUMENTATION = r"""
name: vms
short_description: Hosts and groups from stackyard's VM definitions
description:
  - Reads the YAML VM definitions of a site and makes hosts, groups and variables from them.
  - Needs no network and no credentials, and nothing but ansible-core.
  - A mistake in any definition fails the whole source and names each mistake with file and line.
extends_documentation_fragment: [constructed]
options:
  plugin:
    description: Marks the file as a source of this plugin.
    required: true
    choices: [vms, fullstack.stackyard.vms]
  vms:
    description: The folder of the definitions, relative to the source file.
    type: str
    default: ../vms
  known_hosts:
    description:
      - The file of pinned host keys, relative to the source file.
      - The environment variable E(STACKYARD_KNOWN_HOSTS) replaces it.
    type: str
    default: known_hosts
"""

EXAMPLES = r"""
---
# inventory/vms.yml
plugin: vms

---
# From an installed collection, with groups of one's own
plugin: fullstack.stackyard.vms
keyed_groups:
  - key: stackyard_definition.memory_mib
    prefix: memory
"""


class InventoryModule(BaseInventoryPlugin, Constructable):
    """The inventory plugin `vms`."""

    NAME = "fullstack.stackyard.vms"

    def verify_file(self, path: str) -> bool:
        """Take YAML files only; what they say is checked when they are parsed."""
        return super().verify_file(path) and path.endswith((".yml", ".yaml"))

    def parse(self, inventory, loader, path, cache=True) -> None:
        """Fill Ansible's inventory.

        Raises:
            AnsibleParserError: with every mistake of the definitions.
        """
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        folder = Path(path).resolve().parent
        known_hosts = os.environ.get("STACKYARD_KNOWN_HOSTS") or self.get_option("known_hosts")
        try:
            definitions = load_vms(folder / self.get_option("vms"))
            desired = build_inventory(definitions, folder / known_hosts)
        except StackyardError as error:
            raise AnsibleParserError(f"{path}: {error}") from error
        self._fill(desired)

    def _fill(self, desired: Inventory) -> None:
        for name, value in desired.variables.items():
            self.inventory.set_variable("all", name, value)
        for group in desired.groups.values():
            self.inventory.add_group(group.name)
            for name, value in (group.variables or {}).items():
                self.inventory.set_variable(group.name, name, value)
        for group in desired.groups.values():
            for child in group.children:
                self.inventory.add_child(group.name, child)
        strict = self.get_option("strict")
        for host in desired.hosts.values():
            self.inventory.add_host(host.name)
            for name, value in host.variables.items():
                self.inventory.set_variable(host.name, name, value)
            for group_name in host.groups:
                self.inventory.add_child(group_name, host.name)
            variables = self.inventory.get_host(host.name).get_vars()
            self._set_composite_vars(self.get_option("compose"), variables, host.name, strict)
            self._add_host_to_composed_groups(
                self.get_option("groups"), variables, host.name, strict
            )
            self._add_host_to_keyed_groups(
                self.get_option("keyed_groups"), variables, host.name, strict
            )

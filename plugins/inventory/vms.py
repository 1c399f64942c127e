"""Ansible's view of the VM definitions: thin, all of it is the package `stackyard`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core 2.18, where every text is a template but for the wrapped ones
    from ansible.utils.unsafe_proxy import wrap_var as as_data

    def as_text(text):
        """Return a text without a template in it as it is."""
        return text

else:
    as_text = trust_as_template

    def as_data(text):
        """Return a text as it is: without trust no text is a template."""
        return text


try:
    import stackyard  # noqa: F401
except ImportError:
    # A stock AWX has no such package; the checkout or collection that this file is in has.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stackyard.definitions.load import load_vms
from stackyard.errors import StackyardError
from stackyard.inventory import Inventory, build_inventory
from stackyard.inventory.document import digest, from_json, to_json

DOCUMENTATION = r"""
name: vms
short_description: Hosts and groups from stackyard's VM definitions
version_added: 0.1.0
author:
  - The stackyard authors
description:
  - Reads the YAML VM definitions of a site and makes hosts, groups and variables from them.
  - Needs no network and no credentials, and nothing but ansible-core.
  - A mistake in any definition fails the whole source and names each mistake with file and line.
  - What a definition says is data. A template in it is never evaluated.
  - >-
    Groups are made for roles (V(k3s), V(kubeadm_control_plane), V(haproxy_servers) and so on),
    clusters (V(cluster_NAME), with V(cluster_NAME_control_plane) and V(cluster_NAME_workers)),
    nodes (V(node_NAME)), tags (V(tag_NAME)), wanted power states (V(state_running),
    V(state_stopped)), VMs that are not managed (V(unmanaged)), and those a definition names.
  - >-
    Every host has C(stackyard_definition), and C(ansible_host) and C(ansible_user) where the
    definition has an address and a user. A cluster's group has C(cluster_name),
    C(cluster_members) and C(cluster_endpoint).
extends_documentation_fragment: [constructed, inventory_cache]
options:
  plugin:
    description: Marks the file as a source of this plugin.
    type: str
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
  filters:
    description:
      - Jinja expressions over a host's variables; a host that fails one of them is left out.
      - >-
        An expression that cannot be evaluated is an error with O(strict=true), and otherwise a
        warning, and the host stays.
    type: list
    elements: str
    default: []
  verify:
    description:
      - >-
        V(proxmox) asks Proxmox what is really there. Every host gets C(stackyard_observed) with
        C(status), C(vmid), C(node), C(tags), C(pool) and the guest agent's C(addresses), and the
        group V(observed_running), V(observed_stopped) or V(observed_absent). Hosts without a fixed
        address get their C(ansible_host) from the agent.
      - >-
        Needs the Python packages netaddr, proxmoxer and requests, and the environment variables
        E(PROXMOX_URL), E(PROXMOX_USER), E(PROXMOX_TOKEN_ID) and E(PROXMOX_TOKEN_SECRET) (or
        E(PROXMOX_PASSWORD)), and E(PROXMOX_CA) or E(PROXMOX_FINGERPRINT).
      - >-
        A Proxmox that does not answer is a warning, and the inventory is what the definitions say;
        with O(strict=true) it is an error. Refused credentials are always an error.
    type: str
    choices: [proxmox]
  include_tags:
    description:
      - With O(verify=proxmox), VMs that no definition knows are hosts too if they have such a tag.
      - They are in the group V(unmanaged), and in those of their node, tags and pool.
    type: list
    elements: str
    default: []
  include_pools:
    description: The same for VMs in one of these pools.
    type: list
    elements: str
    default: []
  cache:
    description:
      - >-
        Keep the inventory in a cache plugin. What was made from definitions is taken from the cache
        only while every byte of them is the same, whatever O(cache_timeout) says. What Proxmox
        answered is taken from it for as long as that says.
"""

EXAMPLES = r"""
---
# inventory/vms.yml, all that is needed
plugin: vms

---
# From an installed collection, with groups of one's own
plugin: fullstack.stackyard.vms
strict: true
keyed_groups:
  - key: stackyard_definition.memory_mib
    prefix: memory
groups:
  databases: inventory_hostname.startswith('postgres')
compose:
  backup_day: "'sunday' if stackyard_definition.onboot else 'monday'"

---
# What is really there, DHCP addresses and machines of others included
plugin: vms
verify: proxmox
include_tags: [legacy]
include_pools: [lab]
filters:
  - stackyard_observed.status == 'running'

---
# Only what runs on one node, and a cache for ten thousand definitions
plugin: vms
filters:
  - stackyard_definition.target_node == 'node03'
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/stackyard
"""

TEMPLATE_MARKS = ("{{", "{%", "{#")
OVERRIDE = "#jinja2:"


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
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
            vms = (folder / self.get_option("vms")).resolve()
            made = self._desired(vms, folder / known_hosts, cache)
            if self.get_option("verify"):
                made = self._verified(made, path, cache)
        except StackyardError as error:
            raise AnsibleParserError(f"{path}: {error}") from error
        self._fill(made)
        self._refuse_clashes(path)

    def _desired(self, vms: Path, known_hosts: Path, cache: bool) -> Inventory:
        """Read the definitions, or take what the cache made of the very same ones."""
        if not self.get_option("cache"):
            return build_inventory(load_vms(vms), known_hosts)
        key, of = self.get_cache_key(f"{vms}\0{known_hosts}"), digest(vms, known_hosts)
        kept = self._cache.get(key) if cache else None
        if kept and of and kept.get("digest") == of:
            return from_json(str(kept["inventory"]))
        made = build_inventory(load_vms(vms), known_hosts)
        # Read again: a file that changed meanwhile must not be kept under its old digest.
        if of and of == digest(vms, known_hosts):
            self._keep(key, of, made)
        return made

    def _keep(self, key: str, of: str, made: Inventory) -> None:
        try:
            self._cache[key] = {"digest": of, "inventory": to_json(made)}
        except TypeError as error:
            self.display.vv(f"the inventory is not cached, for a variable is no JSON: {error}")

    def _verified(self, desired: Inventory, path: str, cache: bool) -> Inventory:
        """Lay over the inventory what Proxmox says, or said a moment ago."""
        try:
            from stackyard.proxmox import live
        except ImportError as error:
            raise AnsibleParserError(
                f"{path}: verify: proxmox needs the Python packages netaddr, proxmoxer and requests"
                f" ({error})"
            ) from error
        options = (self.get_option("include_tags"), self.get_option("include_pools"))
        wanted = live.wanted(desired, *options)
        key, of = self.get_cache_key(f"{path}\0proxmox"), live.digest(wanted, os.environ)
        caching = self.get_option("cache")
        kept = self._cache.get(key) if caching and cache else None
        if kept and (facts := live.from_json(str(kept), of)):
            return live.overlay(desired, facts.vms)
        try:
            facts = live.ask(wanted, os.environ)
        except live.UnavailableError as error:
            if self.get_option("strict"):
                raise
            self.display.warning(f"{path}: {error}; the inventory is what the definitions say")
            return desired
        for note in facts.notes:
            self.display.warning(f"{path}: {note}")
        if caching:
            self._cache[key] = live.to_json(facts, of)
        return live.overlay(desired, facts.vms)

    def _fill(self, desired: Inventory) -> None:
        known: dict[str, str] = {}
        self._set("all", desired.variables, known)
        for group in desired.groups.values():
            self.inventory.add_group(group.name)
            self._set(group.name, group.variables or {}, known)
        for group in desired.groups.values():
            for child in group.children:
                self.inventory.add_child(group.name, child)
        for host in desired.hosts.values():
            if self._wanted(host):
                self.inventory.add_host(host.name)
                self._set(host.name, host.variables, known)
                for group_name in host.groups:
                    self.inventory.add_child(group_name, host.name)
                self._construct(host.name)

    def _set(self, entity: str, variables: dict, known: dict[str, str]) -> None:
        for name, value in variables.items():
            self.inventory.set_variable(entity, name, _marked(value, known))

    def _wanted(self, host) -> bool:
        named = {"inventory_hostname": host.name, "group_names": list(host.groups)}
        given = named | dict(host.variables)
        for expression in self.get_option("filters"):
            try:
                if not self._compose(expression, given):
                    return False
            except Exception as error:  # Jinja raises whatever the expression does
                sentence = f"the filter {expression} fails for the host {host.name}: {error}"
                if self.get_option("strict"):
                    raise AnsibleParserError(sentence) from error
                self.display.warning(sentence)
        return True

    def _construct(self, name: str) -> None:
        given = [self.get_option(option) for option in ("compose", "groups", "keyed_groups")]
        if not any(given):
            return
        compose, groups, keyed_groups = given
        strict = self.get_option("strict")
        variables = self.inventory.get_host(name).get_vars()
        self._set_composite_vars(compose, variables, name, strict)
        self._add_host_to_composed_groups(groups, variables, name, strict)
        self._add_host_to_keyed_groups(keyed_groups, variables, name, strict)

    def _refuse_clashes(self, path: str) -> None:
        """Refuse what `groups` and `keyed_groups` may have made; Ansible itself only warns."""
        for name in self.inventory.groups.keys() & self.inventory.hosts.keys():
            raise AnsibleParserError(
                f"{path}: a group is named like the host {name}: give keyed_groups a prefix, or"
                " rename the group"
            )


def _marked(value, known: dict[str, str]):
    """Return a value with its texts marked: as data where they look like templates."""
    if isinstance(value, str):
        if value not in known:
            known[value] = _marked_text(value)
        return known[value]
    if isinstance(value, dict):
        return {key: _marked(item, known) for key, item in value.items()}
    return [_marked(item, known) for item in value] if isinstance(value, list) else value


def _marked_text(text: str) -> str:
    if text.startswith(OVERRIDE) or any(mark in text for mark in TEMPLATE_MARKS):
        return as_data(text)
    return as_text(text)

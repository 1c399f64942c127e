"""Ansible's view of the VM definitions: thin, all of it is the package `stackyard`."""

from __future__ import annotations

import difflib
import gc
import hashlib
import json
import os
import sys
from contextlib import contextmanager
from functools import cache
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


# The package beside this file, of the same checkout or collection, and none that is only called so.
if Path(__file__).resolve().parents[2].joinpath("stackyard", "inventory").is_dir():
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stackyard.definitions.files import read_files
from stackyard.definitions.load import load_vms
from stackyard.errors import StackyardError
from stackyard.inventory import Inventory, build_inventory
from stackyard.inventory.document import digest, from_json, to_json
from stackyard.inventory.narrow import narrow
from stackyard.inventory.templates import is_template, with_texts
from stackyard.inventory.view import groups_over, parents_of

DOCUMENTATION = r"""
name: vms
short_description: Hosts and groups from stackyard's VM definitions
version_added: 0.1.0
author:
  - The stackyard authors
description:
  - Reads the YAML VM definitions of a site and makes hosts, groups and variables from them.
  - >-
    Needs no network and no credentials, and nothing but ansible-core. With O(verify=proxmox) it
    also asks Proxmox what runs and at which addresses.
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
  - >-
    C(stackyard_definition) has what the VM's file and the defaults give, and each device as one
    text under its slot (V(scsi0), V(net0), V(ipconfig0)). What neither gives is absent.
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
      - The environment variable E(STACKYARD_KNOWN_HOSTS) replaces it, relative to the same.
    type: str
    default: known_hosts
  verify:
    description:
      - >-
        V(proxmox) adds to the definitions what Proxmox knows. Hosts get C(proxmox_status)
        (V(running), V(stopped), V(absent) for a VM that is not there, V(unknown) where its node
        does not answer), and those that are there C(proxmox_vmid), C(proxmox_node),
        C(proxmox_name), C(proxmox_vmtype), C(proxmox_template), C(proxmox_tags),
        C(proxmox_tags_parsed), C(proxmox_pool), C(proxmox_lock), and from the guest agent
        C(proxmox_agent_interfaces) and C(proxmox_addresses).
      - >-
        A host without an address in its definition gets the first of C(proxmox_addresses) as
        C(ansible_host). Groups are V(power_STATUS) and V(pool_NAME).
      - >-
        Where Proxmox is, who asks and who is trusted stands in the environment variables
        E(PROXMOX_URL), E(PROXMOX_USER), E(PROXMOX_TOKEN_ID) and E(PROXMOX_TOKEN_SECRET), or
        E(PROXMOX_PASSWORD), and E(PROXMOX_CA) or E(PROXMOX_FINGERPRINT). The token needs the
        privileges C(VM.Audit) and C(VM.GuestAgent.Audit) (C(VM.Monitor) before Proxmox VE 9).
      - >-
        A Proxmox that does not answer is a warning, and the definitions alone make the inventory;
        with O(strict=true) it is an error, and so are VMs without a definition that are left out
        because their node does not answer, or the token sees no VM. Missing settings, refused
        credentials and a certificate that is not trusted are always errors.
      - Needs the Python packages C(proxmoxer) and C(urllib3).
    type: str
    choices: [proxmox]
  include_tags:
    description:
      - >-
        With O(verify=proxmox), VMs without a definition are hosts too if they have one of these
        tags. Templates are not. There may be no definition at all then. Such hosts are in
        V(unmanaged), V(node_NAME), V(tag_NAME), V(power_STATUS) and V(pool_NAME).
    type: list
    elements: str
    default: []
  include_pools:
    description: The same as O(include_tags), for the VMs in these resource pools.
    type: list
    elements: str
    default: []
  filters:
    description:
      - >-
        Jinja expressions over a host's variables; a host that fails one of them is left out, of
        C(cluster_members) too, and C(cluster_endpoint) is the first control plane's that is left.
        That none is left is an error.
      - >-
        An expression that cannot be evaluated is an error with O(strict=true), and otherwise a
        warning, and the host stays.
    type: list
    elements: str
    default: []
  cache:
    description:
      - >-
        Keep the inventory in a cache plugin. What was made from definitions is taken from the cache
        only while every byte of them is the same, whatever O(cache_timeout) says.
      - >-
        What Proxmox said with O(verify=proxmox) is taken from the cache for O(cache_timeout)
        seconds, as long as O(include_tags) and O(include_pools) are the same, and the hosts with
        what of their definitions decides which VM is theirs and what it is asked. An answer with
        a warning is not kept.
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
  - key: stackyard_definition.clone | default('nothing')
    prefix: made_from
groups:
  databases: inventory_hostname.startswith('postgres')
compose:
  backup_day: "'sunday' if stackyard_definition.onboot | default(true) else 'monday'"

---
# Only what runs on one node, and a cache for ten thousand definitions
plugin: vms
filters:
  - stackyard_definition.target_node == 'node03'
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/stackyard

---
# What runs now, with leased addresses, and the VMs of a pool that no definition has
plugin: vms
verify: proxmox
include_pools: [legacy]
filters:
  - proxmox_status == 'running'
keyed_groups:
  - key: proxmox_node
    prefix: at
"""


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """The inventory plugin `vms`."""

    NAME = "fullstack.stackyard.vms"

    def verify_file(self, path: str) -> bool:
        """Take YAML files only; what they say is checked when they are parsed."""
        return super().verify_file(path) and path.endswith((".yml", ".yaml"))

    def parse(self, inventory, loader, path, cache=True) -> None:
        """Fill Ansible's inventory.

        Raises:
            AnsibleParserError: with every mistake of the definitions, or one of the source.
        """
        super().parse(inventory, loader, path, cache)
        with _made_to_stay():
            self._parse(path, cache)

    def _parse(self, path: str, cache: bool) -> None:
        # A source may have either, by whichever of them Ansible found the plugin.
        self._redirected_names = ["vms", self.NAME]
        self._refuse_unknown(self._read_config_data(path), path)
        try:
            desired = self._made(path, cache)
        except StackyardError as error:
            # Without its cause, which Ansible would tell after it: the same once more.
            raise AnsibleParserError(f"{path}: {error}") from None
        if filters := self._texts("filters", path):
            if not (wanted := self._wanted(desired, filters)):
                raise AnsibleParserError(f"{path}: there is no host: filters leave out all of them")
            desired = narrow(desired, wanted)
        hosts, groups = set(self.inventory.hosts), set(self.inventory.groups)
        try:
            self._fill(desired)
            self._refuse_clashes(path, desired)
        except Exception:
            self._take_back(hosts, groups)
            raise
        self._set("all", desired.variables)  # last, for it cannot be taken back

    def _made(self, path: str, cache: bool) -> Inventory:
        """Make the inventory, with what Proxmox knows of it where that is asked for."""
        folder = Path(path).resolve().parent
        known_hosts = os.environ.get("STACKYARD_KNOWN_HOSTS") or self.get_option("known_hosts")
        # Not resolved: a link that leads out of the site is a mistake.
        vms = Path(os.path.normpath(folder / self.get_option("vms")))
        desired = self._desired(vms, folder / known_hosts, cache)
        if self.get_option("verify"):
            desired = self._observed(desired, path, cache)
        elif self._includes_others():
            raise AnsibleParserError(f"{path}: include_tags and include_pools need verify: proxmox")
        if not desired.hosts:  # AWX would delete all that it has
            raise AnsibleParserError(
                f"{path}: there is no host: {vms} has no definition, and no VM in Proxmox was taken"
                " by include_tags or include_pools"
            )
        return desired

    def _includes_others(self) -> bool:
        """Tell whether VMs without a definition may be hosts."""
        return bool(self.get_option("include_tags") or self.get_option("include_pools"))

    def _take_back(self, hosts: set, groups: set) -> None:
        """Remove what was not there before: another source may be good, and be used."""
        for name in self.inventory.hosts.keys() - hosts:
            self.inventory.remove_host(self.inventory.hosts[name])
        for name in self.inventory.groups.keys() - groups:
            self.inventory.remove_group(self.inventory.groups[name])

    def _refuse_unknown(self, given: dict, path: str) -> None:
        """Refuse an option that there is not; Ansible itself would pass it over."""
        for name in map(str, given.keys() - self.option_definitions.keys()):
            near = difflib.get_close_matches(name, self.option_definitions, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise AnsibleParserError(f"{path}: there is no option {name}{hint}")

    def _desired(self, vms: Path, known_hosts: Path, cache: bool) -> Inventory:
        """Make the inventory of the definitions, or take what the cache made of the very same ones.

        There may be none where Proxmox is asked for VMs without one.
        """
        files = read_files(vms)
        key, of = self.get_cache_key(f"{vms}\0{known_hosts}"), None
        if self.get_option("cache"):
            of = digest(files, known_hosts)
            kept = self._taken(key) if cache else None
            if kept and of and kept.get("digest") == of:
                return from_json(str(kept["inventory"]))
        definitions = load_vms(files, allow_empty=self._includes_others())
        made = build_inventory(definitions, known_hosts)
        if of:
            self._cache[key] = {"digest": of, "inventory": to_json(made)}
        return made

    def _observed(self, desired: Inventory, path: str, cache: bool) -> Inventory:
        """Lay what Proxmox knows over the definitions; only here a network is needed."""
        try:
            from stackyard.proxmox import errors, live, overlay
        except ImportError as error:
            raise AnsibleParserError(
                f"{path}: verify: proxmox needs the Python package {error.name}: add it to the"
                " execution environment, or to Ansible's own"
            ) from error
        tags = frozenset(tag.lower() for tag in self._texts("include_tags", path))
        include = overlay.Include(tags, frozenset(self._texts("include_pools", path)))
        kept = self._kept_facts(desired, include, path) if cache else None
        try:
            answer = self._fresh(desired, include, path) if kept is None else live.Live(kept)
        except errors.ProxmoxError as error:
            if self.get_option("strict") or not live.is_down(error):
                raise
            self.display.warning(f"{path}: {error}; hosts come from the definitions alone")
            return desired
        return overlay.lay_over(desired, answer.facts, answer.unsure)

    def _texts(self, option: str, path: str) -> list:
        """Return the texts of an option; Ansible takes anything for one.

        A number would be the tag of nobody, and a filter with `: ` in it, a mapping then, be true.
        """
        given = self.get_option(option) or []
        for item in given:
            if not isinstance(item, str):
                raise AnsibleParserError(f"{path}: {item} in {option} is no text: put it in quotes")
        return given

    def _kept_facts(self, desired: Inventory, include, path: str):
        """Return what the cache has of the same question to Proxmox; None where it has nothing."""
        from stackyard.proxmox.facts import from_json

        kept = self._taken(self._facts_key(path)) if self.get_option("cache") else None
        is_answer = kept and kept.get("question") == _question(desired, include)
        return from_json(str(kept["facts"])) if is_answer else None

    def _fresh(self, desired: Inventory, include, path: str):
        from stackyard.proxmox.facts import to_json
        from stackyard.proxmox.live import read_live

        answer = read_live(os.environ, desired, include)
        if answer.missing and self.get_option("strict"):  # AWX would delete them
            raise AnsibleParserError(f"{path}: {'; '.join(answer.missing)}")
        warnings = (*answer.warnings, *answer.missing)
        for warning in warnings:
            self.display.warning(f"{path}: {warning}")
        # Half an answer is not kept: it would be given again, without its warnings.
        if self.get_option("cache") and not warnings:
            kept = {"question": _question(desired, include), "facts": to_json(answer.facts)}
            self._cache[self._facts_key(path)] = kept
        return answer

    def _taken(self, key: str):
        """Return what the cache has, out of what Ansible writes back as soon as any of it changes.

        What is written is as young as its file, and would be given again for longer than it may.
        """
        kept = self._cache.get(key)
        self._cache.pop(key, None)
        return kept

    def _facts_key(self, path: str) -> str:
        return self.get_cache_key(f"{path}\0proxmox")

    def _fill(self, desired: Inventory) -> None:
        for group in desired.groups.values():
            self.inventory.add_group(group.name)
            self._set(group.name, group.variables or {})
        for group in desired.groups.values():
            for child in group.children:
                self.inventory.add_child(group.name, child)
        constructed = [self.get_option(name) for name in ("compose", "groups", "keyed_groups")]
        for host in desired.hosts.values():
            variables = with_texts(dict(host.variables), _marked)
            self._add(host, variables)
            if any(constructed):
                self._construct(host.name, *constructed)

    def _set(self, entity: str, variables: dict) -> None:
        for name, value in variables.items():
            self.inventory.set_variable(entity, name, with_texts(value, _marked))

    def _add(self, host, variables: dict) -> None:
        self.inventory.add_host(host.name)
        added = self.inventory.get_host(host.name)
        for name, value in variables.items():
            # The inventory's own set_variable would copy and tag each value in it once more, which
            # is a quarter of the time that ten thousand hosts take.
            added.set_variable(name, value)
        for group_name in host.groups:
            self.inventory.add_child(group_name, host.name)

    def _wanted(self, desired: Inventory, filters: list) -> set:
        """Return the names of the hosts that pass all filters."""
        parents = parents_of(desired)
        return {
            host.name
            for host in desired.hosts.values()
            if self._passes(host, dict(host.variables), groups_over(host, parents), filters)
        }

    def _passes(self, host, variables: dict, groups, filters: list) -> bool:
        named = {"inventory_hostname": host.name, "group_names": sorted(groups)}
        given = named | with_texts(variables, _marked)
        for expression in filters:
            try:
                # As it is, ansible-core 2.18 would make a text of the number 0, which is true.
                if not self._compose(as_text(f"true if ({expression}) else false"), given):
                    return False
            except Exception as error:  # Jinja raises whatever the expression does
                sentence = f"the filter {expression} fails for the host {host.name}: {error}"
                if self.get_option("strict"):
                    raise AnsibleParserError(sentence) from error
                self.display.warning(sentence)
        return True

    def _construct(self, name: str, compose: dict, groups: dict, keyed_groups: list) -> None:
        strict = self.get_option("strict")
        variables = self.inventory.get_host(name).get_vars()
        self._set_composite_vars(compose, variables, name, strict)
        self._add_host_to_composed_groups(groups, variables, name, strict)
        self._add_host_to_keyed_groups(keyed_groups, variables, name, strict)

    def _refuse_clashes(self, path: str, desired: Inventory) -> None:
        """Refuse what `groups` and `keyed_groups` may have made; Ansible itself only warns.

        Names that other sources alone give to both, and to none of our hosts, are theirs to answer
        for.
        """
        for name in self.inventory.groups.keys() & self.inventory.hosts.keys():
            members = {host.name for host in self.inventory.groups[name].get_hosts()}
            if not desired.hosts.keys() & {name, *members} and name not in desired.groups:
                continue
            raise AnsibleParserError(
                f"{path}: a group is named like the host {name}: give keyed_groups a prefix, or"
                " rename the group"
            )


@contextmanager
def _made_to_stay():
    """Keep Python from looking for garbage among the hosts, now and later: they stay to the end.

    That is a twentieth of the time that ten thousand take; and Ansible's workers, which are forked,
    go on sharing their memory. Those that a refresh gave up would stay too, so they go first.
    """
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _question(desired: Inventory, include) -> str:
    """Return a digest of all that decides which VMs Proxmox is asked about, and what."""
    definitions = [[h.name, h.definition] for h in desired.hosts.values()]
    deciding = [
        [name, *(of.get(key) for key in ("managed", "vmid", "agent", "template"))]
        for name, of in sorted(definitions)
    ]
    asked = [
        [os.environ.get(f"PROXMOX_{name}") for name in ("URL", "USER", "TOKEN_ID")],
        [sorted(include.tags), sorted(include.pools), deciding],
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


@cache
def _marked(text: str) -> str:
    """Return a text as Ansible is to take it: as data where it looks like a template."""
    return as_data(text) if is_template(text) else as_text(text)

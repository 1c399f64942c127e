"""The table of keys as the reference in docs/."""

from collections.abc import Iterable, Iterator

from stackyard.definitions.availability import HA
from stackyard.definitions.device_keys import FAMILIES, SERIAL_KEY, Family
from stackyard.definitions.keys import FLAT_DISK_KEYS, NIC_KEYS, REQUIRED, VM_KEYS, Key

SHAPES = (
    ("disks", "Disks as a list, see below."),
    ("nested_disks", "Disks by controller and slot, see below."),
    ("network", "The only network card, see below."),
    ("networks", "Several network cards: net0, net1 …"),
    (
        "ipconfig0",
        "Addresses of net0, as `ip=192.168.1.20/24,gw=192.168.1.1`; to `ipconfig31` of net31.",
    ),
    (SERIAL_KEY.name, SERIAL_KEY.help),
)
VALUES = {
    "keys": "keys",
    "map": "a mapping",
    "switch": "true, false",
    "boolean": "true, false",
    "secret": "`{env: NAME}`, `{vault: MOUNT/PATH#KEY}`",
    "addresses": "IP addresses",
    "number": "a number",
}
INTRODUCTION = """\
# VM definitions

One file a VM in `vms/`, named as you like, ending in `.yaml` or `.yml`. What all VMs share stands
in `vms/_defaults.yaml`; a VM's own key replaces it as a whole, mappings and lists too. `null` is
the same as leaving a key out, but in a VM's own file it also takes back what the defaults say.
This page is made from the table that checks the files (`stackyard schema --markdown`).

`stackyard schema > vms.schema.json` makes a JSON Schema for editors. Those with
yaml-language-server (VS Code, Neovim and others) complete and check a definition whose first line
is `# yaml-language-server: $schema=../vms.schema.json`.

A key without a default here leaves what is there, or Proxmox's own default. Some keys are for
`root@pam` with its password alone: Proxmox refuses them from every API token, and so does the plan.

## Keys of a VM

"""
DISKS = """
## A disk in `disks`

```yaml
disks:
  - {slot: scsi0, storage: local-lvm, size: 50G, discard: true, iothread: true, mbps_rd: 200}
  - {slot: scsi1, storage: local-lvm, size: 50G, import-from: "local:import/debian.qcow2"}
  - {slot: ide1, type: cloudinit, storage: local-lvm}
  - {slot: ide2, type: cdrom, iso: "local:iso/talos.iso"}
```

A disk that is imported is enlarged to its size, and keeps the image's own without one.

"""
NESTED = """
## A disk in `nested_disks`

The same by controller and slot, each holding one of `disk`, `cloudinit`, `cdrom` (with `iso`) or
`passthrough` (with `file`). A file may have both forms where they describe the same disks.

```yaml
nested_disks:
  scsi:
    scsi0: {disk: {storage: local-lvm, size: 50G}}
  ide:
    ide1: {cloudinit: {storage: local-lvm}}
```

## A network card in `network` and `networks`

"""
DEVICES = """
## Devices

Each is a mapping under the name that Proxmox has for it. Where a table says so, a plain value
stands for one of the keys: `vga: serial0` is `vga: {type: serial0}`.

```yaml
machine: q35
bios: ovmf
efidisk0: {storage: local-lvm, efitype: 4m, pre-enrolled-keys: true}
tpmstate0: {storage: local-lvm, version: v2.0}
hostpci0: {mapping: gpu, pcie: true}
startup: {order: 1, up: 30}
```
"""
CREDENTIALS = """
## The password of the cloud-init user

`cipassword: {env: NAME}` names an environment variable, `cipassword: {vault: "kv/vms/web#KEY"}`
a key of a secret in Vault (VAULT_ADDR and the rest as for kubeconfigs). The plan, its documents and
the logs hold the name alone; `apply` reads the password before it begins. Proxmox never shows it:
a plan tells only whether there is one: to change it, remove it in Proxmox and apply again.
"""


def reference() -> str:
    """Return the reference of all keys as Markdown."""
    tables = (_table(VM_KEYS, SHAPES), _table(FLAT_DISK_KEYS), _table(NIC_KEYS))
    texts = (INTRODUCTION, DISKS, NESTED)
    body = "".join(text + table for text, table in zip(texts, tables, strict=True))
    return body + DEVICES + "".join(_family(family) for family in (*FAMILIES, HA)) + CREDENTIALS


def _family(family: Family) -> str:
    title = f"`{family.numbers[0]}`"
    title += f" to `{family.numbers[-1]}`" if family.count > 1 else ""
    text = family.help
    text += f" A plain value is its `{family.first}`." if family.first else ""
    return f"\n### {title}\n\n{text}\n\n{_table(family.keys)}"


def _table(keys: Iterable[Key], shapes: Iterable[tuple[str, str]] = ()) -> str:
    return "\n".join(_rows(keys, shapes)) + "\n"


def _rows(keys: Iterable[Key], shapes: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield from ("| key | value | default | |", "|---|---|---|---|")
    for key in keys:
        yield f"| `{key.name}` | {_values(key)} | {_default(key)} | {key.help} |"
    for name, text in shapes:
        yield f"| `{name}` | | | {text} |"


def _values(key: Key) -> str:
    if key.form:
        return key.form if key.type != "list" else f"a list; each {key.form}"
    if key.choices:
        return ", ".join(f"`{choice}`" for choice in key.choices)
    if key.minimum is not None:
        top = f" to {key.maximum}" if key.maximum is not None else " or more"
        return f"{key.minimum}{top}"
    return VALUES.get(key.type, "a text")


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return "*required*"
    if key.default in (None, ()):
        return ""
    return f"`{str(key.default).lower() if isinstance(key.default, bool) else key.default}`"

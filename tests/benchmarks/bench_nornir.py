"""InitNornir with ten thousand hosts, against SimpleInventory with the same hosts."""

import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from inventory_site import make_site
from nornir import InitNornir
from report import Section, Target

HOSTS = 10_000


def measure() -> Section:
    """Measure both sides, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        site = make_site(Path(name) / "site", HOSTS)
        ours = {"plugin": "StackyardInventory", "options": {"site": str(site)}}
        made = InitNornir(inventory=ours, logging={"enabled": False})
        theirs = {"plugin": "SimpleInventory", "options": _simple(Path(name), made)}
        del made
        own, simple = _seconds(ours), _seconds(theirs)
    ratio = simple / own
    return Section(
        title="Nornir's inventory",
        setting=f"`InitNornir` with {HOSTS:,} hosts: from as many definition files, which are"
        " checked, against `SimpleInventory`'s hosts.yaml and groups.yaml with the same data.",
        columns=("inventory", "seconds", ""),
        rows=(
            ("SimpleInventory", f"{simple:.1f}", "1 x"),
            ("StackyardInventory", f"{own:.1f}", f"{ratio:.1f} x"),
        ),
        targets=(Target("times faster than SimpleInventory", ratio, 3, at_least=True),),
    )


def _seconds(inventory: dict[str, Any]) -> float:
    gc.collect()
    began = time.perf_counter()
    made = InitNornir(inventory=inventory, logging={"enabled": False})
    seconds = time.perf_counter() - began
    assert len(made.inventory.hosts) == HOSTS
    return seconds


def _simple(folder: Path, nornir: Any) -> dict[str, str]:
    """Write what StackyardInventory found as SimpleInventory's files."""
    inventory = nornir.inventory
    hosts = {name: _plain(host.dict()) for name, host in inventory.hosts.items()}
    groups = {name: _plain(group.dict()) for name, group in inventory.groups.items()}
    files = {"host_file": ("hosts.yaml", hosts), "group_file": ("groups.yaml", groups)}
    dump: Callable[..., str] = yaml.dump
    for name, document in files.values():
        text = dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
        (folder / name).write_text(text, encoding="utf-8")
    return {option: str(folder / name) for option, (name, _) in files.items()}


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    entry.pop("name")
    return entry

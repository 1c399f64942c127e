"""community.proxmox at the same work: a playbook as a loop, or as tasks that run side by side.

The package `ansible` bundles the collection; it is installed into .cache/ansible once.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from served import TOKEN, Served

Way = Literal["loop", "async"]
VENV = Path(__file__).parents[2] / ".cache" / "ansible"
PACKAGES = ("ansible==12.3.0", "proxmoxer==2.3.0", "requests==2.34.2")
NAME = "community.proxmox 1.4.0 (ansible 12.3.0)"
TEMPLATE = 9003  # of the example platform's template on node03
_PREFIX = "community.proxmox."


def command(served: Served, vms: Iterable[Mapping[str, Any]], way: Way) -> list[str]:
    """Write a playbook that makes these VMs; return the command that runs it."""
    _install()
    work = [_work(vm) for vm in vms]
    tasks = [task for name in work[0] for task in _tasks(name, [w[name] for w in work], way)]
    defaults = {"group/community.proxmox.proxmox": _access(served)}
    play = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "module_defaults": defaults,
            "vars": {"ansible_python_interpreter": str(VENV / "bin" / "python")},
            "tasks": tasks,
        }
    ]
    path = served.folder / f"{way}.yml"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(play, sort_keys=False), encoding="utf-8")
    return [str(VENV / "bin" / "ansible-playbook"), "-i", "localhost,", str(path)]


def environ(served: Served) -> dict[str, str]:
    """Return its environment: no configuration of ours, and the endpoint's authority trusted."""
    configuration = served.folder / "ansible.cfg"
    configuration.write_text("[defaults]\n", encoding="utf-8")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    return {
        **kept,
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_HOME": str(served.folder / "ansible"),
        "PROXMOX_TOKEN_SECRET": served.secret,
        "REQUESTS_CA_BUNDLE": str(served.folder / "ca.pem"),
    }


def _install() -> None:
    stamp = VENV / ".stamp"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == repr(PACKAGES):
        return
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "pip"), "install", "--quiet", *PACKAGES]
    subprocess.run(pip, check=True)
    stamp.write_text(repr(PACKAGES), encoding="utf-8")


def _access(served: Served) -> dict[str, Any]:
    user, _, token = TOKEN.partition("!")
    return {
        "api_host": "127.0.0.1",
        "api_port": str(served.port),
        "api_user": user,
        "api_token_id": token,
        "api_token_secret": "{{ lookup('env', 'PROXMOX_TOKEN_SECRET') }}",
        "validate_certs": True,
    }


def _work(vm: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the arguments of each step for one VM: all that its definition says.

    No module does more than one of these: `proxmox_kvm` neither clones and configures in one call
    nor updates interfaces (its `update_unsafe` gives them new MAC addresses) or the size of disks.
    """
    at = {"node": vm["target_node"], "vmid": vm["vmid"]}
    scsi0 = vm["nested_disks"]["scsi"]["scsi0"]["disk"]
    return {
        "proxmox_kvm clone": {
            "node": vm["target_node"],
            "clone": vm["clone"],
            "vmid": TEMPLATE,
            "name": vm["name"],
            "newid": vm["vmid"],
            "storage": scsi0["storage"],
            "full": True,
            "format": "unspecified",
            "timeout": 300,
        },
        "proxmox_kvm update": {
            **at,
            "name": vm["name"],
            "update": True,
            "cores": vm["cores"],
            "sockets": vm["sockets"],
            "memory": vm["memory"],
            "onboot": vm["onboot"],
            "agent": str(vm["agent"]),
            "boot": vm["boot"],
            "scsihw": vm["scsihw"],
            "ciuser": vm["ciuser"],
            "sshkeys": vm["sshkeys"],
            "ipconfig": {"ipconfig0": vm["ipconfig0"]},
            "tags": ["stackyard"],
        },
        "proxmox_nic": {
            "vmid": vm["vmid"],
            "interface": "net0",
            "bridge": vm["network"]["bridge"],
            "model": vm["network"]["model"],
            "firewall": vm["network"]["firewall"],
        },
        "proxmox_disk": {
            "vmid": vm["vmid"],
            "disk": "scsi0",
            "size": scsi0["size"],
            "state": "resized",
        },
        "proxmox_kvm start": {**at, "state": "started", "timeout": 300},
    }


def _tasks(name: str, arguments: list[dict[str, Any]], way: Way) -> list[dict[str, Any]]:
    """Return one task with a loop over all VMs, and where they are side by side one that waits."""
    module = _PREFIX + name.partition(" ")[0]
    each = {key: f"{{{{ item['{key}'] }}}}" for key in arguments[0]}
    task: dict[str, Any] = {"name": name, module: each, "loop": arguments}
    if way == "loop":
        return [task]
    return [
        {**task, "async": 900, "poll": 0, "register": "begun"},
        {
            "name": f"wait for {name}",
            "ansible.builtin.async_status": {"jid": "{{ item.ansible_job_id }}"},
            "loop": "{{ begun.results }}",
            "loop_control": {"label": "{{ item.ansible_job_id }}"},
            "register": "waited",
            "until": "waited.finished",
            "retries": 900,
            "delay": 1,
        },
    ]

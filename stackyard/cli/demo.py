"""`stackyard demo`: the whole job on the lab, by the commands a user would type, and its proof.

The outer half brings the lab up and calls itself again inside the lab's network; the inner half
runs each step as a command of its own, so that what the demo shows is what works by hand.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stackyard.cli.options import HERE, Site
from stackyard.errors import StackyardError

CHANGES = 2  # the exit code of a plan that is not empty
STORE = "kv/cluster-secret-store/secrets/KUBECONFIG"
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)


class DemoError(StackyardError):
    """A step of the demo did not do what it should; the sentence names the step."""


@dataclass
class Steps:
    """Runs the demo's commands one after the other and says which one it is at."""

    console: Console
    total: int
    site: Path
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    def say(self, title: str) -> None:
        """Announce the next step with the seconds passed so far."""
        self.done += 1
        seconds = int(time.monotonic() - self.started)
        self.console.print(
            f"\n[bold cyan]{self.done}/{self.total}[/] [bold]{title}[/] [dim]({seconds} s)[/]",
            highlight=False,
        )

    def run(self, *argv: str, accept: Sequence[int] = (0,), quiet: bool = False) -> str:
        """Run a command of the site and return its standard output.

        Raises:
            DemoError: the command ended with a code that is not in `accept`.
        """
        self.console.print(f"[dim]$ {' '.join(argv)}[/]", highlight=False, soft_wrap=True)
        lines = []
        with subprocess.Popen(
            [str(Path(sysconfig.get_path("scripts"), argv[0])), *argv[1:]],
            cwd=self.site,
            env=os.environ
            | {"ANSIBLE_DISPLAY_OK_HOSTS": "no", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "no"},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            for line in process.stdout or ():
                lines.append(line)
                if not quiet:
                    self.console.out(f"  {line.rstrip()}", highlight=False)
        if process.returncode not in accept:
            if quiet:
                self.console.out("".join(lines), highlight=False)
            raise DemoError(f"{argv[0]} {argv[1]} ended with exit code {process.returncode}")
        return "".join(lines)


def demo(
    site: Site = HERE,
    inside: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the whole job on the lab: VMs, clusters, kubeconfigs, and the proof that they work."""
    console = Console(highlight=False)
    if inside:
        _inside(console, site)
        return
    command = [sys.executable, "-m", "stackyard.cli.main"]
    for arguments in (
        ["lab", "up"],
        ["lab", "exec", "--", *command, "demo", "--inside", "--site", str(site)],
    ):
        code = subprocess.run([*command, *arguments], check=False).returncode
        if code:
            raise typer.Exit(code)


def _inside(console: Console, site: Path) -> None:
    steps = Steps(console, total=8, site=site)
    steps.say("Check the VM definitions")
    steps.run("stackyard", "validate")
    steps.say("Plan: what is wanted against what is there")
    steps.run("stackyard", "plan", accept=(0, CHANGES))
    steps.say("Apply: create, configure and start the VMs on Proxmox")
    steps.run("stackyard", "apply", "--yes")
    steps.say("Wait until each VM answers by ssh, with its host key pinned")
    steps.run("stackyard", "ready")
    steps.say("The same definitions are Ansible's inventory")
    steps.run("ansible-inventory", "--graph")
    steps.say("Clusters: the roles k3s and haproxy, kubeconfigs merged into Vault")
    steps.run("ansible-playbook", "plays/site.yml")
    steps.say("Proof: every cluster answers through the kubeconfig read back from Vault")
    contexts = _prove_clusters(steps)
    steps.say("Proof: a second plan is empty and a second play changes nothing")
    steps.run("stackyard", "plan")
    _unchanged(steps.run("ansible-playbook", "plays/site.yml", quiet=True))
    console.print("  every host: changed=0")
    _summary(console, site, contexts)


def _prove_clusters(steps: Steps) -> dict[str, str]:
    """Ask each cluster for its nodes, directly and through HAProxy; return context → server."""
    from stackyard.fleet import load_fleet
    from stackyard.inventory import build_inventory
    from stackyard.inventory.groups import LOAD_BALANCERS

    definitions = {vm.name: vm for vm in load_fleet(steps.site).definitions}
    hosts = build_inventory(definitions.values()).hosts.values()
    proxies = [host.address for host in hosts if LOAD_BALANCERS in host.groups]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "kubeconfig")
        steps.run("stackyard", "kubeconfig", "show", "--output", str(config))
        kubectl = ("kubectl", "--kubeconfig", str(config))
        view = json.loads(steps.run(*kubectl, "config", "view", "-o", "json", quiet=True))
        servers = {c["name"]: c["cluster"]["server"] for c in view["clusters"]}
        contexts = {c["name"]: servers[c["context"]["cluster"]] for c in view["contexts"]}
        for context in contexts:
            steps.run(*kubectl, "--context", context, "get", "nodes")
        for context in contexts:
            port = definitions[context].variables["k3s_api_frontend_port"]
            for proxy in proxies:
                through = (*kubectl, "--context", context, "--server", f"https://{proxy}:{port}")
                steps.run(*through, "get", "--raw", "/version", quiet=True)
                steps.console.print(f"  {context} answers through HAProxy, https://{proxy}:{port}")
    if not contexts:
        raise DemoError(f"no context in {STORE}: the play published no kubeconfig")
    return contexts


def _unchanged(recap: str) -> None:
    changed = [host for host, count in RECAP.findall(recap) if int(count)]
    if changed or not RECAP.search(recap):
        raise DemoError(f"the second play changed {', '.join(changed) or 'no host it names'}")


def _summary(console: Console, site: Path, contexts: dict[str, str]) -> None:
    from stackyard.fleet import load_fleet

    vms = Table("VM", "node", "address", "state", "cluster's API", title="The example platform")
    for vm in load_fleet(site).definitions:
        address = vm.ipconfigs[0].ip if vm.ipconfigs and vm.ipconfigs[0] else None
        state = (vm.vm_state or "as it is") if vm.managed else "not managed"
        vms.add_row(vm.name, vm.target_node, address or "", state, contexts.get(vm.name, ""))
    console.print()
    console.print(vms)
    console.print(f"Proxmox   {os.environ['PROXMOX_URL']}")
    console.print(f"Vault     {os.environ['VAULT_ADDR']}  (secret {STORE})")
    console.print(
        "\nLook around:   .venv/bin/stackyard lab shell      (a shell in the lab's network)\n"
        "               .venv/bin/stackyard lab exec -- ssh …, kubectl …, ansible-playbook …\n"
        "Change a file in vms/ and run: .venv/bin/stackyard lab exec -- .venv/bin/stackyard plan\n"
        "Stop it:       make demo-down"
    )

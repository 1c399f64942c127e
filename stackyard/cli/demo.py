"""`stackyard demo`: the whole job on the lab, by the commands a user would type, and its proof.

The outer half brings the lab up and calls itself again inside the lab's network; the inner half
runs each step as a command of its own, so that what the demo shows is what works by hand.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.demo_steps import StepError, Steps
from stackyard.cli.lab import LAB
from stackyard.cli.options import CHANGES, HERE, Site

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from stackyard.definitions.model import Definition
    from stackyard.inventory import Host

STORE = "kv/cluster-secret-store/secrets/KUBECONFIG"
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)
LOG_WIDTH = 120  # columns where no terminal says how many there are
CLUSTER = "k3s"
LOAD_BALANCERS = "haproxy_servers"
ROLES = (CLUSTER, LOAD_BALANCERS)


def demo(
    site: Site = HERE,
    inside: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the whole job on the lab: VMs, clusters, kubeconfigs, and the proof that they work."""
    if inside:
        _inside(site)
        return
    from stackyard.fleet import load_fleet

    load_fleet(site)  # before there is a lab that nobody needs
    command = [sys.executable, "-m", "stackyard.cli.main"]
    for arguments in (
        ["lab", "up"],
        ["lab", "exec", "--", *command, "demo", "--inside", "--site", str(site)],
    ):
        code = subprocess.run([*command, *arguments], check=False).returncode
        if code:
            raise typer.Exit(code)


def _inside(site: Path) -> None:
    from rich.console import Console

    from stackyard.fleet import load_fleet
    from stackyard.lab import control

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    definitions = {vm.name: vm for vm in load_fleet(site).definitions}
    lab = control.find(LAB)
    if lab is not None and lab.settings.simulated:
        steps = Steps(console, total=5, site=site)
        _make_vms(steps)
        _show_inventory(steps)
        _prove_second_plan(steps)
        _summary(console, definitions)
        console.print(
            "\nThe lab only simulates its machines here, so nothing booted in the VMs:"
            " as root on Linux, the demo goes on to ssh, clusters and kubeconfigs."
        )
    else:
        steps = Steps(console, total=8, site=site)
        _make_vms(steps)
        steps.say("Wait until each VM answers by ssh, with its host key pinned")
        steps.run("stackyard", "ready")
        _show_inventory(steps)
        steps.say("Clusters: the roles k3s and haproxy, kubeconfigs merged into Vault")
        steps.run("ansible-playbook", "plays/site.yml")
        steps.say("Proof: every cluster answers through the kubeconfig read back from Vault")
        contexts = _prove_clusters(steps, definitions)
        _prove_second_plan(steps)
        _prove_second_play(steps)
        _summary(console, definitions)
        console.print(contexts)
    console.print(f"\nDone in {steps.seconds} s.")
    _look_around(console)


def _make_vms(steps: Steps) -> None:
    steps.say("Check the VM definitions")
    steps.run("stackyard", "validate")
    steps.say("Plan: what is wanted against what is there")
    steps.run("stackyard", "plan", accept=(0, CHANGES))
    steps.say("Apply: create, configure and start the VMs on Proxmox")
    steps.run("stackyard", "apply", "--yes")


def _show_inventory(steps: Steps) -> None:
    steps.say("The same definitions are Ansible's inventory")
    steps.run("ansible-inventory", "--graph")


def _prove_clusters(steps: Steps, definitions: "Mapping[str, Definition]") -> "Table":
    """Ask each cluster for its nodes, directly and through HAProxy; return what answered."""
    from rich.table import Table

    clusters = to_run(definitions, CLUSTER)
    proxies = [host.address for host in to_run(definitions, LOAD_BALANCERS).values()]
    table = Table("context", "the cluster's API", "through HAProxy", title="Contexts in Vault")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "kubeconfig")
        steps.run("stackyard", "kubeconfig", "show", "--output", str(config))
        steps.environ["KUBECONFIG"] = str(config)
        view = json.loads(steps.run("kubectl", "config", "view", "-o", "json", quiet=True))
        servers = {c["name"]: c["cluster"]["server"] for c in view["clusters"]}
        contexts = {c["name"]: servers[c["context"]["cluster"]] for c in view["contexts"]}
        for context in contexts:
            if context in clusters:  # others may be in Vault as well
                steps.run("kubectl", "--context", context, "get", "nodes")
        for context, server in contexts.items():
            variables = definitions[context].variables if context in clusters else {}
            port = variables.get("k3s_api_frontend_port")
            through = [f"https://{proxy}:{port}" for proxy in proxies if port]
            for url in through:
                command = ("kubectl", "--context", context, "--server", url)
                steps.run(*command, "get", "--raw", "/version", quiet=True)
                steps.tell(f"{context} answers through HAProxy, {url}")
            table.add_row(context, server, " ".join(through))
    if lost := without_context(definitions, contexts):
        raise StepError(f"{STORE} has no context of {', '.join(lost)}: no kubeconfig was published")
    return table


def without_context(definitions: "Mapping[str, Definition]", contexts: Container[str]) -> list[str]:
    """Return the clusters that are to run and are not among the contexts."""
    return [name for name in to_run(definitions, CLUSTER) if name not in contexts]


def to_run(definitions: "Mapping[str, Definition]", group: str) -> "dict[str, Host]":
    """Return the hosts of a group that are to run: one that is stopped cannot answer."""
    from stackyard.inventory import build_inventory
    from stackyard.routing import unfit

    hosts = build_inventory(definitions.values()).hosts
    return {
        n: hosts[n] for n, vm in definitions.items() if group in hosts[n].groups and not unfit(vm)
    }


def _prove_second_plan(steps: Steps) -> None:
    steps.say("Proof: a second run changes nothing")
    steps.run("stackyard", "plan")


def _prove_second_play(steps: Steps) -> None:
    recap = steps.run("ansible-playbook", "plays/site.yml", quiet=True)
    changed = [host for host, count in RECAP.findall(recap) if int(count)]
    if changed or not RECAP.search(recap):
        raise StepError(f"the second play changed {', '.join(changed) or 'no host it names'}")
    steps.tell("every host: changed=0")


def _summary(console: "Console", definitions: "Mapping[str, Definition]") -> None:
    from rich.table import Table

    from stackyard.inventory import build_inventory

    hosts = build_inventory(definitions.values()).hosts
    vms = Table("VM", "node", "address", "role", "state", title="The example platform")
    for name, vm in definitions.items():
        role = " ".join(
            group.removesuffix("_servers") for group in ROLES if group in hosts[name].groups
        )
        state = (vm.vm_state or "as it is") if vm.managed else "not managed"
        vms.add_row(name, vm.target_node, hosts[name].address, role, state)
    console.print()
    console.print(vms)


def _look_around(console: "Console") -> None:
    console.print(
        f"\nProxmox   {os.environ['PROXMOX_URL']}\n"
        f"Vault     {os.environ['VAULT_ADDR']} (secret {STORE})\n"
        "\nLook around:   .venv/bin/stackyard lab shell   (stackyard, ansible-playbook, kubectl and"
        " ssh, in the lab's network)\n"
        "Change a file in vms/, then: .venv/bin/stackyard lab exec -- stackyard plan\n"
        "Stop it:       make demo-down"
    )

"""A large site, with definitions as the example site has them."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
VM = """\
name: {name}
target_node: node{node:02}
cores: 4
memory: 8192
vm_state: running
tags: [k8s]
disks:
  - {{slot: scsi0, storage: local-lvm, size: 40G, format: raw}}
  - {{slot: ide1, type: cloudinit, storage: local-lvm}}
ipconfig0: ip=10.{a}.{b}.{c}/8,gw=10.255.255.254
variables: {{k3s_api_frontend_port: {port}}}
"""


def make_site(site: Path, hosts: int) -> Path:
    """Write that many definitions, a tenth of them clusters, over the shipped defaults."""
    (site / "vms").mkdir(parents=True)
    (site / "inventory").mkdir()
    (site / "inventory" / "vms.yml").write_text("plugin: vms\n", encoding="utf-8")
    defaults = (ROOT / "vms" / "_defaults.yaml").read_text(encoding="utf-8")
    (site / "vms" / "_defaults.yaml").write_text(defaults, encoding="utf-8")
    for number in range(hosts):
        a, b, c = number // 62_500, number // 250 % 250, number % 250 + 1
        name = f"k8s-cluster{number}" if number % 10 == 0 else f"machine{number}"
        text = VM.format(name=name, node=number % 20, a=a, b=b, c=c, port=6443 + number)
        (site / "vms" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return site

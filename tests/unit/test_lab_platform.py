"""What a platform file may say, and the sentence for what it may not."""

from pathlib import Path

import pytest

from stackyard.lab.platform import PlatformError
from stackyard.lab.platform_file import EXAMPLE, load_platform

GOOD = """\
nodes:
  a: {threads: 2, memory: 4096}
storages:
  local: {type: dir, size: 10G, content: [images]}
"""


def test_the_example_platform_is_the_described_one() -> None:
    platform = load_platform(EXAMPLE)
    threads = {name: node.threads for name, node in platform.nodes.items()}
    assert threads == {"node01": 8, "node02": 8, "node03": 72}
    assert {name: s.nodes for name, s in platform.storages.items() if s.nodes} == {
        "data2": ("node03",),
        "slowdata": ("node01",),
    }
    templates = {guest.node: guest.vmid for guest in platform.guests if guest.template}
    assert templates == {"node01": 9001, "node02": 9002, "node03": 9003}
    assert [guest.name for guest in platform.guests if not guest.template] == ["legacy"]
    assert "root@pam!stackyard" in platform.identities


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nodes: {}", "1: nodes names no node; a cluster has at least one."),
        (GOOD + "node: {}", "5: node is no known key; known are "),
        (GOOD.replace("threads: 2", "threads: two"), "2: nodes.a.threads must be a whole number"),
        (GOOD.replace("type: dir", "type: nfs"), "4: storages.local.type must be dir or lvmthin."),
        (GOOD.replace("10G", "plenty"), "4: storages.local.size must be a size such as 512M"),
        (
            GOOD + "vms:\n  x:\n    node: b\n    vmid: 100",
            "7: vms.x.node names 'b', which is no node of the platform.",
        ),
        (GOOD + "vms:\n  x:\n    node: a\n    vmid: 99", "8: vms.x.vmid must be at least 100."),
        (
            GOOD + "vms:\n  x: {node: a, vmid: 100}\n  y: {node: a, vmid: 100}",
            "7: vms.y takes VMID 100, which 'x' has already.",
        ),
        (GOOD + "users: {root: {}}", "5: users.root is no user; write user@realm"),
        (GOOD + "latency: {clone: soon}", "5: latency.clone must be a number of seconds."),
        (GOOD + "latency: {cloning: 1}", "5: latency.cloning is no known key"),
        ("nodes: [a\n", "2: no valid YAML: expected ',' or ']'"),
        (GOOD + "nodes: {b: {}}", " no valid YAML: nodes stands in line 1 and in line 5"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(text)
    with pytest.raises(PlatformError) as caught:
        load_platform(path)
    assert str(caught.value).startswith(f"{path}:{sentence}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"none\.yaml: cannot be read: No such file"):
        load_platform(tmp_path / "none.yaml")

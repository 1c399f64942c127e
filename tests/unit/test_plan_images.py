"""VMs that are to move with an image in a CD-ROM drive, which only a shared storage allows."""

from dataclasses import replace
from typing import Any

import pytest
from plan_world import SITE, definition_of, observed_of

from stackyard.plan import make_plan
from stackyard.plan.images import carried_images, image_problems

ISO, OTHER = "local:iso/talos.iso", "nfs:iso/talos.iso"


def problems(wanted: dict[str, Any], **config: str) -> tuple[str, ...]:
    config = {"name": "a", "tags": "stackyard", "cpu": "host", "memory": "1024", **config}
    there = {"vmid": 101, "node": "node01", "name": "a", "config": config}
    nodes = {"node01": True, "node02": True}
    observed = replace(
        observed_of({"nodes": nodes, "vms": [there]}), local_storages=frozenset({"local"})
    )
    fleet = [definition_of({"name": "a", "target_node": "node02", **wanted})]
    plan = make_plan(fleet, observed, SITE)
    assert plan.problems == ()
    found = image_problems(plan, fleet, observed)
    assert len(found) <= len(carried_images(plan, observed))
    return found


def drive(volume: str) -> dict[str, Any]:
    return {"disks": [{"slot": "sata4", "media": "iso", "volume": volume}]}


def test_an_image_on_a_local_storage_keeps_a_vm_where_it_is() -> None:
    (said,) = problems(drive(ISO), sata4=f"{ISO},media=cdrom")
    assert said == (
        "vms/a.yaml:1: a cannot move from node01 to node02 with local:iso/talos.iso in sata4: "
        "local is not a shared storage; apply once with `iso: none` in sata4, and put the image "
        "back then"
    )
    assert problems({}, ide2=f"{ISO},media=cdrom,size=96M")  # its template's, say


def test_the_drive_of_the_node_stays_with_it() -> None:
    (said,) = problems(drive("cdrom"), sata4="cdrom,media=cdrom")
    assert "with cdrom in sata4: only node01 has that; apply once" in said
    (said,) = problems({}, sata4="/mnt/x:y.iso,media=cdrom")
    assert "with /mnt/x:y.iso in sata4: only node01 has that; apply once" in said


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        (drive("none"), ISO),
        (drive(OTHER), ISO),
        (drive(OTHER), OTHER),
        ({}, OTHER),
        ({}, "none"),
        ({**drive(ISO), "target_node": "node01"}, ISO),
    ],
)
def test_what_is_not_taken_along_holds_nothing_up(wanted: dict[str, Any], there: str) -> None:
    assert problems(wanted, sata4=f"{there},media=cdrom") == ()


def test_an_image_that_is_put_in_after_the_move_holds_nothing_up() -> None:
    assert problems(drive(ISO)) == ()

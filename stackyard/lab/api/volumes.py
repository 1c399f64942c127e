"""Storages and what they hold: names, allocation, linked and full copies, removal."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from stackyard.lab.api.faults import ApiError, invalid
from stackyard.lab.platform import Platform, Storage

CLOUDINIT_BYTES = 4 * 1024**2
_RAW_LIMIT_BYTES = 16 * 1024**4  # of one file on ext4
_SHARED = ""
_FOLDERS = {"iso": "template/iso", "vztmpl": "template/cache", "import": "import",
            "snippets": "snippets", "backup": "dump"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Volume:
    """An image or a file on a storage."""

    volid: str  # storage:name
    size: int  # bytes
    format: str
    content: str = "images"
    vmid: int | None = None
    parent: str | None = None  # the base image of a linked clone, a volid
    ctime: int = field(default_factory=lambda: int(time.time()))

    @property
    def storage(self) -> str:
        return self.volid.partition(":")[0]

    @property
    def name(self) -> str:
        """The part after the folder of the VM: `vm-100-disk-0.raw`."""
        return self.volid.partition(":")[2].rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its format."""
        return self.name.partition(".")[0]


class Volumes:
    """All storages of the cluster and their volumes, each node's own apart."""

    def __init__(self, platform: Platform) -> None:
        self._nodes = tuple(platform.nodes)
        self.storages = dict(platform.storages)
        self._held: dict[tuple[str, str], Volume] = {}
        self._stems: dict[tuple[str, str], set[str]] = {}  # names without suffix, by place, storage
        for file in platform.files:
            kind, _, name = file.volid.partition(":")[2].partition("/")
            for node in file.nodes or self._nodes:
                self.add(node, Volume(file.volid, file.size_bytes, _suffix(name), kind))

    def storage(self, name: str, node: str) -> Storage:
        """Return a storage that this node has.

        Raises:
            ApiError: there is none of that name, or not on this node.
        """
        found = self.storages.get(name)
        if found is None:
            raise ApiError(f"storage '{name}' does not exist")
        if not self.on_node(found, node):
            raise ApiError(f"storage '{name}' is not available on node '{node}'")
        return found

    def for_images(self, name: str, node: str) -> Storage:
        """Return a storage of this node that takes VM images; 400 where it does not."""
        found = self.storage(name, node)
        if "images" not in found.content:
            raise invalid(storage=f"storage '{name}' does not support vm images")
        return found

    @staticmethod
    def on_node(storage: Storage, node: str) -> bool:
        return not storage.nodes or node in storage.nodes

    def of_node(self, node: str) -> Iterator[Storage]:
        return (s for s in self.storages.values() if self.on_node(s, node))

    def _key(self, node: str, volid: str) -> tuple[str, str]:
        storage = self.storages.get(volid.partition(":")[0])
        return (_SHARED if storage and storage.shared else node, volid)

    def add(self, node: str, volume: Volume) -> Volume:
        place, _ = key = self._key(node, volume.volid)
        self._held[key] = volume
        self._stems.setdefault((place, volume.storage), set()).add(volume.stem)
        return volume

    def get(self, node: str, volid: str) -> Volume | None:
        return self._held.get(self._key(node, volid))

    def remove(self, node: str, volid: str) -> None:
        place, _ = key = self._key(node, volid)
        volume = self._held.pop(key, None)
        if volume:
            self._stems[place, volume.storage].discard(volume.stem)

    def content(self, node: str, storage: str) -> list[Volume]:
        place = self._key(node, f"{storage}:")[0]
        return [
            v for (where, _), v in self._held.items() if where == place and v.storage == storage
        ]

    def used(self, node: str, storage: str) -> int:
        return sum(volume.size for volume in self.content(node, storage))

    def owned(self, vmid: int, node: str) -> list[Volume]:
        """Return the images that carry a VM's number on its node, attached or not."""
        places = (node, _SHARED)
        return [v for (where, _), v in self._held.items() if where in places and v.vmid == vmid]

    def allocate(
        self, node: str, storage: Storage, vmid: int, size: int, wanted: str | None = None
    ) -> Volume:
        """Make a new disk `vm-<vmid>-disk-<n>`.

        Raises:
            ApiError: it is larger than a file can be (the recorded text).
        """
        stem = f"vm-{vmid}-disk-{self._free_number(node, storage, vmid)}"
        kind = "raw" if storage.type == "lvmthin" else wanted or "raw"
        volume = Volume(_volid(storage, vmid, stem, kind), size, kind, vmid=vmid)
        if storage.type == "dir" and size > _RAW_LIMIT_BYTES:
            raise ApiError(
                f"unable to create image: qemu-img: {self.path(volume)}: "
                f"The image size is too large for file format '{kind}'"
            )
        return self.add(node, volume)

    def allocate_cloudinit(self, node: str, storage: Storage, vmid: int) -> Volume:
        kind = "raw" if storage.type == "lvmthin" else "qcow2"
        volid = _volid(storage, vmid, f"vm-{vmid}-cloudinit", kind)
        return self.add(node, Volume(volid, CLOUDINIT_BYTES, kind, vmid=vmid))

    def _free_number(self, node: str, storage: Storage, vmid: int) -> int:
        taken = self._stems.get((self._key(node, f"{storage.name}:")[0], storage.name), set())
        number = 0
        while {f"vm-{vmid}-disk-{number}", f"base-{vmid}-disk-{number}"} & taken:
            number += 1
        return number

    def grow(self, node: str, volid: str, size: int) -> None:
        volume = self.get(node, volid)
        if volume:
            self.add(node, replace(volume, size=size))

    def make_base(self, node: str, volid: str) -> str:
        """Rename a disk to a base image, as a template's disks are; return its new volid."""
        volume = self.get(node, volid)
        if volume is None or "/base-" in volid or ":base-" in volid:
            return volid
        self.remove(node, volid)
        head, _, tail = volid.rpartition("vm-")
        return self.add(node, replace(volume, volid=f"{head}base-{tail}")).volid

    def link(self, node: str, base: Volume, vmid: int) -> Volume:
        """Make a linked clone of a base image on its own storage."""
        storage = self.storages[base.storage]
        stem = f"vm-{vmid}-disk-{self._free_number(node, storage, vmid)}"
        if storage.type == "lvmthin":  # a thin snapshot, which stands on its own
            return self.add(node, replace(base, volid=f"{storage.name}:{stem}", vmid=vmid))
        volid = f"{base.volid}/{vmid}/{stem}.qcow2"
        linked = replace(base, volid=volid, vmid=vmid, format="qcow2", parent=base.volid)
        return self.add(node, linked)

    def in_use(self, node: str, base: str) -> bool:
        """Whether linked clones stand on this base image."""
        place = self._key(node, base)[0]
        return any(v.parent == base for (where, _), v in self._held.items() if where == place)

    def path(self, volume: Volume) -> str:
        """Return the path on the node, as it stands in logs and error texts."""
        storage = self.storages[volume.storage]
        name = volume.volid.partition(":")[2]
        if volume.content != "images":
            kind, _, rest = name.partition("/")
            return f"{storage.path}/{_FOLDERS.get(kind, kind)}/{rest}"
        if storage.type == "lvmthin":
            return f"{storage.path}/{name}"
        return f"{storage.path}/images/{volume.vmid}/{volume.name}"


def _volid(storage: Storage, vmid: int, stem: str, kind: str) -> str:
    if storage.type == "lvmthin":
        return f"{storage.name}:{stem}"
    return f"{storage.name}:{vmid}/{stem}.{kind}"


def _suffix(name: str) -> str:
    return name.rpartition(".")[2] if "." in name else "raw"

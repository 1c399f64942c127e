"""Changes of a VM's configuration: PUT and POST …/config."""

import asyncio
from collections.abc import Mapping

from stackyard.lab.api.call import Call
from stackyard.lab.api.drives import (
    Place,
    check_drive,
    erase_option,
    make_drive,
    remove_option,
    set_option,
)
from stackyard.lab.api.faults import ApiError, invalid
from stackyard.lab.api.hardware import boot_devices, pinned, reserved
from stackyard.lab.api.hotplug import at_once
from stackyard.lab.api.options import drive_table, indexed, rule_of
from stackyard.lab.api.passwords import encrypted
from stackyard.lab.api.tasks import Task
from stackyard.lab.api.values import split_list
from stackyard.lab.api.vm import Vm, is_cdrom, normal_tags, parse_drive, with_mac

ROOT_OPTIONS = ("args", "lock", "affinity", "hugepages", "keephugepages", "hookscript", "ivshmem")
_MOST_CPU_UNITS = 10000  # of a control group of version 2, whatever is asked for
_CONTROL = ("delete", "revert", "digest", "skiplock", "force", "background_delay")


async def put_config(call: Call) -> None:
    """PUT …/config: the change is made when it answers."""
    change = _Change(call)
    change.check()
    await change.make()


async def post_config(call: Call) -> str:
    """POST …/config: the change is made by a worker."""
    change = _Change(call)
    change.check()

    async def worker(_task: Task) -> None:
        await change.make()

    return call.start_task("qmconfig", worker)


def check_root_options(call: Call, names: Mapping[str, str] | list[str]) -> None:
    """Refuse options that only root itself may set, not even root's token."""
    for name in ROOT_OPTIONS:
        if name in names and not call.identity.root:
            raise ApiError(f"only root can set '{name}' config")


def check_reserved(call: Call, options: Mapping[str, str]) -> None:
    """Refuse devices of the node that only root itself may give to a VM."""
    for name, value in options.items():
        problem = reserved(indexed(name)[0], value, name)
        if problem and not call.identity.root:
            raise ApiError(problem)


def check_skiplock(call: Call) -> bool:
    """Return whether locks are to be ignored, which only root itself may ask for."""
    if call.flag("skiplock") and not call.identity.root:
        raise invalid(skiplock="Only root may use this option.")
    return call.flag("skiplock")


class _Change:
    """What one call wants changed."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.delete = split_list(call.params.get("delete", ""))
        self.revert = split_list(call.params.get("revert", ""))
        self.options = {k: v for k, v in call.params.items() if k not in _CONTROL}
        self.skiplock = check_skiplock(call)

    def check(self) -> None:
        """Refuse what can be told without looking at storages or waiting for the lock file."""
        call = self.call
        if not (self.options or self.delete or self.revert):
            raise ApiError("no options specified")
        vm = call.vm()
        self._check_names()
        check_root_options(call, [*self.options, *self.delete])
        check_reserved(call, self.options)
        vm.check_digest(call.params.get("digest"))
        vm.check_lock(skip=self.skiplock)
        self._check_balloon(vm)
        place = self._place(vm)
        for name, value in self.options.items():
            if drive_table(name):
                check_drive(call.cluster.volumes, place, name, value)

    def _check_balloon(self, vm: Vm) -> None:
        after = vm.config | vm.pending | self.options
        memory = int(after.get("memory", "512").removeprefix("current="))
        is_written = not {"memory", "balloon"}.isdisjoint(self.options)
        if is_written and int(after.get("balloon", "0")) > memory:
            raise ApiError("balloon value too large (must be smaller than assigned memory)")

    def _check_names(self) -> None:
        for name in self.delete:
            if name in self.options:
                raise invalid(
                    delete=f"you can't use '-{name}' and -delete {name}' at the same time"
                )
            if rule_of(name) is None:
                raise invalid(delete=f"unknown option '{name}'")
        for name in self.revert:
            if name in self.options:
                raise invalid(
                    revert=f"you can't use '-{name}' and '-revert {name}' at the same time"
                )
            if rule_of(name) is None:
                raise invalid(revert=f"unknown option '{name}'")

    def _place(self, vm: Vm) -> Place:
        return Place(vm.node, vm.vmid, self.call.identity.root)

    async def make(self) -> None:
        """Make the change, holding the VM's lock file."""
        cluster = self.call.cluster
        vm = self.call.vm()
        async with cluster.locked(vm):
            await asyncio.sleep(cluster.platform.latency.config)
            vm = self.call.vm()
            vm.check_digest(self.call.params.get("digest"))
            vm.check_lock(skip=self.skiplock)
            cluster.check_writable(vm)
            running = cluster.running(vm)
            vm.changed()  # also when a disk of several cannot be made: what came before stays
            for name in self.revert:
                vm.pending.pop(name, None)
                vm.pending_delete.pop(name, None)
            self._pin_machine(vm)
            order = boot_devices(vm.config.get("boot", ""))
            self._check_boot(vm)
            # What may be plugged is decided by the option as it was, so that comes last.
            for name in sorted(self.delete, key=_is_hotplug):
                self._delete(vm, name, running=running)
            for name in sorted(self.options, key=_is_hotplug):
                value = self._final(vm, name, self.options[name])
                self._set(vm, name, value, running=running)
            self._order_boot(vm, order, running=running)

    def _check_boot(self, vm: Vm) -> None:
        there = {*vm.config, *vm.pending, *self.options} - {*self.delete}
        for device in boot_devices(self.options.get("boot", "")):
            if device not in there:
                raise ApiError(f"invalid bootorder: device '{device}' does not exist'")

    def _order_boot(self, vm: Vm, before: list[str], *, running: bool) -> None:
        """Take what was removed out of the boot order, and put CD drives that are written into it.

        Perl's hashes have no order: a boot order beside a drive in one call is lost at times, here
        always.
        """
        order = [device for device in before if device not in self.delete]
        drives = [n for n, value in self.options.items() if n not in order and _is_cd(n, value)]
        added = drives if order else []
        if added or ("boot" not in self.options and order != before):
            self._set(vm, "boot", f"order={';'.join([*order, *added])}", running=running)

    def _pin_machine(self, vm: Vm) -> None:
        """Do what goes with another guest system, unless the machine is written or waits."""
        is_said = "machine" in {*self.options, *self.delete, *vm.pending}
        if "ostype" in self.options and not is_said:
            machine = pinned(vm.config.get("machine", ""), self.options["ostype"])
            self.options |= {"machine": machine} if machine else {}

    def _delete(self, vm: Vm, name: str, *, running: bool) -> None:
        vm.pending.pop(name, None)
        if name not in vm.config:
            return
        if drive_table(name) and vm.config.get("protection") == "1":
            kind = "unused disk" if name.startswith("unused") else "drive"
            raise ApiError(f"can't remove {kind} '{name}' - protection mode enabled")
        is_forced = self.call.flag("force")
        if running and not at_once(vm, name, None):
            vm.pending_delete[name] = is_forced
        else:
            (erase_option if is_forced else remove_option)(vm, self.call.cluster.volumes, name)

    def _final(self, vm: Vm, name: str, value: str) -> str:
        """Return the value as the configuration keeps it; makes the volume of a new disk."""
        if drive_table(name):
            return make_drive(self.call.cluster.volumes, self._place(vm), vm, name, value)
        return normal_value(name, value)

    def _set(self, vm: Vm, name: str, value: str, *, running: bool) -> None:
        vm.pending_delete.pop(name, None)
        vm.pending.pop(name, None)
        if vm.config.get(name) == value:
            return
        if running and not at_once(vm, name, value):
            vm.pending[name] = value
        else:
            set_option(vm, self.call.cluster.volumes, name, value)


def _is_cd(name: str, value: str) -> bool:
    return bool(drive_table(name)) and is_cdrom(parse_drive(name, value))


def _is_hotplug(name: str) -> bool:
    return name == "hotplug"


def normal_value(name: str, value: str) -> str:
    """Return an option that is no drive as the configuration keeps it."""
    if name == "cpuunits":
        return str(min(int(value), _MOST_CPU_UNITS))
    if name == "tags":
        return normal_tags(value)
    if name == "cipassword":
        return encrypted(value)
    return with_mac(value) if indexed(name)[0] == "net" else value

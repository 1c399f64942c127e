"""Puts the VMs and templates of a platform into the cluster before it serves."""

from stackyard.lab.api import options, parameters, values
from stackyard.lab.api.cluster import Cluster
from stackyard.lab.api.create import build_config
from stackyard.lab.api.drives import Place, check_drive
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.lifecycle import convert
from stackyard.lab.api.vm import Vm
from stackyard.lab.platform import Guest, PlatformError


def seed(cluster: Cluster) -> list[Vm]:
    """Make every VM of the platform; return those that are to run.

    Raises:
        PlatformError: the API would refuse to make one of them.
    """
    running = []
    for guest in cluster.platform.guests:
        try:
            vm = _make(cluster, guest)
        except ApiError as error:
            details = [f"{k}: {' '.join(v.split())}" for k, v in (error.errors or {}).items()]
            raise PlatformError(
                f"the platform's VM '{guest.name}' ({guest.vmid}) cannot be made: "
                f"{'; '.join(details) or error.text}."
            ) from error
        if guest.running:
            running.append(vm)
    return running


def _make(cluster: Cluster, guest: Guest) -> Vm:
    parameters.check(guest.config, options.VM_OPTIONS)
    problem = values.dns_name(guest.name)
    if problem:
        raise ApiError(problem)
    place = Place(guest.node, guest.vmid, root=True)
    for name, value in guest.config.items():
        if options.drive_table(name):
            check_drive(cluster.volumes, place, name, value)
    config = build_config(cluster, place, {"name": guest.name, **guest.config})
    vm = cluster.vms[guest.vmid] = Vm(guest.vmid, guest.node, config)
    if guest.template:
        convert(cluster, vm)
    return vm

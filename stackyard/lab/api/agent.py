"""The guest agent: …/agent/*, answered by the machine behind the VM."""

import asyncio
import shlex
from collections.abc import Mapping

from stackyard.lab.api.call import Call
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.vm import Vm

Body = Mapping[str, object]


async def _interfaces(call: Call) -> list[dict[str, object]]:
    """Return the interfaces, which also tells whether an agent answers at all."""
    vm = _with_agent(call)
    found = await call.cluster.machines.interfaces(vm.vmid)
    if found is None:
        await asyncio.sleep(call.cluster.platform.timing.agent)
        raise ApiError("QEMU guest agent is not running")
    return found


def _with_agent(call: Call) -> Vm:
    vm = call.vm()
    if not vm.agent_enabled:
        raise ApiError("No QEMU guest agent configured")
    if not call.cluster.running(vm):
        raise ApiError(f"VM {vm.vmid} is not running")
    return vm


async def ping(call: Call) -> Body:
    """POST …/agent/ping."""
    await _interfaces(call)
    return {"result": {}}


async def network_interfaces(call: Call) -> Body:
    """GET …/agent/network-get-interfaces."""
    return {"result": await _interfaces(call)}


async def host_name(call: Call) -> Body:
    """GET …/agent/get-host-name."""
    await _interfaces(call)
    text = await call.cluster.machines.read_file(call.vmid, "/etc/hostname")
    name = text.decode().strip() if text else call.vm().label
    return {"result": {"host-name": name}}


async def os_info(call: Call) -> Body:
    """GET …/agent/get-osinfo: what /etc/os-release of the guest says."""
    await _interfaces(call)
    text = await call.cluster.machines.read_file(call.vmid, "/etc/os-release") or b""
    words = (word.partition("=") for word in shlex.split(text.decode(errors="replace")))
    release = {key: value for key, equals, value in words if equals}
    return {
        "result": {
            "id": release.get("ID", "linux"),
            "name": release.get("NAME", "Linux"),
            "pretty-name": release.get("PRETTY_NAME", "Linux"),
            "version": release.get("VERSION", ""),
            "version-id": release.get("VERSION_ID", ""),
            "machine": "x86_64",
        }
    }


async def file_read(call: Call) -> Body:
    """GET …/agent/file-read."""
    await _interfaces(call)
    path = call.params["file"]
    found = await call.cluster.machines.read_file(call.vmid, path)
    if found is None:
        raise ApiError(
            f"Agent error: failed to open file '{path}' (mode: 'r'): No such file or directory"
        )
    first = call.number("offset", 0)
    part = found[first : first + call.number("count", 16 * 1024**2)]
    return {"content": part.decode(errors="replace"), "bytes-read": len(part)}

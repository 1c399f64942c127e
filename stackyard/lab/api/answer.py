"""From a request to its answer: who asks, what, may they, does it hold."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from stackyard.lab.api import calls, parameters, request
from stackyard.lab.api.auth import Authority, Identity
from stackyard.lab.api.call import Call
from stackyard.lab.api.cluster import Cluster
from stackyard.lab.api.faults import UNAUTHORIZED, ApiError, forbidden

_NOBODY = Identity("", allowed=False)
_PRIVILEGE_PATHS = {
    "vmid": "/vms/{}",
    "storage": "/storage/{}",
    "poolid": "/pool/{}",
    "node": "/nodes/{}",
}


class Asked:
    """One request; what is known of its sender and parameters goes into the log."""

    def __init__(self, cluster: Cluster, authority: Authority, path: str) -> None:
        self._cluster = cluster
        self._authority = authority
        self._path = "/" + "/".join(filter(None, path.split("/")))
        self.identity = _NOBODY
        self.params: request.Params = {}

    async def answer(self, http: web.Request) -> web.Response:
        """Answer as the real server does, as fast or slow as the platform says."""
        platform = self._cluster.platform
        if platform.latency.request:
            await asyncio.sleep(platform.latency.request)
        try:
            return request.success(await self._handle(http))
        except ApiError as error:
            if error.status == UNAUTHORIZED:
                await asyncio.sleep(platform.timing.auth_failure)
            return request.failure(error)

    async def _handle(self, http: web.Request) -> object:
        if (http.method, self._path) != ("POST", "/access/ticket"):
            write = http.method != "GET"
            self.identity = self._authority.identify(http.headers, write=write)
        self.params = await request.parameters(http)
        found = calls.find(http.method, self._path)
        if found is None:
            raise ApiError(f"Method '{http.method} {self._path}' not implemented", 501)
        route, values = found
        self._permit(route, values)
        if "node" in values:
            self._cluster.check_node(values["node"])
        if "vmid" in values:
            parameters.check({"vmid": values["vmid"]}, {"vmid": parameters.VMID})
        parameters.check(self.params, route.params)
        plain = {name: value for name, value in self.params.items() if isinstance(value, str)}
        return await route.handler(
            Call(self._cluster, self._authority, self.identity, values, plain)
        )

    def _permit(self, route: calls.Route, values: Mapping[str, str]) -> None:
        """Refuse who lacks the privilege; this comes before the parameters are looked at."""
        if route.privilege is None or self.identity.allowed:
            return
        if not route.privilege:
            raise forbidden()
        where = next((t.format(values[k]) for k, t in _PRIVILEGE_PATHS.items() if k in values), "/")
        raise forbidden(f"{where}, {route.privilege}")

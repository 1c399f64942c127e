"""The lab's Proxmox endpoint in a process of its own: `endpoint.py PLATFORM CERT KEY LOG`.

Prints its port and its secrets as a JSON line, and serves until its standard input closes.
"""

import asyncio
import json
import secrets
import sys
from pathlib import Path

from stackyard.lab.api.server import Endpoint
from stackyard.lab.machine import Simulated
from stackyard.lab.platform_file import load_platform


async def serve(document: Path, cert: Path, key: Path, log: Path) -> None:
    platform = load_platform(document)
    known = {name: secrets.token_hex(16) for name in platform.identities}
    endpoint = Endpoint(platform, Simulated(), log, cert, key, secrets=known)
    await endpoint.start([("127.0.0.1", 0)])
    sys.stdout.write(json.dumps({"port": endpoint.ports[0], "secrets": known}) + "\n")
    sys.stdout.flush()
    try:
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await endpoint.stop()


if __name__ == "__main__":
    asyncio.run(serve(*(Path(argument) for argument in sys.argv[1:5])))

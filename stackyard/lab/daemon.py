"""The process that is the lab: `python -m stackyard.lab.daemon DIR`, started by `lab up`.

It goes to the background at once. With machines it isolates itself first: see `isolation`.
"""

import asyncio
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from stackyard.lab import isolation, processes
from stackyard.lab.errors import LabError
from stackyard.lab.folder import Folder
from stackyard.lab.settings import Settings, load_settings

LOG = logging.getLogger(__name__)


def main(folder: Folder) -> None:
    """Start the lab of a folder in the background; its settings lie there."""
    settings = load_settings(folder)
    body = partial(run, folder, settings)
    if settings.simulated:
        _detach(folder.process, partial(body, None))
    else:
        isolation.isolate(folder.process, body)


def _detach(process_file: Path, body: partial[None]) -> None:
    child = os.fork()
    if child:
        processes.identify(child).save(process_file)
    else:
        body()


def run(folder: Folder, settings: Settings, outside: isolation.Outside | None) -> None:
    """Serve until SIGTERM; an error ends the process and is the last thing in its log."""
    os.umask(0o077)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO
    )
    try:
        asyncio.run(_serve(folder, settings, outside))
    except LabError as error:
        LOG.critical("%s", error)
        sys.exit(1)


async def _serve(folder: Folder, settings: Settings, outside: isolation.Outside | None) -> None:
    # Imported here, in the process that needs it: init and starter stay small.
    from stackyard.lab.services import serve

    asked_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)
    async with AsyncExitStack() as stack:
        await serve(folder, settings, outside, stack)
        await asked_to_end.wait()
        LOG.info("asked to end")


if __name__ == "__main__":
    main(Folder(Path(sys.argv[1])))

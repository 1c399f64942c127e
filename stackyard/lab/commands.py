"""Other programs, run to their end."""

import asyncio

from stackyard.lab.errors import LabError


async def run(*argv: str, given: str = "") -> str:
    """Return a program's output, with a text given as its input; LabError when it fails."""
    return (await run_binary(*argv, given=given)).decode()


async def run_binary(*argv: str, given: str = "") -> bytes:
    """Return a program's output as it is; LabError when it fails."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(given.encode())
    if process.returncode:
        said = errors.decode(errors="replace").strip() or f"exit code {process.returncode}"
        raise LabError(f"{argv[0]} failed: {said}")
    return output

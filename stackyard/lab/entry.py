"""Going into a running lab: its network, and the variables that point at it."""

import os
import shutil
import sysconfig
from collections.abc import Mapping, Sequence

from stackyard.lab import namespaces
from stackyard.lab.control import Lab
from stackyard.lab.errors import LabError

NOT_FOUND = 127  # what a shell says of a command that is not there
FALLBACK_SHELL = "/bin/sh"


def surroundings(lab: Lab, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which the product and its tools find the lab, and each other."""
    # stackyard, ansible, kubectl and bao lie beside this Python, whether that is on PATH or not.
    path = os.pathsep.join((sysconfig.get_path("scripts"), environ.get("PATH", os.defpath)))
    return {**environ, "PATH": path, "STACKYARD_LAB": str(lab.folder.path), **lab.environment}


def replace_process(lab: Lab, command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become a command inside the lab: its exit code and signals are then the command's own.

    Raises a LabError where the command is not found.
    """
    inside = surroundings(lab, environ)
    program = shutil.which(command[0], path=inside["PATH"])
    if program is None:
        raise LabError(f"{command[0]}: command not found")
    enter_network(lab)
    os.execve(program, list(command), inside)  # noqa: S606


def enter_network(lab: Lab) -> None:
    """Move the calling thread into the lab's LAN; a lab of simulated machines has none."""
    if lab.settings.simulated:
        return
    try:
        namespaces.enter_network_of(lab.process.pid)
    except PermissionError as error:
        raise LabError("only root can enter the lab's network") from error


def shell(environ: Mapping[str, str]) -> str:
    """Return the caller's shell."""
    return environ.get("SHELL") or FALLBACK_SHELL

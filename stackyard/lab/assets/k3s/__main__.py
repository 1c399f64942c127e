"""The command line of the stand-in: server, agent, kubectl, --version."""

import sys

from . import agent, flags, kubectl, log, server
from .version import BUILD, VERSION

NOT_HERE = (
    "certificate",
    "check-config",
    "completion",
    "crictl",
    "ctr",
    "etcd-snapshot",
    "secrets-encrypt",
    "token",
)


def main() -> None:
    """Run one command; K3s's exit codes: 0, and 1 for whatever is wrong."""
    command, *rest = sys.argv[1:] or ["--help"]
    try:
        sys.exit(_run(command, rest))
    except log.FatalError as reason:
        log.fatal(str(reason))
        sys.exit(1)


def _run(command: str, rest: list[str]) -> int:
    if command in ("--version", "-v"):
        sys.stdout.write(f"k3s version {VERSION} ({BUILD})\nno containers run here\n")
    elif command == "server":
        server.run(flags.parse(command, rest))
    elif command == "agent":
        agent.run(flags.parse(command, rest), server.stopped_by_signals())
    elif command == "kubectl":
        return kubectl.run(rest)
    elif command in NOT_HERE:
        raise log.FatalError(f"k3s {command} is not part of the stand-in")
    elif command in ("--help", "-h", "help"):
        sys.stdout.write("usage: k3s server|agent|kubectl [OPTIONS]  (a stand-in)\n")
    else:
        raise log.FatalError(f"No help topic for '{command}'")
    return 0


if __name__ == "__main__":
    main()

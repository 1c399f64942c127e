"""Where and how Ansible runs: the ansible-playbook of our own environment, in the site's folder.

The site's ansible.cfg counts there, and our callbacks are added to those that it has.
"""

import sys
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from stackyard.run.errors import PlayError, short

CALLBACKS = Path(__file__).parent / "callbacks"
_EVENTS = "stackyard_events"
_TEXT = "stackyard_text"


@dataclass(frozen=True, slots=True)
class Controller:
    """What runs plays."""

    site: Path  # its working folder
    environ: Mapping[str, str] = field(repr=False)
    log: Path | int = 2  # a file for what Ansible prints for people, or a descriptor

    @property
    def program(self) -> str:
        """The path of ansible-playbook.

        Raises:
            PlayError: it is not there.
        """
        program = Path(sys.executable).parent / "ansible-playbook"
        if not program.exists():
            raise PlayError(f"{program} is not there: install ansible-core beside stackyard")
        return str(program)

    def with_config(self) -> dict[str, str]:
        """Return the environment, with the site's ansible.cfg named in it.

        In a folder that all may write Ansible would pass that over.
        """
        config = self.site.resolve() / "ansible.cfg"
        own = {"ANSIBLE_CONFIG": str(config)} if config.is_file() else {}
        return {**own, **self.environ}

    def with_callbacks(self, descriptor: int) -> dict[str, str]:
        """Return the same with our callbacks added to those that it or an ansible.cfg has.

        Events go to the descriptor.

        Raises:
            PlayError: the ansible.cfg cannot be read.
        """
        config = self.site.resolve() / _at_home(self.environ.get("ANSIBLE_CONFIG") or "ansible.cfg")
        base = _defaults(config)
        paths = self.environ.get("ANSIBLE_CALLBACK_PLUGINS") or _absolute(
            base.get("callback_plugins", ""), config.parent
        )
        enabled = self.environ.get("ANSIBLE_CALLBACKS_ENABLED") or base.get("callbacks_enabled", "")
        text = self.environ.get("ANSIBLE_STDOUT_CALLBACK") or base.get("stdout_callback", "default")
        return {
            **self.with_config(),
            "ANSIBLE_STDOUT_CALLBACK": _TEXT if text == "default" else text,
            "STACKYARD_EVENTS_FD": str(descriptor),
            "ANSIBLE_CALLBACK_PLUGINS": ":".join(filter(None, (str(CALLBACKS), paths))),
            "ANSIBLE_CALLBACKS_ENABLED": ",".join(filter(None, (_EVENTS, enabled))),
        }


def _defaults(config: Path) -> Mapping[str, str]:
    settings = ConfigParser(interpolation=None, strict=False, inline_comment_prefixes=(";",))
    try:
        settings.read(config, encoding="utf-8")
    except (ConfigParserError, UnicodeDecodeError) as error:
        raise PlayError(f"{config} cannot be read: {short(str(error))}") from error
    return settings["defaults"] if settings.has_section("defaults") else {}


def _absolute(paths: str, folder: Path) -> str:
    """Paths of an ansible.cfg are relative to it; those of the environment to the working one."""
    return ":".join(str(folder / _at_home(path)) for path in paths.split(":") if path)


def _at_home(text: str) -> Path:
    with suppress(RuntimeError):  # a ~ of nobody's is a name like any other, for Ansible too
        return Path(text).expanduser()
    return Path(text)

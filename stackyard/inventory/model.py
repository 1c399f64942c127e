"""Hosts and groups as values that every reader understands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackyard.definitions.model import Source
from stackyard.errors import StackyardError

DEFINITION = "stackyard_definition"  # the variable that holds it


class InventoryError(StackyardError):
    """The definitions make no inventory; the sentence says which host or group is in the way."""


class ClashError(InventoryError):
    """Two definitions want the same name for different things; `problem` says where."""

    def __init__(self, source: Source, key: str, sentence: str) -> None:
        self.problem = source.problem(key, sentence)
        super().__init__(str(self.problem))


@dataclass(frozen=True, slots=True)
class Host:
    """One host; `address` is None where only DHCP knows it."""

    name: str
    address: str | None
    variables: Mapping[str, Any]
    groups: tuple[str, ...]  # the ones it is a direct member of, sorted

    @property
    def definition(self) -> Mapping[str, Any]:
        """What the definition gives of which the host was made, by the model's names."""
        given: Mapping[str, Any] = self.variables[DEFINITION]
        return given


@dataclass(frozen=True, slots=True)
class Group:
    """One group; `hosts` are its direct members, sorted."""

    name: str
    hosts: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    variables: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """All hosts and groups by name, and the variables of all hosts."""

    hosts: Mapping[str, Host]
    groups: Mapping[str, Group]
    variables: Mapping[str, Any]

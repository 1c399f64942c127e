"""YAML text to plain values and back, as kubectl reads it. Knows nothing of kubeconfigs.

kubectl's YAML library takes more words for numbers and booleans than PyYAML does (`y`, `1e3`), so
what is written is quoted unless it is sure to be a text for both.
"""

import json
import math
import re
from typing import Any, ClassVar

import yaml

from stackyard.definitions import nesting
from stackyard.definitions.document import NO_SUCH_VALUE, is_long_text
from stackyard.definitions.nesting import NestingError, check_nesting

TEXT, MAPPING, LIST, MERGE = (f"tag:yaml.org,2002:{tag}" for tag in ("str", "map", "seq", "merge"))
BOOL, INT, FLOAT = (f"tag:yaml.org,2002:{tag}" for tag in ("bool", "int", "float"))
NULL, BINARY = (f"tag:yaml.org,2002:{tag}" for tag in ("null", "binary"))
NUMBERS = frozenset([INT, FLOAT])
# Others are no JSON, as which kubectl takes every YAML: a set, a date, pairs.
SCALARS = frozenset([BOOL, INT, FLOAT, NULL, BINARY])
ONLY_PYYAMLS = frozenset(["tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"])
# Lists and mappings that aliases may blow a document up to; one of 1,000 clusters has 8,000.
MOST_VALUES = 200_000
PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+=-]*(?::[A-Za-z0-9_./@+=-]+)*")
WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])
UNPRINTABLE = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
LONGEST_KEY = 120


def _as_kubectl(reader_or_writer: Any) -> Any:
    """Add the words without quotes that are no texts for kubectl, though they are for PyYAML."""
    for tag, words, first in (
        (BOOL, "[yYnN]", "yYnN"),
        (INT, "[-+]?0o[0-7_]+", "-+0"),
        (FLOAT, r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+", "-+0123456789"),
        (FLOAT, r"[-+]\.[0-9]+([eE][-+]?[0-9]+)?", "-+"),
    ):
        reader_or_writer.add_implicit_resolver(tag, re.compile(f"^(?:{words})$"), list(first))
    return reader_or_writer


@_as_kubectl
class Loader(nesting.Loader):  # type: ignore[misc, valid-type] # with or without libyaml
    """PyYAML's with kubectl's words, that looks closer at those alone that may be no texts."""

    bool_values: ClassVar = nesting.Loader.bool_values | {"y": True, "n": False}

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        """Return the tag of a node; `implicit` says whether it is a word without quotes."""
        if kind is yaml.ScalarNode and value and value[0] not in self.yaml_implicit_resolvers:
            return TEXT
        tag = super().resolve(kind, value, implicit)
        # 12:30 is the number 750 for PyYAML, 2024-01-01 a date, and 3e999 infinite.
        is_text = tag in ONLY_PYYAMLS or (tag in NUMBERS and ":" in value)
        return TEXT if is_text or (tag in NUMBERS and _is_huge(tag, value)) else tag


def _is_huge(tag: str, number: str) -> bool:
    if tag == INT:
        return is_long_text(number)
    return number[-1].isdigit() and math.isinf(float(number.replace("_", "")))


Dumper = _as_kubectl(type("Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {}))


class TextError(Exception):
    """A text that is not one YAML document; the sentence quotes nothing of it."""


def read_yaml(text: str) -> Any:
    """Return the only document of a text, each alias expanded; None where there is none.

    Raises:
        TextError: broken YAML, several documents, a key twice, or an alias without end.
    """
    try:
        check_nesting(text)
        loader = Loader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else _Reader(loader).value(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        if "expected a single document" in str(error.context):
            raise TextError("has several YAML documents") from None
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise TextError(f"is not valid YAML{line}") from None
    except NestingError as error:
        raise TextError(f"{error}, in line {error.line}") from None
    except RecursionError:
        raise TextError("has an alias inside its own anchor") from None
    except (yaml.YAMLError, ValueError):
        raise TextError("is not valid YAML") from None


def write_yaml(value: Any) -> str:
    """Return a document as text, its keys in their order."""
    try:
        lines: list[str] = []
        _write(lines, value, "")
        return "".join(lines)
    except _UnusualError:
        return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True))


class _Reader:
    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.left = MOST_VALUES

    def value(self, node: Any) -> Any:
        tag = node.tag
        if tag == TEXT and isinstance(node, yaml.ScalarNode):
            return node.value
        self.left -= 1
        if self.left < 0:
            raise TextError("has aliases that blow it up")
        if tag == MAPPING and isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if tag == LIST and isinstance(node, yaml.SequenceNode):
            return [self.value(one) for one in node.value]
        return self._scalar(node)

    def _scalar(self, node: Any) -> Any:
        try:
            if node.tag in SCALARS:
                return self.loader.construct_object(node)
        except NO_SUCH_VALUE:  # a tag forced upon another value, which the exception may quote
            pass
        raise TextError(f"has a value in line {node.start_mark.line + 1} that is none of its tag")

    def _mapping(self, node: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value in node.value:
            if key.tag == MERGE:
                self.loader.flatten_mapping(node)
                return {self.value(key): self.value(value) for key, value in node.value}
            name = self.value(key)
            if isinstance(name, dict | list):
                raise TextError(f"has a key in line {key.start_mark.line + 1} that is no text")
            if name in made:
                raise TextError(f"has a key twice, again in line {key.start_mark.line + 1}")
            made[name] = self.value(value)
        return made


class _UnusualError(Exception):
    """A value that no kubeconfig has: PyYAML writes it."""


def _write(lines: list[str], value: Any, indent: str) -> None:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            name = _scalar(key)
            if len(name) > LONGEST_KEY:
                raise _UnusualError
            if isinstance(below, dict | list) and below:
                lines.append(f"{indent}{name}:\n")
                _write(lines, below, indent if isinstance(below, list) else f"{indent}  ")
            else:
                lines.append(f"{indent}{name}: {_scalar(below)}\n")
    elif isinstance(value, list) and value:
        for one in value:
            first = len(lines)
            _write(lines, one, f"{indent}  ")
            # A dash stands where the indentation of what it holds begins.
            lines[first] = f"{indent}- {lines[first].removeprefix(f'{indent}  ')}"
    else:
        lines.append(f"{indent}{_scalar(value)}\n")


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        if PLAIN.fullmatch(value) and value.lower() not in WORDS:
            return value
        quoted = json.dumps(value, ensure_ascii=False)
        return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, dict | list) and not value:
        return "{}" if isinstance(value, dict) else "[]"
    raise _UnusualError

"""YAML text to plain values that still know their lines. Knows nothing of virtual machines."""

import operator
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from stackyard.definitions.nesting import Loader, NestingError, check_nesting
from stackyard.errors import StackyardError

MERGE = "tag:yaml.org,2002:merge"
TEXT = "tag:yaml.org,2002:str"
# `=` and, as a value, `<<` are texts to everybody but YAML 1.1.
TEXTS = {TEXT, MERGE, "tag:yaml.org,2002:value"}
BINARY = "tag:yaml.org,2002:binary"
MAPPING = "tag:yaml.org,2002:map"
SEQUENCE = "tag:yaml.org,2002:seq"
INT = "tag:yaml.org,2002:int"
# What PyYAML's constructors let through when a tag is forced upon another value (`!!timestamp x`).
NO_SUCH_VALUE = (ValueError, LookupError, AttributeError, TypeError, OverflowError)
RESOLVER: Any = yaml.resolver.Resolver()
LONGEST_KEPT = 64  # characters of a scalar whose kind is remembered
LONGEST_NUMBER = 64  # characters
BASED_NUMBER = re.compile(r"[-+]?0[xob]_*[0-9a-fA-F][0-9a-fA-F_]*")
_LINED_UP = ": begin the line where its neighbours do, and put a text with : or { in it into quotes"
# What to look at, by what libyaml says of the usual mistakes.
HINTS = {
    "mapping values are not allowed in this context": _LINED_UP,
    "did not find expected key": _LINED_UP,
    "found character that cannot start any token": (
        ": indent with blanks and no tab, and put such a text into quotes"
    ),
}
# What a document may hold once its aliases are followed: nine short lines can ask for billions.
MOST_VALUES = 100_000


class Mapping(dict[str, Any]):
    """A YAML mapping: a dict that knows the line of each of its keys, counted from 1.

    A key that came through `<<` has the line where it is written, at the anchor say.
    """

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}

    def line_of(self, key: str) -> int:
        """Return the line of a key, or of the mapping itself where the key is absent."""
        return self.lines.get(key, self.line)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: where it is and what to do about it."""

    path: str
    line: int
    sentence: str

    def __str__(self) -> str:
        """Return `file:line: sentence`, one line whatever it quotes, as CI logs link it."""
        letters = (one if one.isprintable() else repr(one)[1:-1] for one in self.sentence)
        return f"{self.path}:{self.line}: {''.join(letters)}"


class DocumentError(StackyardError):
    """A text that is not one YAML document of plain values."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line


def read_document(text: str) -> Any:
    """Return the only document of a text, its mappings as `Mapping`; None where there is none.

    Raises:
        DocumentError: broken YAML, several documents, an unknown tag, a key twice in one mapping,
            a key that is not a string, an alias of something that holds itself, aliases that
            make more than `MOST_VALUES` values, or nested without measure.
    """
    try:
        check_nesting(text)
        loader: Any = Loader(text)
        loader.resolve = _resolve
        # PyYAML looks at each node's path twice, to no end: here no tag depends on one.
        loader.descend_resolver, loader.ascend_resolver = operator.is_, bool
        try:
            node = loader.get_single_node()
            return None if node is None else _Reader(loader).value(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # Of several documents the problem is but the second half of a sentence.
        begun = f"{error.context}, " if str(error.problem).startswith("but ") else ""
        more = _opened(error, _line(mark)) or HINTS.get(str(error.problem), "")
        said = f"not valid YAML: {begun}{error.problem}{more}"
        raise DocumentError(_line(mark), said) from None
    except yaml.reader.ReaderError as error:
        raise DocumentError(
            text.count("\n", 0, max(error.position, 0)) + 1, f"not valid YAML: {error.reason}"
        ) from None
    except NestingError as error:
        raise DocumentError(error.line, str(error)) from None


def _opened(error: yaml.MarkedYAMLError, line: int) -> str:
    """Tell where a quote or a bracket was opened that a later line shows to be open still."""
    context, begun = str(error.context), _line(error.context_mark)
    is_open = context.startswith("while ") and "block" not in context  # blocks are open to the end
    return f", {context} that begins in line {begun}" if is_open and begun < line else ""


def _line(mark: yaml.Mark | None) -> int:
    return mark.line + 1 if mark else 1


def _resolve(kind: type, value: str | None, implicit: Any) -> str:
    """Return a node's tag as PyYAML does; it depends on the text alone, and texts recur."""
    if value is not None and len(value) > LONGEST_KEPT:
        return _tag(kind, value, implicit)
    return _kept_tag(kind, value, implicit)


def _tag(kind: type, value: str | None, implicit: Any) -> str:
    tag = str(RESOLVER.resolve(kind, value, implicit))
    return TEXT if tag == INT and value and is_long_text(value) else tag


_kept_tag = lru_cache(maxsize=16384)(_tag)


def is_long_text(number: str) -> bool:
    """Tell whether Go takes a number as 0x… for a text, since 64 bits do not hold it.

    Go's YAML library writes what SOPS decrypts, and reads kubeconfigs; it puts no quotes around it.
    """
    if not BASED_NUMBER.fullmatch(number):
        return False
    return not -(2**63) <= int(number.replace("_", ""), 0) < 2**64


def is_utf8(text: str) -> bool:
    """Tell whether a text can be sent and written: one of the environment may hold other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Reader:
    """Makes values of nodes, those under an anchor once, and counts what aliases make of them."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.known: dict[int, tuple[Any, int]] = {}
        self.open: set[int] = set()
        self.count = 0

    def value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            self.count += 1
            return node.value if node.tag in TEXTS else self._scalar(node)
        key = id(node)
        if key in self.open:
            raise DocumentError(_line(node.start_mark), "an alias stands inside its own anchor")
        if key in self.known:
            value, size = self.known[key]
            self.count += size
        else:
            before = self.count
            self.count += 1
            self.open.add(key)
            value = self._collection(node)
            self.open.discard(key)
            self.known[key] = value, self.count - before
        if self.count > MOST_VALUES:
            line = _line(node.start_mark)
            raise DocumentError(line, f"more than {MOST_VALUES} values: a definition is one VM")
        return value

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag == BINARY:
            raise DocumentError(_line(node.start_mark), "binary data is no value of a definition")
        line = _line(node.start_mark)
        if node.tag.startswith("!"):
            raise _tagged(node)
        if node.tag == INT and len(node.value) > LONGEST_NUMBER:
            # Python neither writes one of thousands of digits nor makes a float of one of hundreds;
            # to read one as 1:59:59… takes minutes.
            sentence = f"a number of more than {LONGEST_NUMBER} digits: put it in quotes"
            raise DocumentError(line, sentence)
        try:
            return self.loader.construct_object(node)
        except NO_SUCH_VALUE:
            text = node.value[:LONGEST_KEPT]
            raise DocumentError(line, f"{text!r} is not a value of its kind") from None

    def _collection(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == MAPPING:
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == SEQUENCE:
            return [self.value(item) for item in node.value]
        raise _tagged(node)

    def _mapping(self, node: yaml.MappingNode) -> Mapping:
        result = Mapping(node.start_mark.line + 1)
        merge: tuple[int, yaml.Node] | None = None
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == MERGE:
                if merge:
                    raise _twice("<<", merge[0], line)
                merge = line, value_node
                continue
            key = self.value(key_node)
            if not isinstance(key, str):
                raise _no_key(line, key)
            if key in result.lines:
                raise _twice(key, result.lines[key], line)
            result[key] = self.value(value_node)
            result.lines[key] = line
        return self._merged(merge[1], result) if merge else result

    def _merged(self, node: yaml.Node, own: Mapping) -> Mapping:
        """Return a mapping over what `<<` merges into it: of a list of mappings the first wins."""
        result = Mapping(own.line)
        values = self.value(node)
        for mapping in (own, *(values if isinstance(values, list) else [values]))[::-1]:
            if not isinstance(mapping, Mapping):
                raise DocumentError(_line(node.start_mark), "<< merges mappings only")
            result.update(mapping)
            result.lines |= mapping.lines
        return result


def _no_key(line: int, key: Any) -> DocumentError:
    if isinstance(key, Mapping):  # as in `x: {{ y }}`
        return DocumentError(line, 'a text that begins with { needs quotes, as "{{ name }}"')
    return DocumentError(line, f"the key {key!r} is not a string: put it in quotes")


def _tagged(node: yaml.Node) -> DocumentError:
    sentence = f"the tag {node.tag} makes no plain value: leave it out"
    return DocumentError(_line(node.start_mark), sentence)


def _twice(key: str, first: int, line: int) -> DocumentError:
    return DocumentError(line, f"the key {key} stands here and in line {first}: keep one")

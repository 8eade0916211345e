"""YAML for recipes: safe, bounded, without duplicate keys, and ``1e-4`` is a number."""

from __future__ import annotations

import re
from typing import Any

import yaml

from kft_tasks import limits
from kft_train.errors import RecipeError

_NUMBERS = tuple(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp"))

_FOREIGN = {f"tag:yaml.org,2002:{name}": f"!!{name}" for name in ("binary", "set", "omap", "pairs")}  # not of JSON


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys and reads YAML 1.2 floats (in YAML 1.1 ``1e-4`` is a string).

    Lists and mappings are counted while the tree is built, an alias with all that it stands for: ten lines of aliases
    of aliases can stand for a billion values.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._sizes: dict[int, int] = {}  # by identity of the node, all of which the tree keeps
        self._open: list[int] = [0]  # values so far of the lists and mappings that are not finished

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Build one node, or find the one that an alias stands for."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if len(self._open) > limits.MAX_YAML_DEPTH:
            raise _excess(f"nested deeper than {limits.MAX_YAML_DEPTH}", event)
        self._open.append(1)
        node = super().compose_node(parent, index)
        size = self._open.pop()
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                raise _excess(f"alias {event.anchor!r} stands inside what it names", event)
            size = self._sizes[id(node)]
        elif isinstance(node, yaml.ScalarNode):
            _check_scalar(node)
        if node is not None and node.tag in _FOREIGN:
            raise _excess(f"{_FOREIGN[node.tag]} is no value of a recipe", event)
        self._sizes[id(node)] = size
        self._open[-1] += size
        if self._open[-1] > limits.MAX_YAML_NODES:
            raise _excess(f"stands for over {limits.MAX_YAML_NODES:,} values, aliases written out", event)
        return node

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """The tag of a value; a long one is text."""
        if kind is yaml.ScalarNode and len(value) > limits.MAX_YAML_NUMBER:
            return self.DEFAULT_SCALAR_TAG
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


def _check_scalar(node: yaml.ScalarNode) -> None:
    if len(node.value) > limits.MAX_YAML_NUMBER and node.tag in _NUMBERS:
        raise _excess(f"a number or date of over {limits.MAX_YAML_NUMBER} characters", node)
    try:
        node.value.encode()
    except UnicodeEncodeError:
        raise _excess("half a surrogate pair, not valid Unicode", node) from None


def _excess(problem: str, place: yaml.Event | yaml.Node) -> yaml.YAMLError:
    mark: Any = place.start_mark
    return yaml.composer.ComposerError(None, None, problem, mark)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, int] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a string", key_node.start_mark)
        line = key_node.start_mark.line + 1
        if key in seen:
            problem = f"key {key!r} is duplicated (first in line {seen[key]})"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        seen[key] = line
    loader.flatten_mapping(node)
    return {loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_yaml(text: str, where: str) -> Any:
    """Parse one YAML document.

    Raises:
        RecipeError: not YAML, a duplicate key, an unsafe tag, or too large; the message names the line.
    """
    if len(text) > limits.MAX_YAML_BYTES:
        raise RecipeError(f"{where}: larger than {limits.MAX_YAML_BYTES >> 20} MiB. Give the path of a recipe.")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise RecipeError(f"{where}{line}: {problem}. Correct the YAML.") from error
    except (RecursionError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
        # what PyYAML lets through: a date such as 2024-13-45, !!int '', !!bool 'q', !!timestamp 'q', <<: [1]
        raise RecipeError(f"{where}: cannot be read ({type(error).__name__}: {error}). Correct the YAML.") from error


def dump_yaml(value: Any) -> str:
    """YAML text that keeps the order of keys."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)


def apply_override(tree: Any, override: str) -> None:
    """Set one value in place, such as ``stages.0.learning_rate=1e-4``; the value is parsed as YAML.

    Raises:
        RecipeError: no "=", or a path through a value that is neither mapping nor list.
    """
    path, equals, text = override.partition("=")
    if not equals:
        raise RecipeError(f"Override {override!r} is not KEY=VALUE. Write, for example, stages.0.learning_rate=1e-4.")
    where = f"override {override!r}"
    set_value(tree, path.strip(), parse_yaml(text, where), where)


def set_value(tree: Any, path: str, value: Any, where: str) -> None:
    """Put ``value`` at a dotted path, in place. Missing or null mappings are created; validation checks them later.

    Raises:
        RecipeError: an empty key, a list index out of range, or a path through a plain value.
    """
    keys = path.split(".")
    if not all(keys):
        raise RecipeError(f"{where}: {path!r} is not a path. Write, for example, stages.0.learning_rate.")
    place = tree
    for depth, key in enumerate(keys):
        slot = _slot(place, key, ".".join(keys[:depth]), where)
        if depth == len(keys) - 1:
            place[slot] = value
        elif isinstance(place, dict) and place.get(slot) is None:
            place[slot] = {}
        place = place[slot]


def _slot(place: Any, key: str, name: str, where: str) -> str | int:
    """The key of a mapping or index of a list that ``key`` stands for."""
    if isinstance(place, dict):
        return key
    if not isinstance(place, list):
        raise RecipeError(f"{where}: {name} has no parts. Shorten the path.")
    if not key.isdecimal() or int(key) >= len(place):
        raise RecipeError(f"{where}: {name} is a list of {len(place)}. Use a number from 0 to {len(place) - 1}.")
    return int(key)

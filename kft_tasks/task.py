"""Where the lm-eval task class was in version 0.1.0: YAML files that name this module are told the new one."""

from __future__ import annotations

from typing import NoReturn

from kft_tasks.errors import UsageError

_MOVED = {
    "KnowledgeTask": "kft_tasks.harness.task",
    "METRICS": "kft_tasks.harness.task",
    "KnowledgeInstance": "kft_tasks.harness.instance",
}


def __getattr__(name: str) -> NoReturn:
    refuse_moved(__name__, _MOVED, name)


def refuse_moved(old: str, moved: dict[str, str], name: str) -> NoReturn:
    """Say where ``name`` of the module ``old`` is now; ``moved`` holds new modules by name.

    Raises:
        UsageError: the name has moved.
        AttributeError: the module never had it.
    """
    if name not in moved:
        raise AttributeError(f"module {old!r} has no attribute {name!r}")
    from kft_tasks.harness.patches import show_errors_in_one_line

    show_errors_in_one_line()  # lm-eval imports names in YAML files before any task of ours is made
    raise UsageError(f"{old}.{name} has moved. Write {moved[name]}.{name} instead.")

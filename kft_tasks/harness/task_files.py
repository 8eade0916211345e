"""The lm-eval YAML files that kft ships."""

from __future__ import annotations

from pathlib import Path

import yaml

from kft_tasks import limits
from kft_tasks.errors import DataError
from kft_tasks.files import read_text


def task_folder() -> Path:
    """The folder for ``lm_eval --include_path``."""
    return Path(__file__).resolve().parents[1] / "lm_eval_tasks"


def task_names() -> dict[str, str]:
    """Names of tasks and groups with their files, sorted.

    lm-eval silently skips a YAML file that does not parse; here it is an error.

    Raises:
        DataError: a file does not parse or names no task.
    """
    found: dict[str, str] = {}
    for file in sorted(task_folder().glob("**/*.yaml")):
        try:
            tree = yaml.load(read_text(file, limits.MAX_YAML_BYTES), Loader=_Loader)
        except (OSError, yaml.YAMLError) as error:
            raise DataError(f"{file}: does not parse ({error}). Reinstall kft.") from error
        name = tree.get("task") if isinstance(tree, dict) else None
        name = tree.get("group", name) if isinstance(tree, dict) else name
        if not isinstance(name, str):
            raise DataError(f"{file}: names no task. Reinstall kft.")
        found[name] = str(file)
    return found


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads lm-eval's ``!function`` as text."""


def _as_text(loader: yaml.SafeLoader, node: yaml.Node) -> str:
    return str(node.value)


_Loader.add_constructor("!function", _as_text)

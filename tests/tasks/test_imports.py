"""Imports point down, and who needs a heavy library pays for it."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kft_tasks

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "lm_eval", "trl", "peft", "datasets", "accelerate", "scipy", "matplotlib")
# What each package may not know. kft_cli knows all.
FORBIDDEN = {
    "kft_tasks": ("kft_train", "kft_cli", "trl", "peft"),
    "kft_train": ("kft_cli", "lm_eval"),
}
# These are lm-eval's or torch's side of the border; everything else imports heavy libraries inside functions.
HEAVY_MODULES = {
    f"kft_tasks.{name}" for name in ("backend", "engine", "harness", "loading", "pack", "segments", "task")
}


def _loaded_by(*modules: str) -> list[str]:
    program = "import importlib, json, sys\n" + "".join(f"importlib.import_module({name!r})\n" for name in modules)
    program += f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")])}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    return list(json.loads(result.stdout))


@pytest.mark.parametrize("module", ["kft_tasks", "kft_train", "kft_cli.main"])
def test_importing_a_package_loads_nothing_heavy(module: str) -> None:
    sys.path.append(str(ROOT / "cli"))
    try:
        if importlib.util.find_spec(module.split(".")[0]) is None:
            pytest.skip(f"there is no {module} yet")
    finally:
        sys.path.remove(str(ROOT / "cli"))
    assert _loaded_by(module) == []


def test_only_the_modules_at_the_border_load_anything_heavy() -> None:
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "kft_tasks").glob("**/*.py")
        if path.parent.name not in ("hook", "worldfacts")
    }
    assert names > HEAVY_MODULES
    assert _loaded_by(*sorted(names - HEAVY_MODULES)) == []


def _imported(path: Path) -> set[str]:
    """Everything a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_point_down(package: str) -> None:
    files = sorted((ROOT / package).glob("**/*.py"))
    assert files
    for path in files:
        roots = {name.split(".")[0] for name in _imported(path)}
        assert not roots & set(FORBIDDEN[package]), path


def test_every_public_name_is_there_and_listed() -> None:
    assert sorted(kft_tasks.__all__, key=str.lower) == sorted(set(kft_tasks.__all__), key=str.lower)
    assert all(hasattr(kft_tasks, name) for name in kft_tasks.__all__)

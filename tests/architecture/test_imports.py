"""Imports point downwards, form no circle, and only modules that need a heavy library load it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from imports import FLOORS, circles, imports_of, modules_of, upward

import kft_tasks

ROOT = Path(__file__).parents[2]
PACKAGES = {"kft_tasks": ROOT / "kft_tasks", "kft_train": ROOT / "kft_train", "kft_cli": ROOT / "cli" / "kft_cli"}
HEAVY = ("torch", "transformers", "lm_eval", "trl", "peft", "datasets", "accelerate", "scipy")
# What each package must not import. kft_cli may import all.
FORBIDDEN = {
    "kft_tasks": {"kft_train", "kft_cli", "trl", "peft"},
    "kft_train": {"kft_cli", "lm_eval"},
}
# These belong to lm-eval's or torch's side; all other modules import heavy libraries inside functions.
HEAVY_MODULES = {
    "kft_tasks.answering.hf_engine",
    "kft_tasks.engine.attention",
    "kft_tasks.engine.engine",
    "kft_tasks.engine.kv_cache",
    "kft_tasks.engine.model",
    "kft_tasks.engine.prefix_cache",
    "kft_tasks.engine.transfer",
    "kft_tasks.engine.trie",
    "kft_tasks.harness.hf_model",
    "kft_tasks.harness.instance",
    "kft_tasks.harness.lm_eval_versions",
    "kft_tasks.harness.metrics",
    "kft_tasks.harness.patches",
    "kft_tasks.harness.task",
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
    assert _loaded_by(module) == []


def test_only_the_modules_at_the_border_load_anything_heavy() -> None:
    names = {name.removesuffix(".__init__") for name in modules_of({"kft_tasks": PACKAGES["kft_tasks"]})}
    assert names > HEAVY_MODULES
    assert _loaded_by(*sorted(names - HEAVY_MODULES)) == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circles(list(imports_of(modules_of(PACKAGES)))) == []


def test_folders_import_downwards_only() -> None:
    assert [str(one) for one in upward(imports_of(modules_of(PACKAGES)))] == []


def test_every_folder_has_a_floor() -> None:
    folders = {name.rpartition(".")[0] for name in modules_of(PACKAGES)}
    assert folders == set(FLOORS)


def _planted(folder: Path, where: str, text: str) -> list[str]:
    for floor in ("kft_tasks", "kft_tasks.scoring", "kft_tasks.detection"):
        place = folder.joinpath(*floor.split("."))
        place.mkdir(parents=True, exist_ok=True)
        (place / "__init__.py").touch()
    (folder / "kft_tasks/scoring/rules.py").write_text("")
    (folder / "kft_tasks/detection/run.py").write_text("from kft_tasks.scoring.rules import x")
    (folder / where).write_text(text)
    found = list(imports_of(modules_of({"kft_tasks": folder / "kft_tasks"})))
    return [str(one) for one in upward(found)] + [" ".join(group) for group in circles(found)]


def test_a_planted_upward_import_and_a_planted_circle_are_named(tmp_path: Path) -> None:
    assert _planted(tmp_path / "sound", "kft_tasks/files.py", "import json") == []
    inside = "def f():\n    from kft_tasks.detection import run"
    assert _planted(tmp_path / "up", "kft_tasks/scoring/rules.py", inside) == [
        "kft_tasks.scoring.rules:2 imports kft_tasks.detection.run",
        "kft_tasks.detection.run kft_tasks.scoring.rules",
    ]
    assert _planted(tmp_path / "ground", "kft_tasks/files.py", "import kft_tasks.scoring.rules") == [
        "kft_tasks.files:1 imports kft_tasks.scoring.rules"
    ]


def _imported(path: Path) -> set[str]:
    """The top-level names of everything that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_a_package_does_not_know_what_is_above_it(package: str) -> None:
    for path in modules_of({package: PACKAGES[package]}).values():
        assert not _imported(path) & FORBIDDEN[package], path


def test_every_public_name_is_there_and_listed() -> None:
    assert sorted(kft_tasks.__all__, key=str.lower) == sorted(set(kft_tasks.__all__), key=str.lower)
    assert all(hasattr(kft_tasks, name) for name in kft_tasks.__all__)


def test_the_version_is_stated_once_and_cited() -> None:
    cited = [line for line in (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines() if "version:" in line]
    assert f"version: {kft_tasks.__version__}" in cited
    assert "\nversion =" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")

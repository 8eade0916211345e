"""The start-up hook, in separate processes: against lm-eval as installed, and against small stand-ins for others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HOOK = ROOT / "kft_tasks" / "harness" / "hook"
FOLDER = ROOT / "kft_tasks" / "lm_eval_tasks"


def _run(program: str, *paths: Path, site: bool = False, **environment: str) -> tuple[Any, str]:
    """Run a program that prints JSON; its value and what it wrote to stderr.

    Without ``site`` there are no installed packages, and no hook that an installed kft brings.
    """
    path = os.pathsep.join(str(path) for path in (*paths, HOOK, ROOT))
    result = subprocess.run(
        [sys.executable, *([] if site else ["-S"]), "-c", "import json, sys\n" + program],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore", **environment},
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), result.stderr


def test_the_pth_file_imports_the_hook_and_nothing_else() -> None:
    assert (HOOK / "kft_lm_eval.pth").read_text().split() == ["import", "_kft_lm_eval_hook"]


def test_the_hook_itself_loads_nothing() -> None:
    program = (
        "before = set(sys.modules); import _kft_lm_eval_hook; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    assert _run("import os\n" + program) == (["_kft_lm_eval_hook"], "")


# --- lm-eval as installed -------------------------------------------------------------------------------------------


def test_lm_eval_lists_kfts_tasks_and_model_without_a_flag() -> None:
    program = """
import _kft_lm_eval_hook
from lm_eval.tasks import TaskManager
from lm_eval.api.registry import model_registry
import lm_eval.models
manager = TaskManager()
print(json.dumps({
    "kft": [name for name in manager.all_tasks if name.startswith("kft")],
    "tag": sorted(manager._index["kft"].tags),
    "others": len(manager.all_tasks),
    "model": "kft-hf" in list(model_registry),
}))
"""
    found, errors = _run(program, site=True)
    assert {"kft", "kft_worldfacts", "kft_questions", "kft_wikiqa", "kft_entityquestions"} <= set(found["kft"])
    assert "kft_worldfacts" in found["tag"]
    assert found["others"] > 10_000
    assert found["model"]
    assert errors == ""


def test_paths_that_the_user_gives_keep_their_meaning(tmp_path: Path) -> None:
    """lm-eval's own folder is replaced by a small one: scanning it takes many seconds."""
    program = f"""
import logging
import _kft_lm_eval_hook as hook
import lm_eval.tasks.manager as manager
from pathlib import Path
logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
tmp = Path({str(tmp_path)!r})
def task(folder, name, text="test_split: test"):
    (tmp / folder).mkdir(exist_ok=True)
    (tmp / folder / f"{{name}}.yaml").write_text(f"task: {{name}}\\n{{text}}\\n")
task("defaults", "theirs"); task("own", "mine"); task("override", "kft_worldfacts")
manager.__file__ = str(tmp / "defaults" / "manager.py")
kft = {str(FOLDER)!r}
cases = {{
    "nothing": {{}},
    "own": {{"include_path": str(tmp / "own")}},
    "own as list": {{"include_path": [tmp / "own"]}},
    "kft's": {{"include_path": kft}},
    "kft's by another way": {{"include_path": kft + "/../lm_eval_tasks"}},
    "own alone": {{"include_path": str(tmp / "own"), "include_defaults": False}},
    "kft's alone": {{"include_path": kft, "include_defaults": False}},
    "override": {{"include_path": str(tmp / "override")}},
}}
found = {{}}
for name, given in cases.items():
    sys.stderr.write(f"<{{name}}>\\n")
    sys.stderr.flush()
    made = manager.TaskManager(**given)
    ours = made._index.get("kft_worldfacts")
    found[name] = ["theirs" in made.all_tasks, "mine" in made.all_tasks, ours and str(ours.yaml_path).startswith(kft)]
print(json.dumps(found))
"""
    found, errors = _run(program, site=True)
    assert found == {
        "nothing": [True, False, True],
        "own": [True, True, True],
        "own as list": [True, True, True],
        "kft's": [True, False, True],
        "kft's by another way": [True, False, True],
        "own alone": [False, True, None],
        "kft's alone": [False, False, True],
        "override": [True, False, False],
    }
    said = dict(part.split(">\n", 1) for part in errors.split("<")[1:])
    assert "overrides" in said.pop("override").lower()
    assert set(said.values()) == {""}


def test_a_task_file_of_kft_that_does_not_parse_is_named(tmp_path: Path) -> None:
    program = f"""
import _kft_lm_eval_hook as hook
import lm_eval.tasks.manager as manager
from pathlib import Path
tmp = Path({str(tmp_path)!r})
(tmp / "defaults").mkdir(); (tmp / "kft").mkdir()
(tmp / "kft" / "kft_good.yaml").write_text("task: kft_good\\ntest_split: test\\n")
(tmp / "kft" / "kft_bad.yaml").write_text("task: [\\n")
manager.__file__ = str(tmp / "defaults" / "manager.py")
hook._folder = lambda: str(tmp / "kft")
print(json.dumps(manager.TaskManager().all_tasks))
"""
    path = tmp_path / "kft" / "kft_bad.yaml"
    message = f"kft: {path} does not parse, its task is missing. Reinstall kft.\n"
    assert _run(program, site=True) == (["kft_good"], message)


# --- other releases of lm-eval, in miniature ------------------------------------------------------------------------

MANAGER = """
class TaskManager:
    def __init__(self, verbosity=None, include_path=None, include_defaults=True, metadata=None):
        self.given = [include_path, include_defaults]
"""
REGISTRY = """
class Registry(dict):
    def register(self, name, target):
        self[name] = target
model_registry = Registry()
"""
PROGRAM = """
import _kft_lm_eval_hook
from lm_eval.tasks.manager import TaskManager
import lm_eval.models
from lm_eval.api.registry import model_registry
print(json.dumps([TaskManager().given, model_registry]))
"""
PLAIN = [[None, True], {}]
EXTENDED = [[[str(FOLDER)], True], {"kft-hf": "kft_tasks.harness.hf_model:KftHF"}]


def _lm_eval(folder: Path, *, manager: str = MANAGER, registry: str = REGISTRY) -> Path:
    files = {
        "__init__.py": "",
        "api/__init__.py": "",
        "tasks/__init__.py": "",
        "models/__init__.py": "import lm_eval.api.registry",
        "tasks/manager.py": manager,
        "api/registry.py": registry,
    }
    for name, text in files.items():
        path = folder / "lm_eval" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_miniature_is_extended_as_lm_eval_is(tmp_path: Path) -> None:
    assert _run(PROGRAM, _lm_eval(tmp_path)) == (EXTENDED, "")


def test_the_off_switch(tmp_path: Path) -> None:
    assert _run(PROGRAM, _lm_eval(tmp_path), KFT_LM_EVAL_HOOK="0") == (PLAIN, "")


def test_the_hook_stands_down_where_lm_eval_finds_plug_ins_itself(tmp_path: Path) -> None:
    manager = MANAGER + "def discover_plugin_task_paths(): pass\n"
    registry = REGISTRY + "def load_plugins(): pass\n"
    assert _run(PROGRAM, _lm_eval(tmp_path, manager=manager, registry=registry)) == (PLAIN, "")


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("TaskManager('INFO')", [[str(FOLDER)], True]),
        ("TaskManager(include_path='mine')", [[str(FOLDER), "mine"], True]),
        ("TaskManager(include_path=['a', 'b'])", [[str(FOLDER), "a", "b"], True]),
        ("TaskManager('INFO', 'mine')", ["mine", True]),
        ("TaskManager(include_path='mine', include_defaults=False)", ["mine", False]),
        (f"TaskManager(include_path={str(FOLDER)!r})", [str(FOLDER), True]),
    ],
)
def test_the_folder_comes_before_the_users_own(tmp_path: Path, call: str, given: Any) -> None:
    program = (
        f"import _kft_lm_eval_hook\nfrom lm_eval.tasks.manager import TaskManager\nprint(json.dumps({call}.given))"
    )
    assert _run(program, _lm_eval(tmp_path)) == (given, "")


@pytest.mark.parametrize(
    ("changes", "manager_given", "models"),
    [
        ({"manager": "class Other: pass\nclass T:\n    given = None\nimport sys\n"}, None, EXTENDED[1]),
        ({"registry": "model_registry = {}"}, EXTENDED[0], {}),
    ],
    ids=["no TaskManager", "no register"],
)
def test_an_lm_eval_that_looks_different_still_works_and_the_reason_is_said(
    tmp_path: Path, changes: dict[str, str], manager_given: Any, models: Any
) -> None:
    program = """
import _kft_lm_eval_hook
import lm_eval.tasks.manager as manager, lm_eval.models
from lm_eval.api.registry import model_registry
made = manager.TaskManager() if hasattr(manager, "TaskManager") else manager.T
print(json.dumps([made.given, model_registry]))
"""
    found, errors = _run(program, _lm_eval(tmp_path, **changes))
    assert found == [manager_given, models]
    assert errors.startswith("kft: lm-eval could not be extended (AttributeError(")
    assert errors.endswith("use --include_path instead.\n")
    assert "Traceback" not in errors


def test_a_failure_while_the_folder_is_looked_up_never_breaks_lm_eval(tmp_path: Path) -> None:
    program = PROGRAM.replace("from lm_eval.tasks", "_kft_lm_eval_hook._folder = lambda: 1 / 0\nfrom lm_eval.tasks", 1)
    found, errors = _run(program, _lm_eval(tmp_path))
    assert found == [PLAIN[0], EXTENDED[1]]
    assert errors.startswith("kft: its tasks are not listed (ZeroDivisionError(")


def test_lm_evals_own_errors_are_not_swallowed(tmp_path: Path) -> None:
    program = """
import _kft_lm_eval_hook
try:
    import lm_eval.tasks.manager
except ZeroDivisionError:
    print(json.dumps("theirs"))
"""
    assert _run(program, _lm_eval(tmp_path, manager="1 / 0")) == ("theirs", "")
    strict = "class TaskManager:\n    def __init__(self, **kwargs):\n        raise KeyError(kwargs['include_path'])"
    program = """
import _kft_lm_eval_hook
from lm_eval.tasks.manager import TaskManager
try:
    TaskManager(include_path="mine")
except KeyError as error:
    print(json.dumps(error.args[0]))
"""
    assert _run(program, _lm_eval(tmp_path, manager=strict)) == ([str(FOLDER), "mine"], "")


def test_without_kft_tasks_lm_eval_is_as_it_was(tmp_path: Path) -> None:
    """The hook is left over, or kft is where this interpreter does not look."""
    program = f"sys.path = [path for path in sys.path if path != {str(ROOT)!r}]\n" + PROGRAM
    found, errors = _run(program, _lm_eval(tmp_path))
    assert (found[0], errors) == (PLAIN[0], "")


def test_modules_are_reloadable_and_keep_their_source(tmp_path: Path) -> None:
    program = """
import importlib, inspect, pkgutil
import _kft_lm_eval_hook
import lm_eval.tasks.manager as manager
importlib.reload(manager)
print(json.dumps([manager.TaskManager().given, "class TaskManager" in inspect.getsource(manager)]))
"""
    assert _run(program, _lm_eval(tmp_path)) == ([EXTENDED[0], True], "")

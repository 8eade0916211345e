"""The installed package: built, put into a new virtual environment, found by lm-eval, removed without a trace.

The environment gets kft itself; what kft depends on is borrowed from the environment that runs the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# lm-eval's own 14,000 YAML files take it ten seconds to read; one stands for them here.
LIST_TASKS = """
import pathlib, lm_eval.tasks.manager as manager
own = pathlib.Path("own-tasks"); own.mkdir(exist_ok=True)
(own / "stand_in.yaml").write_text("task: stand_in\\n")
manager.__file__ = str(own.absolute() / "manager.py")
names = manager.TaskManager().all_tasks
print(sum(name.startswith("kft_") for name in names), "kft_worldfacts" in names, "stand_in" in names)
"""


class Environment:
    """A virtual environment without pip, served by the pip of this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.python = folder / "bin" / "python"
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.site = folder / "lib" / version / "site-packages"
        (self.site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")

    def pip(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "-q", "--disable-pip-version-check"]
        result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        # -I would drop the borrowed packages' own settings; an empty folder keeps the checkout off sys.path
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        work = self.folder / "empty"
        work.mkdir(exist_ok=True)
        return subprocess.run(
            [str(self.python), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=work,
            env=clean | environment,
        )

    def own_files(self) -> set[str]:
        return {str(path.relative_to(self.site)) for path in self.site.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return next(folder.glob("kft-*.whl"))


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_tasks_are_found_without_a_flag_and_nothing_is_left_behind(kind: str, wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "env")
    before = environment.own_files()
    if kind == "wheel":
        environment.pip("install", "--no-deps", "--no-index", str(wheel))
    else:
        environment.pip("install", "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    assert not [name for name in environment.own_files() if name.startswith(("lm_eval", "cli"))]

    found = environment.run("-c", LIST_TASKS)
    assert found.returncode == 0, found.stderr
    count, ours, theirs = found.stdout.split()
    assert int(count) >= 30
    assert (ours, theirs) == ("True", "True")
    assert "overrides" not in found.stderr

    off = environment.run("-c", LIST_TASKS, KFT_LM_EVAL_HOOK="0")
    assert off.stdout.split() == ["0", "False", "True"]

    folder = environment.run(str(environment.folder / "bin" / "kft"), "tasks", "--path").stdout.strip()
    assert (Path(folder) / "worldfacts" / "kft_worldfacts.yaml").is_file()
    by_path = LIST_TASKS.replace("TaskManager()", f"TaskManager(include_path={folder!r})")
    for hook in ("0", "1"):
        named = environment.run("-c", by_path, KFT_LM_EVAL_HOOK=hook)
        assert named.stdout.split()[1:] == ["True", "True"]
        assert "overrides" not in named.stderr

    environment.pip("uninstall", "-y", "kft")
    assert environment.own_files() == before
    after = environment.run("-c", LIST_TASKS)
    assert after.stdout.split() == ["0", "False", "True"]
    assert after.stderr == ""


def test_an_editable_lm_eval_stays_whole(wheel: Path, tmp_path: Path) -> None:
    """A finder-style editable lm-eval, as setuptools installs it: an overlay would turn it into a namespace package."""
    import lm_eval

    source = tmp_path / "source"
    source.mkdir()
    (source / "lm_eval").symlink_to(Path(lm_eval.__file__).parent, target_is_directory=True)
    environment = Environment(tmp_path / "env")
    (environment.site / "__editable___lm_eval_finder.py").write_text(
        "import sys\nfrom importlib.machinery import PathFinder\n"
        f"SOURCE = {str(source)!r}\n"
        "class Finder:\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        return PathFinder.find_spec(name, [SOURCE]) if name == 'lm_eval' else None\n"
        "sys.meta_path.insert(0, Finder)\n",
        encoding="utf-8",
    )
    (environment.site / "__editable__lm_eval.pth").write_text("import __editable___lm_eval_finder\n", encoding="utf-8")
    show = LIST_TASKS + "\nimport lm_eval; from lm_eval import simple_evaluate; print(lm_eval.__file__)"
    environment.pip("install", "--no-deps", "--no-index", str(wheel))
    for expected in ("True", "False"):
        result = environment.run("-c", show)
        assert result.returncode == 0, result.stderr
        assert result.stdout.split()[1:3] == [expected, "True"]
        assert result.stdout.split()[3].startswith(str(source))
        if expected == "True":
            environment.pip("uninstall", "-y", "kft")

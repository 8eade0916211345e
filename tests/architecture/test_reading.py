"""Files that a user names are opened by one function, which refuses pipes and devices and bounds what it reads."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Where a file is opened without it, and why that is no file that a user names.
ALLOWED = {
    "kft_tasks/files.py": "the functions themselves",
    "kft_tasks/exclusive.py": "a lock that is empty, opened without waiting",
    "kft_tasks/locks.py": "a lock file of its own; /proc",
    "kft_tasks/engine/kv_budget.py": "/sys",
    "kft_tasks/detection/journal.py": "a regular file that the lock has opened before, read by bounded lines",
    "kft_tasks/grading/prompt.py": "comes with kft",
    "kft_tasks/grading/reply_cache.py": "replies in kft's cache, read by bounded lines",
    "kft_tasks/models/embedded.py": "writes into a folder of its own; the zip has a pinned digest",
    "kft_tasks/question_sets/loaders/entityquestions_source.py": "writes into a folder of its own",
    "kft_tasks/question_sets/storage/archive.py": "writes into a folder of its own; members are counted as they unpack",
    "kft_train/stage/adapters.py": "copies a file of a checkpoint",
    "kft_train/stage/checkpoints.py": "checkpoints in a folder of its own",
    "kft_tasks/signals.py": "no file",
    "cli/kft_cli/html/assets.py": "comes with kft",
    "cli/kft_cli/experiment/worker.py": "a log of its own",
    "cli/kft_cli/main.py": "/dev/null",
    "cli/kft_cli/pipeline/machine.py": "/proc",
    "cli/kft_cli/pipeline/run_folder.py": "the marker of a run, to lock it",
    "cli/kft_cli/studies/rivals/rival.py": "/proc",
    "cli/kft_cli/report/scratch.py": "a lock in a folder of its own",
}


def _opens(path: Path) -> list[int]:
    """Lines that open a file for reading or writing by the means of Python itself."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        opened = name.endswith(".open") and bool(texts) and set(texts[0]) <= set("rwabx+t")
        if opened or name in ("open", "io.open", "os.open") or name.endswith((".read_text", ".read_bytes")):
            found.append(node.lineno)
    return found


def test_no_other_module_opens_a_file_itself() -> None:
    found = {}
    for package in ("kft_tasks", "kft_train", "cli/kft_cli"):
        for path in (ROOT / package).rglob("*.py"):
            if "hook" not in path.parts and (lines := _opens(path)):
                found[str(path.relative_to(ROOT))] = lines
    assert {name: lines for name, lines in found.items() if name not in ALLOWED} == {}


def test_a_planted_one_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("path.read_text()\nopen(path)\npath.open('rb')\ntarget.open(requests, rank)\n")
    assert _opens(tmp_path / "a.py") == [1, 2, 3]

"""The import graph of the project, read from the source: every import statement, also those inside functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FLOORS: tuple[str, ...] = (
    # kft_tasks, lowest first; "kft_tasks" itself is the ground: errors, files, questions and the like
    "kft_tasks",
    "kft_tasks.scoring",
    "kft_tasks.engine",
    "kft_tasks.protocol",
    "kft_tasks.question_sets.storage",
    "kft_tasks.question_sets.splits",
    "kft_tasks.question_sets.loaders",
    "kft_tasks.question_sets",
    "kft_tasks.question_sets.checks",
    "kft_tasks.answering",
    "kft_tasks.categories",
    "kft_tasks.lm_eval_logs",
    "kft_tasks.evaluation",
    "kft_tasks.grading",
    "kft_tasks.models",
    "kft_tasks.detection",
    "kft_tasks.certainty",
    "kft_tasks.harness",
    "kft_tasks.lm_eval_tasks",
    # kft_train
    "kft_train",
    "kft_train.recipes",
    "kft_train.data",
    "kft_train.stage",
    # kft_cli
    "kft_cli.display",
    "kft_cli.stats",
    "kft_cli.report.sections",
    "kft_cli.report.measures",
    "kft_cli.html",
    "kft_cli.report",
    "kft_cli.comparison",
    "kft_cli.pipeline",
    "kft_cli.studies.rivals",
    "kft_cli.experiment",
    "kft_cli.studies.rivals",
    "kft_cli.studies",
    "kft_cli.eval_records",
    "kft_cli.pages",
    "kft_cli.commands",
    "kft_cli",
)
"""Folders from the lowest floor to the highest: a module may import its own folder's modules and those of lower ones."""

# Modules that are on another floor than their folder.
EXCEPTIONS: Mapping[str, str] = {
    "kft_tasks.__init__": "kft_cli",  # the public names: nothing below imports them
    "kft_tasks.task": "kft_tasks.harness",  # old names; their errors are shown in one line by lm-eval too
    "kft_tasks.backend": "kft_tasks.harness",
    "kft_tasks.question_sets.info": "kft_tasks.question_sets.storage",  # what a set is: records that loaders fill
    # what is read from a run and from the paper: the measures are made of it
    "kft_cli.report.run_layout": "kft_cli.report.measures",
    "kft_cli.report.run_records": "kft_cli.report.measures",
    "kft_cli.report.run_outputs": "kft_cli.report.measures",
    "kft_cli.report.run_data": "kft_cli.report.measures",
    "kft_cli.report.paper": "kft_cli.report.measures",
    "kft_cli.report.published_record": "kft_cli.report.measures",
}


@dataclass(frozen=True)
class Import:
    """One import of one module of the project by another."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules_of(packages: Mapping[str, Path]) -> dict[str, Path]:
    """Every module by its dotted name; a package's own file is ``name.__init__``."""
    found = {}
    for package, folder in packages.items():
        for path in folder.rglob("*.py"):
            if "hook" not in path.parts:  # starts with every interpreter and imports nothing of kft
                found[".".join([package, *path.relative_to(folder).with_suffix("").parts])] = path
    return found


def imports_of(modules: Mapping[str, Path]) -> Iterator[Import]:
    """Every import of a module of the project; ``from package import name`` is the module ``name`` if there is one."""
    for module, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if _known(name, modules) else str(node.module) for name in names]
            for name in names:
                target = name if name in modules else f"{name}.__init__"
                if target in modules and target != module:
                    yield Import(module, target, node.lineno)


def _known(name: str, modules: Mapping[str, Path]) -> bool:
    return name in modules or f"{name}.__init__" in modules


def floor_of(module: str) -> int:
    """The floor that a module is on."""
    folder = EXCEPTIONS.get(module, module.rpartition(".")[0])
    return FLOORS.index(folder)


def upward(imports: Iterator[Import] | list[Import]) -> list[Import]:
    """Imports of a higher floor."""
    return [one for one in imports if floor_of(one.imported) > floor_of(one.importer)]


def circles(imports: Iterator[Import] | list[Import]) -> list[list[str]]:
    """Groups of modules that import each other, directly or indirectly."""
    graph: dict[str, set[str]] = {}
    for one in imports:
        graph.setdefault(one.importer, set()).add(one.imported)
        graph.setdefault(one.imported, set())
    reach = {module: _reachable(module, graph) for module in graph}
    found = {
        frozenset(other for other in reach[module] if module in reach[other])
        for module in graph
        if module in reach[module]
    }
    return sorted(sorted(group) for group in found)


def _reachable(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    stack = list(graph[start])
    while stack:
        module = stack.pop()
        if module not in seen:
            seen.add(module)
            stack += graph[module]
    return seen

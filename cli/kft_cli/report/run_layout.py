"""The layout of a run folder: the name of every file and step in it, for those who write it and those who read it.

    recipe.yaml, run.json          the resolved recipe; command, versions and machine
    detect-POINT/                  categories.jsonl of the training questions: they choose what is trained on
    measure-POINT/                 the same on a draw of its own: it measures what changed
    test-categories/               categories.jsonl of the test questions
    evaluate-POINT/                answers.jsonl
    elsewhere-POINT/               text_loss.json, further_tasks.json
    STAGE/                         mixture.jsonl, training.json, adapter/
    report/                        report.json, report.md, report.html, figures/

A POINT is ``base``, a STAGE, or the control of a stage. In runs of older versions ``retest-base`` is the only
measurement. Every folder of a step also holds its step.json. While ``kft run`` works there are hidden folders too:
``.STEP.partial`` of a step that is being made, ``.STEP.old`` of one that is being replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kft_tasks.models.adapter_config import CONFIG
from kft_train.recipes.plan import Step
from kft_train.stage.adapters import WEIGHTS
from kft_train.stage.request import SUMMARY

CATEGORIES = "categories.jsonl"
ANSWERS = "answers.jsonl"
TEXT_LOSS = "text_loss.json"
FURTHER_TASKS = "further_tasks.json"
MIXTURE = "mixture.jsonl"
TRAINING = SUMMARY
ADAPTER = "adapter"
STEP_RECORD = "step.json"

RESULT = "result"
"""Folder inside that of a step that is being made, for one that makes its whole result by itself."""

BASE = "base"
RETEST = "retest-base"
TEST_CATEGORIES = Step("test-categories", BASE).name


@dataclass(frozen=True)
class RunLayout:
    """Where everything in one run folder is; nothing is read or created."""

    folder: Path

    @property
    def marker(self) -> Path:
        """The file that marks a folder as a run and is locked by the process that works on it."""
        return self.folder / ".kft-run"

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.yaml"

    @property
    def about(self) -> Path:
        """Command, versions and machine."""
        return self.folder / "run.json"

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.folder / "report"

    @property
    def retest(self) -> Path:
        """The measurement of the base model in a run of an older version."""
        return self.step(RETEST) / CATEGORIES

    @property
    def test_categories(self) -> Path:
        """Categories of the test questions with the base model."""
        return self.step(TEST_CATEGORIES) / CATEGORIES

    def step(self, name: str) -> Path:
        """The folder of a finished step."""
        return self.folder / name

    def partial(self, name: str) -> Path:
        """The folder of a step that is being made."""
        return self.folder / f".{name}.partial"

    def replaced(self, name: str) -> Path:
        """What a step has made before, while its new folder takes the place."""
        return self.folder / f".{name}.old"

    def needed(self, name: str) -> tuple[Path, ...]:
        """The files without which a step is not done; every version makes them."""
        kind = name.partition("-")[0] if name != TEST_CATEGORIES else "detect"
        if kind in ("detect", "measure", "retest"):
            return (self.step(name) / CATEGORIES,)
        if kind == "evaluate":
            return (self.step(name) / ANSWERS,)
        if kind == "elsewhere":
            return ()  # every version that measures it records what it made
        adapter = self.adapter(name)
        return (self.mixture(name), self.training(name), adapter / WEIGHTS, adapter / CONFIG)

    def step_record(self, name: str) -> Path:
        """Inputs, time and cost of a step."""
        return self.step(name) / STEP_RECORD

    def detection(self, point: str) -> Path:
        """Categories of the training questions at a point."""
        return self.step(Step("detect", point).name) / CATEGORIES

    def measurement(self, point: str) -> Path:
        """Categories of the training questions at a point, on the draw that measures."""
        return self.step(Step("measure", point).name) / CATEGORIES

    def answers(self, point: str) -> Path:
        """Answers to the test questions at a point."""
        return self.step(Step("evaluate", point).name) / ANSWERS

    def text_loss(self, point: str) -> Path:
        """How well the held-out text is predicted at a point."""
        return self.step(Step("elsewhere", point).name) / TEXT_LOSS

    def further_tasks(self, point: str) -> Path:
        """Further tasks of lm-eval at a point."""
        return self.step(Step("elsewhere", point).name) / FURTHER_TASKS

    def mixture(self, stage: str) -> Path:
        """Questions that a stage trained on."""
        return self.step(stage) / MIXTURE

    def training(self, stage: str) -> Path:
        """Training log of a stage."""
        return self.step(stage) / TRAINING

    def adapter(self, stage: str) -> Path:
        """The adapter that a stage made."""
        return self.step(stage) / ADAPTER

    def name_of(self, path: Path) -> str:
        """The path of a file relative to the run folder, with forward slashes."""
        return path.relative_to(self.folder).as_posix()

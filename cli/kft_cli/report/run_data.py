"""What a report is made of, read from a run folder and checked: every part belongs to the same run."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_cli.report.run_layout import BASE, RETEST, TEST_CATEGORIES, RunLayout
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategoryFile, Header
from kft_tasks.errors import DataError
from kft_tasks.evaluation.evaluate import Answered, read_answers
from kft_tasks.files import read_json, sha256_of_file, sha256_of_json
from kft_train.data.mixture import Mixture, read_mixture
from kft_train.recipes.plan import steps_of
from kft_train.recipes.recipe import Recipe, load_resolved_recipe


@dataclass(frozen=True)
class Detection:
    """One category file, without the answers.

    Attributes:
        path: the category file.
        categories: by question id.
        digest: SHA-256 of the file.
    """

    path: Path
    header: Header
    categories: dict[str, KnowledgeCategory]
    digest: str


@dataclass(frozen=True)
class Stage:
    """One training stage.

    Attributes:
        before: the point whose detection its mixture was chosen by.
        after: the point that it leads to.
        training: content of ``training.json``.
    """

    name: str
    before: str
    after: str
    mixture: Mixture
    training: dict[str, Any]


@dataclass(frozen=True)
class RunData:
    """A whole run, in memory: categories by id, test answers, mixtures, costs.

    Attributes:
        about: content of ``run.json``.
        points: "base", then one after each stage.
        detections: by point, of the training questions.
        retest: the base model detected again with another seed, or None.
        first_categories: of the test questions with the base model, or None.
        answers: by point and number of exemplars in the prompt, sorted by question id.
        steps: content of each ``step.json``, in the order of the steps.
        digests: SHA-256 of every file that was read, by its name in the run folder.
    """

    layout: RunLayout
    recipe: Recipe
    recipe_text: str
    about: dict[str, Any]
    points: tuple[str, ...]
    detections: dict[str, Detection]
    retest: Detection | None
    first_categories: Detection | None
    answers: dict[str, dict[int, list[Answered]]]
    stages: tuple[Stage, ...]
    steps: tuple[dict[str, Any], ...]
    digests: dict[str, str]

    @property
    def base(self) -> Detection:
        """The detection of the untrained model."""
        return self.detections[BASE]

    @property
    def test_answers(self) -> list[Answered]:
        """The base model's answers with the first number of exemplars: one for each test question."""
        return next(iter(self.answers[BASE].values()))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Consecutive points; where there are more than two, then also the first and the last."""
        pairs = list(itertools.pairwise(self.points))
        return pairs if len(pairs) < 2 else [*pairs, (self.points[0], self.points[-1])]


def is_run(folder: Path) -> bool:
    """Whether ``kft run`` made this folder."""
    return RunLayout(folder).about.is_file()


def read_run(folder: Path) -> RunData:
    """Read a finished run.

    Raises:
        DataError: a part is missing, broken, or not of the same model, protocol or questions as the others. The message
            names the part and the command that makes it.
    """
    layout = RunLayout(folder)
    if not is_run(folder):
        raise DataError(f"{folder}: not a run folder (no run.json). Make one with `kft run RECIPE`.")
    about = read_json(layout.about)
    if not isinstance(about, dict):
        raise DataError(f"{layout.about}: not a JSON object. Restore the file, or run again in another folder.")
    reader = _Reader(layout, command_of(about))
    recipe = load_resolved_recipe(reader.need(layout.recipe))
    points = (BASE, *(stage.name for stage in recipe.stages))
    detections = {point: reader.detection(layout.detection(point)) for point in points}
    retest, first = reader.optional_detection(layout.retest), reader.optional_detection(layout.test_categories)
    _check_detections(detections, retest, first)
    stages = tuple(reader.stage(before, after) for before, after in itertools.pairwise(points))
    _check_mixtures(layout, stages, detections)
    answers = {point: reader.answers(point, recipe.evaluation.shots) for point in points}
    _check_answers(layout, answers)
    _check_unseen(layout, answers[BASE], stages)
    return RunData(
        layout=layout,
        recipe=recipe,
        recipe_text=layout.recipe.read_text(encoding="utf-8"),
        about=about,
        points=points,
        detections=detections,
        retest=retest,
        first_categories=first,
        answers=answers,
        stages=stages,
        steps=tuple(reader.steps(_finished_steps(layout, recipe))),
        digests=dict(reader.digests),
    )


def command_of(about: Mapping[str, Any]) -> str:
    """The command line that made a run. The same command resumes a run that was interrupted."""
    command = about.get("command")
    if isinstance(command, list) and command:
        return shlex.join(str(word) for word in command)
    return command if isinstance(command, str) and command else "kft run RECIPE"


def question_digest(answered: Sequence[Answered]) -> str:
    """Digest of the questions, in the order given: runs with the same digest can be compared question by question."""
    return sha256_of_json([[item.id, item.question, *item.answers] for item in answered])


class _Reader:
    """Reads the files of one run and keeps their digests."""

    def __init__(self, layout: RunLayout, command: str) -> None:
        self.layout = layout
        self.command = command
        self.digests: dict[str, str] = {}

    def need(self, path: Path) -> Path:
        if not path.is_file():
            raise DataError(f"{path}: missing, so the run is not finished. Resume it with: {self.command}")
        self.digests[self.layout.name_of(path)] = sha256_of_file(path)
        return path

    def detection(self, path: Path) -> Detection:
        file = CategoryFile(self.need(path))
        categories = {item.question.id: item.category for item in file}
        return Detection(path, file.header, categories, self.digests[self.layout.name_of(path)])

    def optional_detection(self, path: Path) -> Detection | None:
        return self.detection(path) if path.is_file() else None

    def stage(self, before: str, after: str) -> Stage:
        mixture = read_mixture(self.need(self.layout.mixture(after)))
        path = self.need(self.layout.training(after))
        training = read_json(path)
        if not _is_training_log(training):
            raise DataError(f"{path}: not the log of a training stage. {self._redo(path)}")
        return Stage(after, before, after, mixture, training)

    def answers(self, point: str, shots: Sequence[int]) -> dict[int, list[Answered]]:
        path = self.need(self.layout.answers(point))
        try:
            answered = read_answers(path)
        except (TypeError, KeyError) as error:
            raise DataError(f"{path}: has a line that is not an answer ({error}). {self._redo(path)}") from error
        by_shots = {
            number: sorted((item for item in answered if item.shots == number), key=lambda item: item.id)
            for number in shots
        }
        for number, items in by_shots.items():
            ids = [item.id for item in items]
            if not ids or len(set(ids)) != len(ids):
                problem = "a question is duplicated" if ids else "there are no answers"
                raise DataError(f"{path}: {problem} (exemplars in the prompt: {number}). {self._redo(path)}")
        return by_shots

    def steps(self, names: Sequence[str]) -> list[dict[str, Any]]:
        steps = []
        for name in names:
            path = self.need(self.layout.step_record(name))
            step = read_json(path)
            if not isinstance(step, dict) or not isinstance(step.get("seconds"), (int, float)):
                raise DataError(f"{path}: broken. Resume the run with: {self.command}")
            steps.append({**step, "step": name})
            del self.digests[self.layout.name_of(path)]  # clock times never repeat
        return steps

    def _redo(self, path: Path) -> str:
        return f"Remove {path.parent} and resume with: {self.command}"


def _is_training_log(training: Any) -> bool:
    if not isinstance(training, dict) or {"better_than_start", "cost"} - set(training):
        return False
    epochs = training.get("epochs")
    if not isinstance(epochs, list) or not all({"epoch", "right", "asked"} <= set(row) for row in epochs):
        return False
    return training.get("chosen_epoch") in [row["epoch"] for row in epochs]


def _finished_steps(layout: RunLayout, recipe: Recipe) -> list[str]:
    """Steps in the order in which they are done; the optional ones only where they were done."""
    optional = {RETEST: layout.retest, TEST_CATEGORIES: layout.test_categories}
    names = [step.name for step in steps_of(recipe)]
    return [name for name in names if name not in optional or optional[name].is_file()]


def _check_detections(detections: Mapping[str, Detection], retest: Detection | None, first: Detection | None) -> None:
    base = detections[BASE]
    for detection in [*detections.values(), *([retest] if retest else [])]:
        same = base.header.questions.digest == detection.header.questions.digest
        _require_same("set of questions", base, detection, same)
    for detection in detections.values():
        same = base.header.protocol == detection.header.protocol
        _require_same("protocol", base, detection, same)
        same = base.header.model.weights == detection.header.model.weights
        _require_same("base model", base, detection, same)
    for control in filter(None, (retest, first)):
        _require_same("model", base, control, base.header.model.same_weights(control.header.model))


def _require_same(what: str, one: Detection, other: Detection, same: bool) -> None:
    if not same:
        raise DataError(
            f"{other.path.parent}: made with a different {what} than {one.path.parent.name}, so the two cannot be "
            "compared. Remove the wrong folder and run again."
        )


def _check_mixtures(layout: RunLayout, stages: Sequence[Stage], detections: Mapping[str, Detection]) -> None:
    known = detections[BASE].categories
    for stage in stages:
        for item in stage.mixture.items:
            if item.question.id not in known:
                raise DataError(
                    f"{layout.mixture(stage.name)}: question {item.question.id!r} was never detected. "
                    f"Remove {layout.step(stage.name)} and run again."
                )


def _check_answers(layout: RunLayout, answers: Mapping[str, Mapping[int, Sequence[Answered]]]) -> None:
    digests = {
        (point, number): question_digest(items) for point, sets in answers.items() for number, items in sets.items()
    }
    first = next(iter(digests.values()))
    for (point, number), digest in digests.items():
        if digest != first:
            path = layout.answers(point)
            raise DataError(
                f"{path}: test questions (exemplars in the prompt: {number}) differ from those of the base model. "
                f"Remove {path.parent} and run again."
            )


def _check_unseen(layout: RunLayout, answers: Mapping[int, Sequence[Answered]], stages: Sequence[Stage]) -> None:
    tested = {item.id for items in answers.values() for item in items}
    for stage in stages:
        for item in stage.mixture.items:
            if item.question.id in tested:
                raise DataError(
                    f"{layout.mixture(stage.name)}: question {item.question.id!r} was trained on and is a test "
                    "question. Make the splits of the question set disjoint and run again."
                )

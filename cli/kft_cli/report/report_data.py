"""What a report is made of, read from a run folder and checked: every part belongs to the same run."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategoryFile, Header
from kft_tasks.errors import DataError
from kft_tasks.evaluation.evaluate import Answered, read_answers
from kft_tasks.files import read_json, sha256_of_file, sha256_of_json
from kft_train.data.mixture import Mixture, read_mixture
from kft_train.recipes.plan import steps_of
from kft_train.recipes.recipe import Recipe, load_recipe

CATEGORIES = "categories.jsonl"
RETEST = "retest-base"
TEST_CATEGORIES = "test-categories"


@dataclass(frozen=True)
class Detection:
    """One category file, without the answers."""

    folder: str
    header: Header
    categories: dict[str, KnowledgeCategory]
    digest: str

    @property
    def identity(self) -> str:
        """Digest of the questions it was made of."""
        return self.header.questions.digest


@dataclass(frozen=True)
class Stage:
    """One training stage.

    Attributes:
        before: the detection that its mixture was chosen by.
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
        points: "base", then one after each stage.
        detections: by point, of the training questions.
        retest: the base model detected again with another seed, or None.
        first_categories: of the test questions with the base model, or None.
        answers: by point and number of shots, in the order of ids.
    """

    folder: Path
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
    def pairs(self) -> list[tuple[str, str]]:
        """Consecutive points, then first and last where there are more than two."""
        pairs = list(itertools.pairwise(self.points))
        return pairs if len(pairs) < 2 else [*pairs, (self.points[0], self.points[-1])]


def is_run(folder: Path) -> bool:
    """Is this a folder that ``kft run`` made?"""
    return (folder / "run.json").is_file()


def read_run(folder: Path) -> RunData:
    """Read a finished run.

    Raises:
        DataError: a part is missing, broken, or not of the same model, protocol or questions as the others; what it is
            and which command makes it are named.
    """
    if not is_run(folder):
        raise DataError(f"{folder}: no run.json, so this is no run folder. Make one with `kft run RECIPE`.")
    about = read_json(folder / "run.json")
    if not isinstance(about, dict):
        raise DataError(f"{folder / 'run.json'}: is not a JSON object. Restore it, or run again in another folder.")
    reader = _Reader(folder, command_of(about))
    recipe_file = reader.need("recipe.yaml")
    recipe = load_recipe(str(recipe_file))
    points = ("base", *(stage.name for stage in recipe.stages))
    detections = {point: reader.detection(f"detect-{point}") for point in points}
    retest, first = reader.detection_if_there(RETEST), reader.detection_if_there(TEST_CATEGORIES)
    _check_detections(folder, detections, retest, first)
    stages = tuple(reader.stage(before, after) for before, after in itertools.pairwise(points))
    _check_mixtures(folder, stages, detections)
    answers = {point: reader.answers(point, recipe.evaluation.shots) for point in points}
    _check_answers(folder, answers)
    _check_unseen(folder, answers["base"], stages)
    return RunData(
        folder=folder,
        recipe=recipe,
        recipe_text=recipe_file.read_text(encoding="utf-8"),
        about=about,
        points=points,
        detections=detections,
        retest=retest,
        first_categories=first,
        answers=answers,
        stages=stages,
        steps=tuple(reader.steps(_steps_there(folder, recipe))),
        digests=dict(reader.digests),
    )


def command_of(about: Mapping[str, Any]) -> str:
    """The command line that a run was made with; going on with a broken run is the same command again."""
    command = about.get("command")
    if isinstance(command, list) and command:
        return shlex.join(str(word) for word in command)
    return command if isinstance(command, str) and command else "kft run RECIPE"


def question_digest(answered: Sequence[Answered]) -> str:
    """Digest of what was asked, in the order of ids: runs with the same one can be compared question by question."""
    return sha256_of_json([[item.id, item.question, *item.answers] for item in answered])


class _Reader:
    def __init__(self, folder: Path, command: str) -> None:
        self.folder = folder
        self.command = command
        self.digests: dict[str, str] = {}

    def need(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise DataError(f"{path}: is missing, the run is not finished. Go on with: {self.command}")
        self.digests[name] = sha256_of_file(path)
        return path

    def detection(self, name: str) -> Detection:
        path = self.need(f"{name}/{CATEGORIES}")
        file = CategoryFile(path)
        categories = {item.question.id: item.category for item in file}
        return Detection(name, file.header, categories, self.digests[f"{name}/{CATEGORIES}"])

    def detection_if_there(self, name: str) -> Detection | None:
        return self.detection(name) if (self.folder / name / CATEGORIES).is_file() else None

    def stage(self, before: str, after: str) -> Stage:
        mixture = read_mixture(self.need(f"{after}/mixture.jsonl"))
        path = self.need(f"{after}/training.json")
        training = read_json(path)
        if not _is_training_log(training):
            raise DataError(
                f"{path}: is not the log of a training stage. Remove {path.parent} and go on with: {self.command}"
            )
        return Stage(after, before, after, mixture, training)

    def answers(self, point: str, shots: Sequence[int]) -> dict[int, list[Answered]]:
        path = self.need(f"evaluate-{point}/answers.jsonl")
        again = f"Remove {path.parent} and go on with: {self.command}"
        try:
            answered = read_answers(path)
        except (TypeError, KeyError) as error:
            raise DataError(f"{path}: holds a line that is no answer ({error}). {again}") from error
        by_shots = {
            number: sorted((item for item in answered if item.shots == number), key=lambda item: item.id)
            for number in shots
        }
        for number, items in by_shots.items():
            ids = [item.id for item in items]
            if not ids or len(set(ids)) != len(ids):
                problem = "a question twice" if ids else "no answers"
                raise DataError(f"{path}: holds {problem} with {number} shots. {again}")
        return by_shots

    def steps(self, names: Sequence[str]) -> list[dict[str, Any]]:
        steps = []
        for name in names:
            step = read_json(self.need(f"{name}/step.json"))
            if not isinstance(step, dict) or not isinstance(step.get("seconds"), (int, float)):
                raise DataError(f"{self.folder / name}/step.json: is broken. Go on with: {self.command}")
            steps.append({**step, "step": name})
            del self.digests[f"{name}/step.json"]  # clock times: not a thing that repeats
        return steps


def _is_training_log(training: Any) -> bool:
    if not isinstance(training, dict) or {"better_than_start", "cost"} - set(training):
        return False
    epochs = training.get("epochs")
    if not isinstance(epochs, list) or not all({"epoch", "right", "asked"} <= set(row) for row in epochs):
        return False
    return training.get("chosen_epoch") in [row["epoch"] for row in epochs]


def _steps_there(folder: Path, recipe: Recipe) -> list[str]:
    """Steps in the order they are done; those that a run may lack only where they are there."""
    names = [step.name for step in steps_of(recipe)]
    return [n for n in names if n not in (RETEST, TEST_CATEGORIES) or (folder / n / CATEGORIES).is_file()]


def _check_detections(
    folder: Path, detections: Mapping[str, Detection], retest: Detection | None, first: Detection | None
) -> None:
    base = detections["base"]
    for detection in [*detections.values(), *([retest] if retest else [])]:
        _same(folder, "questions", base, detection, base.identity == detection.identity)
    for detection in detections.values():
        same = base.header.protocol == detection.header.protocol
        _same(folder, "protocol", base, detection, same)
        _same(folder, "base model", base, detection, base.header.model.weights == detection.header.model.weights)
    for control in filter(None, (retest, first)):
        _same(folder, "model", base, control, base.header.model.same_weights(control.header.model))


def _same(folder: Path, what: str, one: Detection, other: Detection, same: bool) -> None:
    if not same:
        raise DataError(
            f"{folder / other.folder}: was made with another {what} than {one.folder}; they cannot be compared. "
            f"Remove the folder that is wrong and run again."
        )


def _check_mixtures(folder: Path, stages: Sequence[Stage], detections: Mapping[str, Detection]) -> None:
    known = detections["base"].categories
    for stage in stages:
        for item in stage.mixture.items:
            if item.question.id not in known:
                raise DataError(
                    f"{folder / stage.name}/mixture.jsonl: question {item.question.id!r} was never detected. "
                    f"Remove {folder / stage.name} and run again."
                )


def _check_answers(folder: Path, answers: Mapping[str, Mapping[int, Sequence[Answered]]]) -> None:
    digests = {
        (point, number): question_digest(items) for point, sets in answers.items() for number, items in sets.items()
    }
    first = next(iter(digests.values()))
    for (point, number), digest in digests.items():
        if digest != first:
            raise DataError(
                f"{folder}/evaluate-{point}/answers.jsonl: other test questions ({number} shots) than evaluate-base. "
                f"Remove {folder}/evaluate-{point} and run again."
            )


def _check_unseen(folder: Path, answers: Mapping[int, Sequence[Answered]], stages: Sequence[Stage]) -> None:
    tested = {item.id for items in answers.values() for item in items}
    for stage in stages:
        for item in stage.mixture.items:
            if item.question.id in tested:
                raise DataError(
                    f"{folder / stage.name}/mixture.jsonl: question {item.question.id!r} was trained on and is a test "
                    "question. Keep the splits of the question set apart and run again."
                )

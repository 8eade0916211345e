"""What a report is made of, read from a run folder and checked: every part belongs to the same run."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kft_cli.report.run_layout import BASE, RETEST, TEST_CATEGORIES, RunLayout
from kft_cli.report.run_outputs import digest_of, find_damage, find_missing, resume_command
from kft_cli.report.run_records import read_about, read_step
from kft_cli.stats.groups import QuestionGroups
from kft_tasks import limits
from kft_tasks.categories.category import KnowledgeCategory, Tally
from kft_tasks.categories.category_file import CategoryFile, Header
from kft_tasks.errors import DataError
from kft_tasks.evaluation.evaluate import Asking, TestQuestion, by_question, read_answers
from kft_tasks.evaluation.further_tasks import FurtherTasks, read_further_tasks
from kft_tasks.evaluation.text_loss import TextLoss, read_text_loss
from kft_tasks.files import read_text, sha256_of_json
from kft_train.data.mixture import Mixture, read_mixture
from kft_train.recipes.plan import control_of, steps_of
from kft_train.recipes.recipe import Recipe, load_recorded_recipe
from kft_train.stage.training_record import read_training

AnyContent = TypeVar("AnyContent")


@dataclass(frozen=True)
class Detection:
    """One category file, without the answers.

    Attributes:
        path: the category file.
        categories: by question id.
        greedy: right and asked greedy answers, by question id; a measurement asked all of them.
        groups: type and subject, by question id; a question of no known subject is a subject of its own.
        digest: SHA-256 of the file.
    """

    path: Path
    header: Header
    categories: dict[str, KnowledgeCategory]
    greedy: dict[str, Tally]
    groups: dict[str, tuple[str, str]]
    digest: str

    def question_groups(self, ids: Sequence[str]) -> QuestionGroups:
        """Types and subjects of some questions."""
        return QuestionGroups([self.groups[id_][0] for id_ in ids], [self.groups[id_][1] for id_ in ids])


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
class Elsewhere:
    """What was measured at one point besides the questions; None where a part of it was not."""

    text: TextLoss | None
    tasks: FurtherTasks | None


@dataclass(frozen=True)
class RunData:
    """A whole run, in memory: categories by id, test answers, mixtures, costs.

    Attributes:
        about: content of ``run.json``.
        points: "base", then one after each stage.
        controls: by stage, the point of its control: the stage before it, continued. Empty without controls.
        detections: by point, of the training questions. They choose what is trained on; where changes are measured,
            the last point has none.
        measurements: by point, controls included, of the training questions (or a random part of them) on a draw of
            its own. Only of the base model in runs of older versions; empty where nothing was measured.
        first_categories: of the test questions with the base model, or None.
        answers: by point, controls included, and by way of asking; sorted by question id.
        elsewhere: by point, controls included, what was measured besides the questions; empty where nothing was.
        steps: content of each ``step.json``, in the order of the steps.
        digests: SHA-256 of every file that was read, by its name in the run folder.
    """

    layout: RunLayout
    recipe: Recipe
    recipe_text: str
    about: dict[str, Any]
    points: tuple[str, ...]
    controls: dict[str, str]
    detections: dict[str, Detection]
    measurements: dict[str, Detection]
    first_categories: Detection | None
    answers: dict[str, dict[Asking, list[TestQuestion]]]
    stages: tuple[Stage, ...]
    elsewhere: dict[str, Elsewhere]
    steps: tuple[dict[str, Any], ...]
    digests: dict[str, str]

    @property
    def base(self) -> Detection:
        """The detection of the untrained model."""
        return self.detections[BASE]

    @property
    def all_points(self) -> tuple[str, ...]:
        """The points, then the controls."""
        return (*self.points, *self.controls.values())

    @property
    def measured(self) -> bool:
        """Whether every point was measured on a draw of its own."""
        return all(point in self.measurements for point in self.points)

    @property
    def told(self) -> dict[str, Detection]:
        """By point, what changes are told by: the measurements, where every point has one; else the detections."""
        return self.measurements if self.measured else self.detections

    @property
    def askings(self) -> list[Asking]:
        """The ways in which the test questions were asked, in the recipe's order; other types last."""
        ways = [Asking(number) for number in self.recipe.evaluation.shots]
        return ways + [asking for asking in self.answers[BASE] if asking.other_type]

    @property
    def test_answers(self) -> list[TestQuestion]:
        """The test questions with the base model's answers, asked in the first way."""
        return self.answers[BASE][self.askings[0]]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Consecutive points; where there are more than two, then also the first and the last."""
        pairs = list(itertools.pairwise(self.points))
        return pairs if len(pairs) < 2 else [*pairs, (self.points[0], self.points[-1])]

    @property
    def control_pairs(self) -> list[tuple[str, str]]:
        """Each stage with its control: (control, stage)."""
        return [(control, stage) for stage, control in self.controls.items()]


def is_run(folder: Path) -> bool:
    """Whether ``kft run`` made this folder."""
    return RunLayout(folder).about.is_file()


class SharedFiles:
    """What was read from files that several runs have in common, by content: the runs of an experiment link the same.

    Args:
        most: number of files to keep, those that were used last.
    """

    def __init__(self, most: int = 24) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def get(self, kind: str, digest: str, read: Callable[[], AnyContent]) -> AnyContent:
        """What ``read`` gives, or gave for a file of the same kind and content."""
        key = kind, digest
        found: AnyContent = self._kept.pop(key) if key in self._kept else read()
        self._kept[key] = found
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found


def read_run(folder: Path, shared: SharedFiles | None = None) -> RunData:
    """Read a finished run.

    Args:
        shared: what was read of other runs.

    Raises:
        DataError: a part is missing, broken, or not of the same model, protocol or questions as the others. The message
            names the part and the command that makes it.
    """
    layout = RunLayout(folder)
    if not is_run(folder):
        raise DataError(f"{folder}: not a run folder (no run.json). Make one with `kft run RECIPE`.")
    about = read_about(layout.about)
    reader = _Reader(layout, command_of(about), shared or SharedFiles(0))
    recipe = load_recorded_recipe(reader.need(layout.recipe)).with_scorer_of(None)  # a run names it
    reader.check_outputs([step.name for step in steps_of(recipe)])
    points = (BASE, *(stage.name for stage in recipe.stages))
    controls = {stage.name: name for stage in recipe.stages if (name := control_of(recipe, stage))}
    measurements = _measurements(reader, recipe, (*points, *controls.values()))
    choosing = points[:-1] if len(points) > 1 and points[-1] in measurements else points
    detections = {point: reader.detection(layout.detection(point)) for point in choosing}
    first = reader.optional_detection(layout.test_categories)
    _check_detections(recipe, detections, measurements, first)
    stages = tuple(reader.stage(before, after) for before, after in itertools.pairwise(points))
    _check_mixtures(layout, stages, detections)
    answers = {point: reader.answers(point, recipe.evaluation.shots) for point in (*points, *controls.values())}
    _check_answers(layout, answers)
    _check_unseen(layout, answers[BASE], stages)
    return RunData(
        layout=layout,
        recipe=recipe,
        recipe_text=read_text(layout.recipe, limits.MAX_YAML_BYTES),
        about=about,
        points=points,
        controls=controls,
        detections=detections,
        measurements=measurements,
        first_categories=first,
        answers=answers,
        stages=stages,
        elsewhere=_elsewhere(reader, recipe, (*points, *controls.values())),
        steps=tuple(reader.steps(_finished_steps(layout, recipe))),
        digests=dict(reader.digests),
    )


def command_of(about: Mapping[str, Any]) -> str:
    """The command line that made a run. The same command resumes a run that was interrupted."""
    command = about.get("command")
    if isinstance(command, list) and command:
        return shlex.join(str(word) for word in command)
    return command if isinstance(command, str) and command else "kft run RECIPE"


def _measurements(reader: _Reader, recipe: Recipe, points: Sequence[str]) -> dict[str, Detection]:
    """By point. A run of an older version measured only the base model, if at all."""
    layout = reader.layout
    if recipe.evaluation.measurement:
        return {point: reader.detection(layout.measurement(point)) for point in points}
    retest = reader.optional_detection(layout.retest)
    return {BASE: retest} if retest else {}


def _elsewhere(reader: _Reader, recipe: Recipe, points: Sequence[str]) -> dict[str, Elsewhere]:
    """By point. All points measured the same text and tasks, or their numbers could not be compared.

    Raises:
        DataError: one did not.
    """
    if not recipe.evaluation.elsewhere:
        return {}
    found = {point: reader.elsewhere(point, recipe) for point in points}
    first = _kind(found[points[0]])
    for point, one in found.items():
        if _kind(one) != first:
            path = reader.layout.text_loss(point).parent
            raise DataError(
                f"{path}: measured another text or other tasks than the base model. Remove it and run again."
            )
    return found


def _kind(one: Elsewhere) -> tuple[Any, ...]:
    """What was measured, without the results."""
    text = one.text and (one.text.digest, [(passage.id, passage.tokens) for passage in one.text.passages])
    tasks = one.tasks and [
        (task.task, task.version, task.n, [(metric.metric, metric.filter) for metric in task.metrics])
        for task in one.tasks.tasks
    ]
    return text, tasks


def question_digest(answered: Sequence[TestQuestion]) -> str:
    """Digest of the questions, in the order given: runs with the same digest can be compared question by question."""
    return sha256_of_json([[item.id, item.question, *item.answers] for item in answered])


class _Reader:
    """Reads the files of one run and keeps their digests."""

    def __init__(self, layout: RunLayout, command: str, shared: SharedFiles) -> None:
        self.layout = layout
        self.command = command
        self.shared = shared
        self.digests: dict[str, str] = {}

    def need(self, path: Path) -> Path:
        if not path.is_file():
            raise DataError(f"{path}: missing, so the run is not finished. Resume it with: {self.command}")
        self.digests[self.layout.name_of(path)] = digest_of(path)
        return path

    def check_outputs(self, steps: Sequence[str]) -> None:
        """Check that everything that the steps made is there and as it was, also what a report does not show.

        Runs of earlier versions did not record what they made.
        """
        recorded = {}
        for name in steps:
            path = self.layout.step_record(name)
            if path.is_file():
                recorded[name] = read_step(path, self._redo(path)).get("outputs")
        if not any(recorded.values()):
            return
        again = f"Make it again with: {resume_command(self.layout.folder)}"
        for name in steps:
            if name not in recorded:
                raise DataError(f"{self.layout.step_record(name)}: missing. {again}")
            folder, outputs = self.layout.step(name), recorded[name]
            damage = find_damage(folder, outputs) if outputs else find_missing(self.layout, name)
            if damage:
                raise DataError(f"{damage}. {again}")

    def detection(self, path: Path) -> Detection:
        digest = self.digests[self.layout.name_of(self.need(path))]
        found = self.shared.get("detection", digest, lambda: _read_detection(path, digest))
        return dataclasses.replace(found, path=path)

    def optional_detection(self, path: Path) -> Detection | None:
        return self.detection(path) if path.is_file() else None

    def stage(self, before: str, after: str) -> Stage:
        mixture = read_mixture(self.need(self.layout.mixture(after)))
        path = self.need(self.layout.training(after))
        return Stage(after, before, after, mixture, read_training(path, self._redo(path)))

    def answers(self, point: str, shots: Sequence[int]) -> dict[Asking, list[TestQuestion]]:
        path = self.need(self.layout.answers(point))
        digest = self.digests[self.layout.name_of(path)]
        found = self.shared.get("answers", digest, lambda: by_question(read_answers(path)))
        for number in shots:
            questions = found.get(Asking(number), [])
            sets = {len(question.given) for question in questions}
            if len(sets) != 1:
                problem = "some questions have more answers than others" if sets else "there are no answers"
                raise DataError(f"{path}: {problem} (exemplars in the prompt: {number}). {self._redo(path)}")
        return found

    def elsewhere(self, point: str, recipe: Recipe) -> Elsewhere:
        text, tasks = self.layout.text_loss(point), self.layout.further_tasks(point)
        return Elsewhere(
            read_text_loss(self.need(text), self._redo(text)) if recipe.evaluation.text else None,
            read_further_tasks(self.need(tasks), self._redo(tasks)) if recipe.evaluation.also else None,
        )

    def steps(self, names: Sequence[str]) -> list[dict[str, Any]]:
        steps = []
        for name in names:
            path = self.need(self.layout.step_record(name))
            step = read_step(path, f"Remove {path.parent} and resume the run with: {self.command}")
            steps.append({**step, "step": name})
            del self.digests[self.layout.name_of(path)]  # clock times never repeat
        return steps

    def _redo(self, path: Path) -> str:
        return f"Remove {path.parent} and resume with: {self.command}"


def _read_detection(path: Path, digest: str) -> Detection:
    file = CategoryFile(path)
    categories: dict[str, KnowledgeCategory] = {}
    greedy: dict[str, Tally] = {}
    groups: dict[str, tuple[str, str]] = {}
    for item in file:
        question = item.question
        categories[question.id], greedy[question.id] = item.category, item.greedy
        groups[question.id] = (question.type, question.subject or question.id)
    return Detection(path, file.header, categories, greedy, groups, digest)


def _finished_steps(layout: RunLayout, recipe: Recipe) -> list[str]:
    """Steps in the order in which they are done; the optional ones only where they were done."""
    optional = {TEST_CATEGORIES: layout.test_categories}
    names = [step.name for step in steps_of(recipe)]
    if layout.retest.is_file() and not recipe.evaluation.measurement:
        names.insert(1, RETEST)
    return [name for name in names if name not in optional or optional[name].is_file()]


def _check_detections(
    recipe: Recipe,
    detections: Mapping[str, Detection],
    measurements: Mapping[str, Detection],
    first: Detection | None,
) -> None:
    base = detections[BASE]
    for detection in detections.values():
        same = base.header.questions.digest == detection.header.questions.digest
        _require_same("set of questions", base, detection, same)
        samples = detection.header.protocol.samples
        same = dataclasses.replace(base.header.protocol, samples=samples) == detection.header.protocol
        _require_same("protocol", base, detection, same)
    for point, detection in measurements.items():
        measured = measurements[BASE]
        same = measured.header.questions.digest == detection.header.questions.digest
        _require_same("set of questions", measured, detection, same)
        _require_same("protocol", measured, detection, measured.header.protocol == detection.header.protocol)
        _require_same("set of questions", base, detection, base.categories.keys() >= detection.categories.keys())
        if point in detections:
            same = detections[point].header.model.same_weights(detection.header.model)
            _require_same("model", detections[point], detection, same)
    for detection in (*detections.values(), *measurements.values()):
        same = base.header.model.weights == detection.header.model.weights
        _require_same("base model", base, detection, same)
    if first is not None:
        _require_same("model", base, first, base.header.model.same_weights(first.header.model))


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


def _check_answers(layout: RunLayout, answers: Mapping[str, Mapping[Asking, Sequence[TestQuestion]]]) -> None:
    digests = {
        (point, asking): question_digest(items) for point, ways in answers.items() for asking, items in ways.items()
    }
    first = next(iter(digests.values()))
    for (point, asking), digest in digests.items():
        same = answers[point].keys() == answers[BASE].keys()
        if digest != first or not same or _sets(answers[point][asking]) != _sets(answers[BASE][asking]):
            path = layout.answers(point)
            raise DataError(
                f"{path}: test questions (exemplars in the prompt: {asking.shots}) differ from those of the base "
                f"model. Remove {path.parent} and run again."
            )


def _sets(items: Sequence[TestQuestion]) -> list[int]:
    """How many answers each question has, one per exemplar set."""
    return [len(item.given) for item in items]


def _check_unseen(layout: RunLayout, answers: Mapping[Asking, Sequence[TestQuestion]], stages: Sequence[Stage]) -> None:
    tested = {item.id for items in answers.values() for item in items}
    for stage in stages:
        for item in stage.mixture.items:
            if item.question.id in tested:
                raise DataError(
                    f"{layout.mixture(stage.name)}: question {item.question.id!r} was trained on and is a test "
                    "question. Make the splits of the question set disjoint and run again."
                )

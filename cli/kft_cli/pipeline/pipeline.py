"""The pipeline of a run: detect, train a stage, detect again, ..., evaluate at every point, report.

What a step depends on is in its ``inputs``: changing their content makes finished runs of older versions start over.
"""

from __future__ import annotations

import dataclasses
import gc
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kft_cli.display.console import progress_bar
from kft_cli.pipeline.asking import ready
from kft_cli.pipeline.machine import hardware, now, versions
from kft_cli.pipeline.run_folder import RunFolder, StepCost
from kft_cli.pipeline.stages import stage_request
from kft_cli.report.report import write_report
from kft_cli.report.run_layout import ADAPTER, ANSWERS, BASE, CATEGORIES, MIXTURE, TRAINING
from kft_tasks.detection.run import detect
from kft_tasks.detection.target import Target, select
from kft_tasks.evaluation.evaluate import evaluate, write_answers
from kft_tasks.files import atomic_write, sha256_of_file, write_json
from kft_tasks.models.choice import ModelChoice, default_device
from kft_tasks.models.loading import LoadedModel, load_model
from kft_tasks.models.locate import model_folder
from kft_tasks.models.weights import identify, resolve_dtype
from kft_tasks.progress import ProgressCallback
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.identity import ModelIdentity
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import digest_questions
from kft_tasks.version import __version__
from kft_train.data.mixture import write_mixture
from kft_train.recipes.plan import Step, steps_of
from kft_train.recipes.recipe import Recipe, StageConfig
from kft_train.stage.train import train_stage


@dataclass(frozen=True)
class Point:
    """The model at one point of a run: untrained (``base``, no adapter), or after a stage."""

    name: str
    adapter: Path | None = None


class Pipeline:
    """Runs one recipe in one folder.

    Args:
        command: the command line, recorded so that the run can be repeated.

    Raises:
        StateError: the folder holds something other than a run.
        DataError: the folder, the questions or the model cannot be used.
    """

    def __init__(self, recipe: Recipe, folder: Path, command: Sequence[str]) -> None:
        self.recipe = recipe
        self.run = RunFolder(folder)
        self.command = list(command)
        self.protocol = recipe.protocol_object()
        questions = recipe.questions
        self.source = open_set(questions.set, questions.path, questions.options)
        self.exemplars = ExemplarPool(self.source.split("exemplars"), self.protocol, questions.set)
        self.model_folder = model_folder(recipe.model.id, recipe.model.revision)
        self.dtype = resolve_dtype(recipe.model.dtype, default_device())
        self.test = list(select(lambda: self.source.split("test"), questions.limit.test)())
        self.validation = list(select(lambda: self.source.split("validation"), questions.limit.validation)())
        self._loaded: tuple[Path | None, LoadedModel] | None = None
        self.steps = steps_of(recipe)
        self._number = 0

    def execute(self) -> Path:
        """Do the steps that are not done yet and write the report; return its Markdown file."""
        with self.run.locked():
            self._describe()
            point = Point(BASE)
            for step in self.steps:
                if step.kind == "train":
                    point = self._train(step, point)
                elif step.kind == "evaluate":
                    self._evaluate(step, point)
                else:
                    self._detect(step, point)
            self._unload()
            return write_report(self.run.path)

    def _describe(self) -> None:
        """Write the resolved recipe, and once, when the run starts, what it runs on."""
        with atomic_write(self.run.layout.recipe) as stream:
            stream.write(self.recipe.to_yaml())
        file = self.run.layout.about
        if file.exists():
            return
        stages = [stage.name for stage in self.recipe.stages]
        about = {
            "kft_version": __version__,
            "recipe": self.recipe.name,
            "recipe_digest": self.recipe.digest(),
            "created": now(),
            "command": self.command,
            "versions": versions(),
            "hardware": hardware(),
            "model": dataclasses.asdict(self._identity(None)),
            "stages": stages,
            "points": [BASE, *stages],
        }
        write_json(file, about)

    def _detect(self, step: Step, point: Point) -> None:
        """Detect what the model knows at a point: the train or the test split, or the train split again as a retest."""
        protocol, pool = self.protocol, self.exemplars
        if step.kind == "retest":
            protocol = dataclasses.replace(protocol, seed=protocol.seed + 1)
            pool = ExemplarPool(self.source.split("exemplars"), protocol, self.source.name)
        target = self._target("test" if step.kind == "test-categories" else "train")
        identity = self._identity(point.adapter)
        inputs = {
            "model": dataclasses.asdict(identity),
            "protocol": protocol.stored(),
            "split": target.split,
            "questions": digest_questions(target.stream()()),
            "exemplars": pool.digest,
        }

        def make(folder: Path) -> StepCost:
            with self._bar(f"detect what {point.name} knows ({_TITLES[step.kind]})") as progress:
                result = detect(
                    target,
                    protocol,
                    identity,
                    lambda: ready(self._model(point.adapter), protocol, pool),
                    folder / CATEGORIES,
                    exemplars=pool,
                    progress=progress,
                )
            generations = {"made": result.count.made, "saved": result.count.saved}
            tokens = {key: result.cost[key] for key in ("prefilled", "decoded")}
            return StepCost(result.cost["seconds"], result.cost["cpu_seconds"], tokens, generations)

        self._step(step.name, inputs, make)

    def _evaluate(self, step: Step, point: Point) -> None:
        """Measure greedy accuracy on the test split at a point."""
        shots = self.recipe.evaluation.shots
        inputs = {
            "model": dataclasses.asdict(self._identity(point.adapter)),
            "protocol": self.protocol.stored(),
            "questions": digest_questions(self.test),
            "exemplars": self.exemplars.digest,
            "shots": list(shots),
        }

        def make(folder: Path) -> StepCost:
            with self._bar(f"test accuracy of {point.name}") as progress:
                answerer, prompts = ready(self._model(point.adapter), self.protocol, self.exemplars)
                before = dataclasses.replace(answerer.tokens)
                answered = evaluate(self.test, answerer, prompts, self.protocol, shots, progress)
                write_answers(folder / ANSWERS, answered)
            tokens: dict[str, float] = {
                "prefilled": answerer.tokens.prefilled - before.prefilled,
                "decoded": answerer.tokens.decoded - before.decoded,
            }
            return StepCost(tokens=tokens, generations={"made": len(answered), "saved": 0})

        self._step(step.name, inputs, make)

    def _train(self, step: Step, point: Point) -> Point:
        """Train a stage on what the detections so far say; return the point after it."""
        index = [stage.name for stage in self.recipe.stages].index(step.point)
        stage = self.recipe.stages[index]
        now = self.run.layout.detection(point.name)
        earlier = BASE if index < 2 else self.recipe.stages[index - 2].name
        before = self.run.layout.detection(earlier) if index else None
        previous = point.adapter if stage.start != "new" else None
        inputs = {
            "stage": stage.model_dump(mode="json"),
            "adapter": self.recipe.adapter.model_dump(mode="json"),
            "now": sha256_of_file(now),
            "before": sha256_of_file(before) if before else None,
            "seed": self.recipe.seed,
            "protocol": self.protocol.stored(),
            "shots": self.recipe.evaluation.validation_shots,
            "previous": dataclasses.asdict(self._identity(previous)),
            "validation": digest_questions(self.validation),
        }
        self._step(step.name, inputs, lambda folder: self._train_into(folder, stage, previous, now, before))
        return Point(stage.name, self.run.layout.adapter(stage.name))

    def _train_into(
        self, folder: Path, stage: StageConfig, previous: Path | None, now: Path, before: Path | None
    ) -> StepCost:
        self._unload()  # the trainer loads a model of its own
        request = stage_request(
            self.recipe,
            stage,
            now=now,
            before=before,
            previous=previous,
            work=folder / "work",
            output=folder / "result",
        )
        write_mixture(folder / MIXTURE, request.mixture)
        with self._bar(f"train {stage.name} on {len(request.mixture.items)} questions") as progress:
            result = train_stage(request, progress)
        cost = result.summary["cost"]
        for name in (ADAPTER, TRAINING):  # the summary last: it says that the stage is complete
            if (folder / "result" / name).exists():
                (folder / "result" / name).rename(folder / name)
        shutil.rmtree(folder / "result")
        return StepCost(seconds=cost["seconds"], tokens={"trained": cost["input_tokens"]})

    def _step(self, name: str, inputs: dict[str, Any], make: Callable[[Path], StepCost]) -> None:
        self._number += 1
        self.run.step(name, inputs, make)

    def _bar(self, title: str) -> AbstractContextManager[ProgressCallback]:
        return progress_bar(title, overall=f"[{self._number}/{len(self.steps)}]")

    def _target(self, split: Literal["train", "test"]) -> Target:
        questions = self.recipe.questions
        return Target(self.source, split, getattr(questions.limit, split), questions.options)

    def _identity(self, adapter: Path | None) -> ModelIdentity:
        return identify(self.recipe.model.id, self.model_folder, self.dtype, adapter)

    def _model(self, adapter: Path | None) -> LoadedModel:
        """The model with this adapter; it stays loaded until another one is needed."""
        if self._loaded is None or self._loaded[0] != adapter:
            self._unload()
            model = self.recipe.model
            self._loaded = (adapter, load_model(ModelChoice(model.id, adapter, self.dtype, revision=model.revision)))
        return self._loaded[1]

    def _unload(self) -> None:
        self._loaded = None
        gc.collect()


_TITLES = {
    "detect": "train questions",
    "retest": "train questions again with another seed, to measure noise",
    "test-categories": "test questions",
}

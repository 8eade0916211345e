"""The pipeline of a run: detect, train a stage, detect again, ..., measure and evaluate at every point, report.

A detection chooses training questions. A measurement asks the same questions on a draw of its own, other exemplars and
samples, so that no question is chosen by the noise that measures it. What a step depends on is in its ``inputs``:
changing their content makes finished runs of older versions start over.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import shutil
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from kft_cli.display.console import narrate, progress_bar
from kft_cli.pipeline.asking import check_chat_templates, ready, with_scorer
from kft_cli.pipeline.elsewhere import elsewhere_inputs, measure_elsewhere
from kft_cli.pipeline.machine import available_threads, hardware, now, versions
from kft_cli.pipeline.order import needs_of
from kft_cli.pipeline.results import FolderResults, KeyResults, Results
from kft_cli.pipeline.run_folder import RunFolder, StepCost
from kft_cli.pipeline.stages import check_held_out_types, stage_request, validation_questions
from kft_cli.pipeline.workers import run_on_workers
from kft_cli.report.report import write_report
from kft_cli.report.run_layout import ANSWERS, BASE, CATEGORIES, MIXTURE, RESULT
from kft_cli.report.run_records import read_about
from kft_tasks.detection.run import detect
from kft_tasks.detection.target import Target, select
from kft_tasks.errors import DataError
from kft_tasks.evaluation.evaluate import evaluate, write_answers
from kft_tasks.files import atomic_write, sha256_of_json, write_json
from kft_tasks.launcher import Process
from kft_tasks.models.choice import ModelChoice, default_device
from kft_tasks.models.loading import LoadedModel, load_model
from kft_tasks.models.locate import model_folder
from kft_tasks.models.weights import identify, resolve_dtype
from kft_tasks.progress import ProgressCallback
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.identity import ModelIdentity
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import QuestionSet, digest_questions
from kft_tasks.version import __version__
from kft_train.data.mixture import write_mixture
from kft_train.recipes.plan import Step, control_of, control_stage, purpose_of, steps_of
from kft_train.recipes.recipe import Purpose, Recipe, StageConfig
from kft_train.stage.request import StageRequest, is_whole_stage
from kft_train.stage.train import train_stage

ALONE = Process()
"""The only process that does a step."""

OpenSource = Callable[[str, str | None, Mapping[str, object]], QuestionSet]
"""Opens a question set by name, path and options."""

BarMaker = Callable[[str], AbstractContextManager[ProgressCallback]]
"""Makes a progress bar with a title."""


Make = Callable[[Path, BarMaker, Process], StepCost]
"""Does a step, or a share of it, into a folder."""


@dataclass(frozen=True)
class Job:
    """What a step depends on, and how it is done."""

    inputs: dict[str, Any]
    make: Make


@dataclass(frozen=True)
class TrainingPlan:
    """What a training starts from.

    Attributes:
        stage: its values.
        now, before: points whose detections choose the questions.
        previous: the point whose adapter is trained further; None for a new one on the base model.
        as_many_steps_as: the stage that says how many steps it takes; None where its own values do.
    """

    stage: StageConfig
    now: str
    before: str | None
    previous: str | None
    as_many_steps_as: str | None


class Pipeline:
    """The steps of one recipe in one folder.

    Args:
        command: the command line, recorded so that the run can be repeated.
        open_source: opens a question set; several pipelines may share what they open.

    Raises:
        StateError: the folder holds something other than a run.
        DataError: the folder, the questions or the model cannot be used.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, command: Sequence[str], open_source: OpenSource = open_set
    ) -> None:
        self.run = RunFolder(folder)
        self.command = list(command)
        questions = recipe.questions
        self.source = open_source(questions.set, questions.path, questions.options)
        self.recipe = recipe = with_scorer(recipe, self.source)
        self._pools: dict[Purpose, ExemplarPool] = {}
        self.model_folder = model_folder(recipe.model.id, recipe.model.revision)
        self.dtype = resolve_dtype(recipe.model.dtype, default_device())
        self.test = list(select(lambda: self.source.split("test"), questions.limit.test)())
        self.validation = validation_questions(recipe, self.source)
        check_held_out_types(recipe, self.test)
        self._loaded: tuple[Path | None, LoadedModel] | None = None
        self.steps = steps_of(recipe)
        check_chat_templates(recipe, self.model_folder)

    def execute(self, workers: int = 1, *, verify: bool = False) -> Path | None:
        """Do the steps that are not done yet and write the report.

        Args:
            workers: processes that do steps at the same time; with 1 this one does them all.
            verify: whether to read the model's weights and the files of finished steps first, whatever is remembered.

        Returns:
            Its Markdown file; None for a recipe without stages, which changes nothing that could be reported.
        """
        with self.run.locked():
            if verify:
                identify(self.recipe.model.id, self.model_folder, self.dtype, verify=True)
                self.run.verify([step.name for step in self.steps])
            self.describe()
            if workers > 1:
                needs = needs_of(self.recipe, self.steps)
                run_on_workers(
                    self.run.path,
                    needs,
                    self.is_done,
                    workers=workers,
                    threads=available_threads(),
                    held=self.run.lock_descriptors,
                )
            else:
                for number, step in enumerate(self.steps, start=1):
                    self.do(step, partial(progress_bar, overall=f"[{number}/{len(self.steps)}]"))
            self.unload()
            self.run.remove_unfinished()
            return write_report(self.run.path) if self.recipe.stages else None

    def is_done(self, step: Step, home: RunFolder | None = None) -> bool:
        """Whether a step is done; what it needs must be. What is damaged is said by :meth:`do`.

        Args:
            home: the folder that holds the step where that is not the run.
        """
        return (home or self.run).is_done(step.name, self._inputs(step, self._results), quiet=True)

    def do(self, step: Step, bar: BarMaker, process: Process = ALONE, home: RunFolder | None = None) -> None:
        """Do a step unless it is done; what it needs must be done.

        Args:
            process: which of several that do a detection together. The first one prepares the step, and ends it when
                all have done their share; the others must start after it and within some minutes.
            home: the folder that holds the step where that is not the run.
        """
        job, folder = self._job(step), home or self.run
        if process.first:
            folder.step(step.name, job.inputs, lambda partial: job.make(partial, bar, process))
        elif not folder.is_done(step.name, job.inputs, quiet=True):  # an earlier process may have left nothing to do
            job.make(folder.layout.partial(step.name), bar, process)

    def key(self, step: Step, keys: Mapping[str, str]) -> str:
        """Digest of all that a step's result follows from; steps of different runs with the same key are the same.

        Args:
            keys: of the steps that it needs, by name.
        """
        recipe = self.recipe
        origin = {
            "questions": recipe.questions.model_dump(mode="json", exclude={"limit", "held_out_types"}),
            "model": recipe.model.model_dump(mode="json"),
        }
        return sha256_of_json({"step": step.name, "inputs": self._inputs(step, KeyResults(keys)), **origin})

    def count(self, step: Step) -> int:
        """Number of questions that a detection, a measurement or a test asks."""
        if step.kind == "evaluate":
            return len(self.test)
        target = self._target(step)
        return _count(cast(Hashable, self.source), target.split, target.limit)

    def _inputs(self, step: Step, results: Results) -> dict[str, Any]:
        """What a step depends on."""
        if step.kind in ("train", "control"):
            return self._training_inputs(step, results)
        if step.kind == "evaluate":
            return self._evaluation_inputs(step, results)
        if step.kind == "elsewhere":
            return {"model": self._model_at(step.point, results), **elsewhere_inputs(self.recipe.evaluation)}
        return self._detection_inputs(step, results)

    def _job(self, step: Step) -> Job:
        inputs = self._inputs(step, self._results)
        if step.kind in ("train", "control"):
            return Job(inputs, self._training(step))
        if step.kind == "evaluate":
            return Job(inputs, self._evaluation(step))
        if step.kind == "elsewhere":
            return Job(inputs, self._elsewhere(step))
        return Job(inputs, self._detection(step))

    @property
    def _results(self) -> FolderResults:
        """The results of other steps, as they are in the run folder."""
        return FolderResults(self.run.layout)

    def _model_at(self, point: str | None, results: Results) -> dict[str, Any]:
        """Identity of the model with the adapter of a point, None and ``base`` being the untrained one."""
        model = dataclasses.asdict(self._identity(None))
        return model if point in (None, BASE) else {**model, "adapter": results.adapter(str(point))}

    def _adapter(self, point: str) -> Path | None:
        """The adapter of a point; None for the untrained model."""
        return None if point == BASE else self.run.layout.adapter(point)

    def describe(self) -> None:
        """Write the resolved recipe, and once, when the run starts, what it runs on."""
        with atomic_write(self.run.layout.recipe) as stream:
            stream.write(self.recipe.to_yaml())
        file = self.run.layout.about
        try:
            read_about(file)
            return
        except DataError as error:
            if file.exists():
                narrate(f"{error} It is written again.")
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

    def _detection_inputs(self, step: Step, results: Results) -> dict[str, Any]:
        purpose, target = purpose_of(step), self._target(step)
        return {
            "model": self._model_at(step.point, results),
            "protocol": self.recipe.protocol_for(purpose).stored(),
            "split": target.split,
            "questions": _digest(cast(Hashable, self.source), target.split, target.limit),
            "exemplars": self._pool(purpose).digest,
            **({"every_greedy": True} if step.kind == "measure" else {}),
        }

    def _detection(self, step: Step) -> Make:
        """Detect what the model knows at a point: the train split, to choose or to measure, or the test split."""
        purpose = purpose_of(step)
        protocol, pool, adapter = self.recipe.protocol_for(purpose), self._pool(purpose), self._adapter(step.point)
        target, identity, measure = self._target(step), self._identity(adapter), step.kind == "measure"

        def make(folder: Path, bar: BarMaker, process: Process) -> StepCost:
            share = f" (process {process.rank + 1} of {process.world})" if process.world > 1 else ""
            with bar(f"{_TITLES[step.kind]} {step.point}{share}") as progress:
                result = detect(
                    target,
                    protocol,
                    identity,
                    lambda: ready(self._model(adapter), protocol, pool),
                    folder / CATEGORIES,
                    exemplars=pool,
                    every_greedy=measure,
                    keep_journals=True,  # until the step is recorded, with its cost
                    process=process,
                    progress=progress,
                )
            generations = {"made": result.count.made, "saved": result.count.saved}
            tokens = {key: result.cost[key] for key in ("prefilled", "decoded")}
            seconds = result.cost["seconds"] / process.world  # the journals count those of every process
            return StepCost(seconds, result.cost["cpu_seconds"], tokens, generations)

        return make

    def _evaluation_inputs(self, step: Step, results: Results) -> dict[str, Any]:
        return {
            "model": self._model_at(step.point, results),
            "protocol": self.recipe.protocol_for("test").stored(),
            "questions": _digest(cast(Hashable, self.source), "test", self.recipe.questions.limit.test),
            "exemplars": self._pool("test").digest,
            "shots": list(self.recipe.evaluation.shots),
            "other_type": self.recipe.evaluation.other_type,
        }

    def _evaluation(self, step: Step) -> Make:
        """Measure greedy accuracy on the test split at a point."""
        shots, other_type = self.recipe.evaluation.shots, self.recipe.evaluation.other_type
        protocol, pool, adapter = self.recipe.protocol_for("test"), self._pool("test"), self._adapter(step.point)

        def make(folder: Path, bar: BarMaker, process: Process) -> StepCost:
            with bar(f"test accuracy of {step.point}") as progress:
                answerer, prompts = ready(self._model(adapter), protocol, pool)
                before = dataclasses.replace(answerer.tokens)
                answered = evaluate(self.test, answerer, prompts, protocol, shots, progress, other_type=other_type)
                write_answers(folder / ANSWERS, answered)
            tokens: dict[str, float] = {
                "prefilled": answerer.tokens.prefilled - before.prefilled,
                "decoded": answerer.tokens.decoded - before.decoded,
            }
            return StepCost(tokens=tokens, generations={"made": len(answered), "saved": 0})

        return make

    def _elsewhere(self, step: Step) -> Make:
        """Measure what has nothing to do with the questions at a point."""
        evaluation, adapter = self.recipe.evaluation, self._adapter(step.point)

        def make(folder: Path, bar: BarMaker, process: Process) -> StepCost:
            with bar(f"held-out text and further tasks at {step.point}") as progress:
                return StepCost(tokens=measure_elsewhere(evaluation, lambda: self._model(adapter).lm, folder, progress))

        return make

    def _training_plan(self, step: Step) -> TrainingPlan:
        """Which stage, or which control, trains on what."""
        names = [stage.name for stage in self.recipe.stages]
        if step.kind == "train":
            index = chosen = names.index(step.point)
            stage, as_many_steps_as = self.recipe.stages[index], None
        else:
            index = [control_of(self.recipe, stage) for stage in self.recipe.stages].index(step.point)
            chosen, own = index - 1, self.recipe.stages[index]
            stage, as_many_steps_as = control_stage(self.recipe, own), own.name
        points = (BASE, *names)
        return TrainingPlan(
            stage,
            now=points[chosen],
            before=points[max(chosen - 1, 0)] if chosen else None,
            previous=points[index] if index and stage.start != "new" else None,
            as_many_steps_as=as_many_steps_as,
        )

    def _training_inputs(self, step: Step, results: Results) -> dict[str, Any]:
        plan = self._training_plan(step)
        asking, training = self.recipe.protocol_for("validation"), self.recipe.protocol_for("training")
        return {
            "stage": plan.stage.model_dump(mode="json"),
            "adapter": self.recipe.adapter.model_dump(mode="json"),
            "now": results.detection(plan.now),
            "before": results.detection(plan.before) if plan.before else None,
            "seed": self.recipe.seed,
            "protocol": training.stored(),
            **({"asking": asking.stored()} if asking != training else {}),
            "shots": self.recipe.evaluation.validation_shots,
            "previous": self._model_at(plan.previous, results),
            "validation": digest_questions(self.validation),
            **({"max_steps": results.steps_taken(plan.as_many_steps_as)} if plan.as_many_steps_as else {}),
            **({"held_out_types": sorted(held_out)} if (held_out := self.recipe.questions.held_out_types) else {}),
        }

    def _training(self, step: Step) -> Make:
        """Train a stage on what the detections so far say, or its control."""
        plan, layout = self._training_plan(step), self.run.layout

        def make(folder: Path, bar: BarMaker, process: Process) -> StepCost:
            self.unload()  # the trainer loads a model of its own
            request = stage_request(
                self.recipe,
                plan.stage,
                now=layout.detection(plan.now),
                before=layout.detection(plan.before) if plan.before else None,
                previous=layout.adapter(plan.previous) if plan.previous else None,
                work=folder / "work",
                output=folder / RESULT,
                any_model=step.kind == "control",  # its questions were chosen for the stage before
                max_steps=self._results.steps_taken(plan.as_many_steps_as) if plan.as_many_steps_as else None,
            )
            return self._train_into(folder, request, bar)

        return make

    def _train_into(self, folder: Path, request: StageRequest, bar: BarMaker) -> StepCost:
        if request.output.exists() and not is_whole_stage(request):
            shutil.rmtree(request.output)  # of an earlier version, killed while it moved the files one by one
        with bar(f"train {request.stage.name} on {len(request.mixture.items)} questions") as progress:
            result = train_stage(request, progress)
        write_mixture(result.folder / MIXTURE, request.mixture)
        cost = result.summary["cost"]
        return StepCost(
            cost["seconds"], cost.get("cpu_seconds"), {"trained": cost["input_tokens"]}, folder=result.folder
        )

    def _target(self, step: Step) -> Target:
        """The questions of a detection."""
        questions = self.recipe.questions
        split = "test" if step.kind == "test-categories" else "train"
        limit = getattr(questions.limit, split)
        if step.kind == "measure" and questions.limit.measurement:
            limit = min(questions.limit.measurement, limit or questions.limit.measurement)
        return Target(self.source, split, limit, questions.options)

    def _pool(self, purpose: Purpose) -> ExemplarPool:
        if purpose not in self._pools:
            protocol = self.recipe.protocol_for(purpose)
            self._pools[purpose] = ExemplarPool(self.source.split("exemplars"), protocol, self.source.name)
        return self._pools[purpose]

    def _identity(self, adapter: Path | None) -> ModelIdentity:
        return identify(self.recipe.model.id, self.model_folder, self.dtype, adapter)

    def _model(self, adapter: Path | None) -> LoadedModel:
        """The model with this adapter; it stays loaded until another one is needed."""
        if self._loaded is None or self._loaded[0] != adapter:
            self.unload()
            model = self.recipe.model
            self._loaded = (adapter, load_model(ModelChoice(model.id, adapter, self.dtype, revision=model.revision)))
        return self._loaded[1]

    def unload(self) -> None:
        """Let go of the model."""
        if self._loaded is not None:
            self._loaded = None
            gc.collect()


@functools.lru_cache(maxsize=64)
def _digest(source: Any, split: str, limit: int | None) -> str:
    """Digest of the questions of a split, with a limit; the set stays as it is while it is open."""
    return digest_questions(select(lambda: source.split(split), limit)())


@functools.lru_cache(maxsize=64)
def _count(source: Any, split: str, limit: int | None) -> int:
    """Number of questions of a split, with a limit."""
    return sum(1 for _ in select(lambda: source.split(split), limit)())


_TITLES = {
    "detect": "detect the categories of the training questions at",
    "measure": "measure the training questions at",
    "test-categories": "detect the test questions at",
}

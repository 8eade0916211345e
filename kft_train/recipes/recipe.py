"""The recipe: one closed, typed object that describes a whole run. Importing this module loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from kft_tasks import limits
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.errors import DataError, UsageError, suggest
from kft_tasks.files import home_path, read_text, sha256_of_json
from kft_tasks.protocol.protocol import EARLIER, Protocol
from kft_tasks.question_sets.info import scorer_of
from kft_train.errors import RecipeError
from kft_train.recipes.strict_yaml import apply_override, dump_yaml, parse_yaml, set_value

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", max_length=64)]
Categories = Annotated[tuple[Annotated[KnowledgeCategory, Field(strict=False)], ...], Field(strict=False, min_length=1)]
Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class _Closed(BaseModel):
    """No unknown keys, no silent conversions, no changes after creation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelConfig(_Closed):
    """The model that is asked, trained and evaluated.

    Attributes:
        id: alias, hub id or local folder.
        dtype: precision of detection and evaluation; training always uses float32 weights.
        revision: of a hub id.
    """

    id: Annotated[str, Field(min_length=1)]
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    revision: str | None = None


class Limits(_Closed):
    """Largest number of questions from each split; null for all. ``measurement``: of the train split, to measure."""

    train: Count | None = None
    validation: Count | None = None
    test: Count | None = None
    measurement: Count | None = None

    @model_serializer(mode="wrap")
    def _serialize(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``measurement`` if all are measured."""
        return _without(standard(self), measurement=None)


class QuestionsConfig(_Closed):
    """Where questions come from: a question set of kft_tasks, the file or folder it reads, and the set's options.

    Attributes:
        held_out_types: types that no stage trains on and no epoch is chosen by. They are detected, measured and tested
            like all others: what training does to them is no effect of having seen them.
    """

    set: Annotated[str, Field(min_length=1)] = "worldfacts"
    path: str | None = None
    options: dict[str, Any] = {}
    limit: Limits = Limits()
    held_out_types: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = ()

    @model_serializer(mode="wrap")
    def _serialize(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``held_out_types`` if there are none: see :meth:`StageConfig._serialize`."""
        return _without(standard(self), held_out_types=[])

    @field_validator("held_out_types")
    @classmethod
    def _check_types(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        _unique(types, "held-out type")
        return types


class AdapterConfig(_Closed):
    """Fields of PEFT's LoraConfig, under their own names."""

    r: Count = 16
    lora_alpha: Count = 32
    lora_dropout: Beta = 0.05
    target_modules: str | list[str] = "all-linear"


class Selection(_Closed):
    """Questions by category, in the detection before the last stage and in the latest one (``now``). Default: any."""

    before: Categories | None = None
    now: Categories | None = None


class MixturePart(_Closed):
    """One part of a stage's training questions.

    Attributes:
        name: recorded with every question that the part contributes.
        before, now: which questions, as in :class:`Selection`.
        limit: largest number of questions.
        ratio: take ``ratio`` times as many questions as all parts without a ratio take together. The paper's replay has
            0.2; what that relates to was not found, so the base is ours.
        same_size_as: take as many questions as match this selection; for random subsets of equal size.
        redraw: take other questions, equally many, in every epoch (the paper draws its replay again while training;
            once per epoch is ours). The part then reserves all questions it selects; parts that choose after it cannot
            take them.
        weight: what the loss of its questions is multiplied by. KaFT (Zhong et al. 2025, arXiv 2505.15480) weights
            questions by how far the answer contradicts what the model knows.
    """

    name: Name
    before: Categories | None = None
    now: Categories | None = None
    limit: Count | None = None
    ratio: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    same_size_as: Selection | None = None
    redraw: bool = False
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    @model_serializer(mode="wrap")
    def _serialize(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``redraw`` and ``weight`` at their defaults: see :meth:`StageConfig._serialize`."""
        return _without(standard(self), redraw=False, weight=1.0)

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        given = [key for key in ("limit", "ratio", "same_size_as") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} both set the number of questions; keep one of them")
        if self.redraw and not given:
            raise ValueError("redraw needs a number of questions; set limit, ratio or same_size_as")
        return self


class StageConfig(_Closed):
    """One training stage. Fields not listed here are those of TRL's SFTConfig with the same name.

    Attributes:
        mixture: the questions it trains on.
        start: ``new``: a new LoRA on the base model; ``continue``: the last stage's adapter, trained further;
            ``merged``: a new LoRA on top of the last stage's adapter, which is frozen (the paper). Default: ``new`` for
            the first stage, ``continue`` for the others.
        patience: number of epochs without a better validation result after which training stops; null trains all.
        keep_if_worse: save the best trained epoch even if it is no better in validation than the starting point;
            false ends the stage with an error instead.
        max_steps: optimiser steps after which the stage ends, over as many epochs as that takes, whatever
            ``num_train_epochs`` says; null trains whole epochs. Stages on unlike numbers of questions are compared so.
        loss: on the tokens of the answer only, or on the whole sequence (the paper).
        kl_to_base: how many times the divergence from the base model, KL(base || trained) in nats per token that has a
            loss, is added to the loss: a simple form of self-distillation against forgetting (Kaplan, Gekhman et al.
            2026, arXiv 2604.15574; the form is ours). With any value but 0 the base model reads every batch too.
        save_steps: steps between checkpoints within an epoch, for resuming; null saves only at the end of each epoch.
        sft: any further SFTConfig fields, passed unchanged.
    """

    name: Name
    mixture: Annotated[tuple[MixturePart, ...], Field(strict=False, min_length=1)]
    start: Literal["new", "continue", "merged"]
    num_train_epochs: Count = 5
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2e-4
    weight_decay: NotNegative = 0.0
    per_device_train_batch_size: Count = 16
    gradient_accumulation_steps: Count = 1
    lr_scheduler_type: str = "linear"
    warmup_steps: NotNegative = 0.0
    adam_beta1: Beta = 0.9
    adam_beta2: Beta = 0.999
    max_grad_norm: NotNegative = 1.0
    patience: Count | None = 2
    keep_if_worse: bool = True
    max_steps: Count | None = None
    loss: Literal["completion", "sequence"] = "completion"
    kl_to_base: NotNegative = 0.0
    save_steps: Count | None = 50
    sft: dict[str, Any] = {}

    @model_serializer(mode="wrap")
    def _serialize(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a field that older run folders do not have while it has its default: their digests stay valid."""
        return _without(standard(self), keep_if_worse=True, max_steps=None, kl_to_base=0.0)

    @model_validator(mode="after")
    def _check_workers(self) -> Self:
        if any(part.redraw for part in self.mixture) and self.sft.get("dataloader_persistent_workers"):
            raise ValueError("dataloader_persistent_workers would keep the questions of the first epoch; remove it")
        return self

    @field_validator("mixture")
    @classmethod
    def _check_mixture(cls, parts: tuple[MixturePart, ...]) -> tuple[MixturePart, ...]:
        _unique([part.name for part in parts], "mixture part")
        if all(part.ratio is not None for part in parts):
            raise ValueError("every part has a ratio, which leaves no questions to relate to; remove one of the ratios")
        return parts


class EvaluationConfig(_Closed):
    """What is measured.

    Attributes:
        shots: numbers of exemplars with which greedy test accuracy is measured.
        other_type: ask the test questions also with exemplars of another type: the form of an answer is shown, and no
            knowledge of the type.
        measurement: measure the train split at every point on a draw of its own (``protocols.measurement``), which no
            question is chosen by. Without it, changes of the train split are told by the detections that chose the
            questions, which is biased.
        first_categories: detect the test split with the base model, for accuracy by first category.
        control: also train the previous stage's adapter further on the previous stage's questions, for as many steps as
            the stage took: what more training alone would have brought.
        text: measure at every point how well the model predicts prose that has nothing to do with the questions.
        also: further tasks of lm-eval, run at every point as ``lm_eval`` runs them.
        also_folder: folder of task files that lm-eval does not have.
        also_limit: documents of each further task; null for all.
    """

    shots: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)] = (4, 0)
    other_type: bool = True
    measurement: bool = True
    first_categories: bool = True
    control: bool = False
    text: bool = False
    also: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = ()
    also_folder: str | None = None
    also_limit: Count | None = None

    @model_serializer(mode="wrap")
    def _serialize(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what older run folders do not have: see :meth:`StageConfig._serialize`."""
        return _without(standard(self), text=False, also=[], also_folder=None, also_limit=None)

    @property
    def elsewhere(self) -> bool:
        """Whether anything besides the questions is measured."""
        return self.text or bool(self.also)

    @field_validator("also")
    @classmethod
    def _check_also(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        _unique(tasks, "task")
        return tasks

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, values: Any) -> Any:
        """``retest``: the name of ``measurement`` when only the base model was measured."""
        if isinstance(values, dict) and "retest" in values:
            values = dict(values)
            values.setdefault("measurement", values.pop("retest"))
        return values

    @property
    def validation_shots(self) -> int:
        """Number of exemplars in a validation prompt: the largest number used in the test."""
        return max(self.shots)

    @field_validator("shots")
    @classmethod
    def _check_shots(cls, shots: tuple[int, ...]) -> tuple[int, ...]:
        _unique([str(number) for number in shots], "number of shots")
        return shots


Purpose = Literal["detection", "redetection", "measurement", "training", "validation", "test"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

_TEXT = ("template", "chat", "system")
_ASKING = (*_TEXT, "max_tokens", "scorer")
_MAY_DIFFER: Mapping[str, tuple[str, ...]] = {
    "redetection": ("samples",),
    "measurement": ("samples", "seed"),
    "training": _TEXT,
    "validation": _ASKING,
    "test": (*_ASKING, "seed", "exemplar_sets"),
}

MEASUREMENT_SEED = 10_000
"""Added to the seed of the detection for measurement and test: runs with neighbouring seeds share no draw."""


class ProtocolsConfig(_Closed):
    """Where the protocol of a purpose differs from ``protocol``, which is that of the first detection.

    Attributes:
        redetection: detection after a stage: ``samples`` (0 asks greedy answers only, as in the paper).
        measurement: measuring the train split: ``seed`` and ``samples``. Default: another seed, greedy answers only.
        training: the text that is trained on: ``template``, ``chat``, ``system``.
        validation: choosing the epoch: those of ``training``, ``max_tokens``, ``scorer``.
        test: the test: those of ``validation``, ``seed`` and ``exemplar_sets``. Default: the measurement's seed.
    """

    redetection: dict[str, Any] = {}
    measurement: dict[str, Any] = {}
    training: dict[str, Any] = {}
    validation: dict[str, Any] = {}
    test: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        for purpose, allowed in _MAY_DIFFER.items():
            for key in getattr(self, purpose):
                if key not in allowed:
                    raise ValueError(
                        f"{purpose}.{key}: cannot differ from protocol.{key}. {purpose} may differ in "
                        f"{', '.join(allowed)}"
                    )
        return self


class Recipe(_Closed):
    """A whole run. Load with :func:`load_recipe`. Without stages, the base model is measured and nothing is trained.

    ``protocol`` holds every value but ``scorer``, which is there only if the recipe names one: its default depends on
    the question set, see :meth:`with_scorer_of`.
    """

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    model: ModelConfig
    questions: QuestionsConfig = QuestionsConfig()
    protocol: dict[str, Any] = {}
    protocols: ProtocolsConfig = ProtocolsConfig()
    adapter: AdapterConfig = AdapterConfig()
    stages: Annotated[tuple[StageConfig, ...], Field(strict=False)]
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        """Fill in the defaults that depend on other values: seeds, and where each stage starts."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if isinstance(protocol := values.get("protocol", {}), dict):
            seed = values.get("seed", 0)
            own = {"seed": seed} if type(seed) is int and seed >= 0 else {}  # a wrong seed is reported as such
            complete = Protocol.from_mapping({**own, **protocol}).to_json()
            values["protocol"] = {key: complete[key] for key in complete if key != "scorer" or key in protocol}
            values["protocols"] = _with_seeds(values.get("protocols", {}), values["protocol"]["seed"])
        if isinstance(stages := values.get("stages"), (list, tuple)):
            starts = ["new"] + ["continue"] * len(stages)
            filled = zip(stages, starts, strict=False)
            values["stages"] = [
                {"start": start, **stage} if isinstance(stage, dict) else stage for stage, start in filled
            ]
        return values

    @field_validator("stages")
    @classmethod
    def _check_stages(cls, stages: tuple[StageConfig, ...]) -> tuple[StageConfig, ...]:
        _unique([stage.name for stage in stages], "stage")
        if not stages:
            return stages
        first = stages[0]
        if first.start != "new":
            raise ValueError(f"stage {first.name!r} is the first and has no adapter to start from; set start: new")
        for part in first.mixture:
            if part.before or (part.same_size_as and part.same_size_as.before):
                raise ValueError(f"stage {first.name!r} is the first: there is no earlier detection; remove `before`")
        return stages

    @model_validator(mode="after")
    def _check_protocols(self) -> Self:
        for purpose in _MAY_DIFFER:
            self.protocol_for(cast(Purpose, purpose))
        samples = self.protocol_for("redetection").samples
        if samples not in (0, self.protocol_object().samples):
            raise ValueError(
                f"protocols.redetection.samples is {samples}; categories before and after a stage compare with as many "
                "samples as protocol.samples, or with 0"
            )
        if self.evaluation.measurement and self.protocol_for("measurement").seed == self.protocol_object().seed:
            raise ValueError(
                "protocols.measurement.seed is that of the detection, so the measurement would repeat the draw that "
                "chooses the questions; leave it out or set another one"
            )
        return self

    @model_validator(mode="after")
    def _enough_exemplars(self) -> Self:
        needed, given = max(self.evaluation.shots), self.protocol_object().shots
        if needed > given:
            raise ValueError(
                f"evaluation.shots needs {needed} exemplars and an exemplar set has {given}; raise protocol.shots"
            )
        return self

    def with_scorer_of(self, source: object) -> Recipe:
        """The recipe with a named scorer: its own, else that of the opened question set, else the general default.

        Args:
            source: an opened question set; None where the set does not decide.
        """
        if "scorer" in self.protocol:
            return self
        own = scorer_of(source)
        named = dict(self.protocol) if own is None else {**self.protocol, "scorer": own}
        return self.model_copy(update={"protocol": Protocol.from_mapping(named).to_json()})

    def protocol_object(self) -> Protocol:
        """The protocol of the first detection."""
        return Protocol.from_mapping(self.protocol)

    def protocol_for(self, purpose: Purpose) -> Protocol:
        """The protocol of a purpose."""
        own = {} if purpose == "detection" else getattr(self.protocols, purpose)
        return Protocol.from_mapping({**self.protocol, **own}, f"protocols.{purpose}")

    def to_yaml(self) -> str:
        """The resolved recipe with its defaults; loads back to an equal recipe."""
        return dump_yaml(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 of everything but name and description, which do not affect the run."""
        values = self.model_dump(mode="json", exclude={"name", "description"})
        return sha256_of_json({**values, "protocol": self.protocol_object().stored()})


@dataclass(frozen=True)
class RecipeInfo:
    """Name and one-line description of a packaged recipe."""

    name: str
    description: str


def list_recipes() -> list[RecipeInfo]:
    """The packaged recipes, by name."""
    trees = {file.stem: parse_yaml(read_text(file, limits.MAX_YAML_BYTES), file.name) for file in _packaged()}
    return [RecipeInfo(name, str(trees[name].get("description", ""))) for name in sorted(trees)]


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Load a packaged recipe by name, or a recipe file by path.

    Args:
        name_or_path: "demo", or a path (with a slash, or ending in .yaml or .yml).
        overrides: such as ``"stages.0.learning_rate=1e-4"``; applied in order, before validation.

    Raises:
        RecipeError: the recipe cannot be found or read, or a value is wrong; file, key and remedy are named.
    """
    tree, path = read_recipe_tree(name_or_path)
    for override in overrides:
        apply_override(tree, override)
    return parse_recipe(tree, str(path))


def read_recipe_tree(name_or_path: str, folder: Path = Path()) -> tuple[dict[str, Any], Path]:
    """The values of a recipe before they are checked, with those that it extends, and the file they are from.

    Args:
        folder: that a relative path starts from.

    Raises:
        RecipeError: it cannot be found or read.
    """
    path = _find(name_or_path, folder)
    return _read_tree(path), path


def load_recorded_recipe(path: Path) -> Recipe:
    """Load the resolved recipe of a run folder. What older versions did not have is as they did it.

    Raises:
        RecipeError: the file cannot be read, or a value is wrong.
    """
    tree = _read_tree(path)
    if isinstance(protocol := tree.get("protocol"), dict):
        tree["protocol"] = {**EARLIER, **protocol}
        if "protocols" not in tree:
            tree["protocols"] = {"test": {"seed": protocol.get("seed", tree.get("seed", 0)), "exemplar_sets": 1}}
            if isinstance(evaluation := tree.get("evaluation", {}), dict):
                tree["evaluation"] = {**evaluation, "retest": False, "other_type": False, "control": False}
    return parse_recipe(tree, str(path))


def _with_seeds(protocols: Any, seed: int) -> Any:
    """Measurement and test draw their exemplars anew, both with the same seed."""
    if not isinstance(protocols, dict):
        return protocols
    filled = dict(protocols)
    defaults: dict[str, dict[str, Any]] = {"measurement": {"seed": seed + MEASUREMENT_SEED, "samples": 0}}
    measured = protocols.get("measurement", {})
    own = measured.get("seed") if isinstance(measured, dict) else None
    defaults["test"] = {"seed": seed + MEASUREMENT_SEED if own is None else own}
    for purpose, values in defaults.items():
        given = protocols.get(purpose, {})
        if isinstance(given, dict):
            filled[purpose] = {**values, **given}
    return filled


def _read_tree(path: Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Raw values of a recipe file. ``extends`` names another recipe, to which the changes under ``set`` are applied."""
    try:
        text = read_text(path, limits.MAX_YAML_BYTES)
    except DataError as error:
        raise RecipeError(str(error)) from error
    tree = parse_yaml(text, str(path))
    if not isinstance(tree, dict):
        raise RecipeError(f"{path}: not a recipe. Write keys such as name, model and stages; see the recipe `demo`.")
    if "extends" not in tree:
        return tree
    changes = tree.pop("set", {})
    other = _find(str(tree.pop("extends")), path.parent)
    if not isinstance(changes, dict) or set(tree) - {"name", "description"}:
        raise RecipeError(f"{path}: with `extends`, write only name, description and `set` (changes by dotted key).")
    if other in below or other == path:
        raise RecipeError(f"{path}: extends itself through {other}. Break the circle.")
    base = _read_tree(other, (*below, path))
    for key, value in changes.items():
        set_value(base, key, value, f"{path}: set")
    return {**base, **tree}


def parse_recipe(tree: Mapping[str, Any], where: str) -> Recipe:
    """Validate recipe values.

    Raises:
        RecipeError: unknown keys or wrong values; the message names ``where`` and the path of each key.
    """
    try:
        return Recipe.model_validate(dict(tree))
    except ValidationError as error:
        problems: list[dict[str, Any]] = [dict(problem) for problem in error.errors(include_url=False)]
        inner = [one for one in problems if not any(_within(other["loc"], one["loc"]) for other in problems)]
        raise RecipeError("\n".join(f"{where}: {_explain(problem)}" for problem in inner)) from error
    except UsageError as error:
        raise RecipeError(f"{where}: {error}") from error


def _within(location: tuple[Any, ...], outer: tuple[Any, ...]) -> bool:
    """Whether one location is inside another. A list with a wrong item is also reported as too short; skip that."""
    return len(location) > len(outer) and location[: len(outer)] == outer


def _explain(problem: dict[str, Any]) -> str:
    path = [str(key) for key in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        return f"{'.'.join(path)}: unknown key. {suggest(path[-1], _fields_at(problem['loc'][:-1]))}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = (
        ""
        if isinstance(problem["input"], (dict, list)) or problem["type"] == "value_error"
        else f" (got {problem['input']!r})"
    )
    return f"{'.'.join(path) or 'recipe'}: {message[:1].lower()}{message[1:]}{given}."


def _fields_at(location: Sequence[str | int]) -> list[str]:
    """Known keys of the model at an error's location."""
    model: type[BaseModel] = Recipe
    for key in location:
        if isinstance(key, str) and key in model.model_fields:
            model = _model_in(model.model_fields[key].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in found if model), None)


def _without(values: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """The values without those that are as given."""
    return {key: value for key, value in values.items() if key not in defaults or _listed(value) != defaults[key]}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _unique(names: Sequence[str], what: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{what} {name!r} is duplicated; make each unique")


def _packaged() -> list[Path]:
    folder = Path(str(resources.files("kft_train") / "recipes"))
    return list(folder.glob("*.yaml"))


def _find(name_or_path: str, folder: Path = Path()) -> Path:
    known = {file.stem: file for file in _packaged()}
    if name_or_path in known:
        return known[name_or_path]
    path = folder / home_path(name_or_path, "recipe")
    if path.exists():  # a pipe is refused when it is read
        return path
    if path.suffix in (".yaml", ".yml") or "/" in name_or_path:
        raise RecipeError(
            f"{path}: no such recipe file. Check the path, or use a packaged one: {', '.join(sorted(known))}."
        )
    raise RecipeError(f"Unknown recipe {name_or_path!r}. {suggest(name_or_path, known)} Or give the path of a file.")

"""A hypothesis as it is written into the file of an experiment, before anything is run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from kft_tasks.records import Record

Measure = Literal[
    "test_accuracy",
    "train_accuracy",
    "highly_known",
    "kept",
    "upgraded",
    "growth_of_gain",
    "held_out_types",
    "text_loss",
    "also",
]
"""What a hypothesis compares, at one point of one arm under one seed.

=================  ====================================================================================================
test_accuracy      share of right answers to the test questions, over all exemplar sets of ``shots`` exemplars
train_accuracy     share of right greedy answers to the training questions, on the draw that measures
highly_known       share of the training questions that are HighlyKnown on the draw that measures
kept               of the questions that the base model's detection found HighlyKnown: share that is HighlyKnown on the
                   draw that measures, which did not choose them
upgraded           of the questions that the base model's detection found below HighlyKnown: share whose level (never
                   right, MaybeKnown, HighlyKnown) is higher than the base model's, both on the draw that measures
growth_of_gain     the paper's "24 %": gain in HighlyKnown after the last stage by that after the first one, less 1
held_out_types     share of right test answers of the types that no stage trained on
text_loss          mean negative log-likelihood of the held-out text, in nats per token; its exponential is perplexity
also               accuracy of a further task of lm-eval, ``task``
=================  ====================================================================================================
"""

Questions = Literal["all", "trained", "untrained"]
Test = Literal["sign_flips", "crossed_t"]
Direction = Literal["higher", "lower"]

PointName = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", max_length=80)]
ArmName = PointName

BASE = "base"


class Against(Record):
    """What an arm is compared with: another arm, another point of the same arm, or a point of another arm.

    Attributes:
        arm: that of the hypothesis where it is not given.
        point: the last point where it is not given.
    """

    arm: ArmName | None = None
    point: PointName | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.arm is None and self.point is None:
            raise ValueError("name an arm, a point, or both")
        return self


class Hypothesis(Record):
    """One claim with everything that decides about it.

    Attributes:
        name: short, for tables.
        sentence: the claim in words.
        shots: exemplars in the prompt; of test_accuracy and held_out_types.
        questions: which training questions; of train_accuracy and highly_known. "trained" are those of the stages up to
            the point; two places are compared on what both trained, or what neither did. A later stage chooses its
            questions by what an earlier one did, so what it leaves untrained did not rise: ask for untrained questions
            at the first stage.
        task: a task of ``evaluation.also``; of also.
        arm: the arm that the claim is about.
        point: a stage of it; its last point where it is not given.
        against: the name of another arm, or a mapping, see :class:`Against`. Not of growth_of_gain, whose comparison
            is with a gain that does not grow.
        direction: of the difference, arm less what it is compared with.
        smallest: the smallest difference of interest, in percentage points; in nats per token of text_loss. A clear
            difference in the other direction, or one that is clearly smaller than this, contradicts the claim.
        test: "sign_flips" of seeds, which assumes nothing of how they are spread and needs six of them for one
            hypothesis; "crossed_t", Student's t over seeds and clusters of questions, which assumes that means over
            all questions are normally spread over seeds.
    """

    name: PointName
    sentence: Annotated[str, Field(min_length=1, max_length=400)]
    measure: Measure
    arm: ArmName
    point: PointName | None = None
    against: Against | None = None
    direction: Direction = "higher"
    smallest: Annotated[float, Field(ge=0, le=1000)] = 0.0
    test: Test = "sign_flips"
    shots: Annotated[int, Field(ge=0)] | None = None
    questions: Questions | None = None
    task: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_of_arm(cls, values: object) -> object:
        """``against: other-arm`` is short for ``against: {arm: other-arm}``."""
        if isinstance(values, dict) and isinstance(values.get("against"), str):
            return {**values, "against": {"arm": values["against"]}}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, measures in _NEEDS.items():
            if getattr(self, key) is not None and self.measure not in measures:
                raise ValueError(f"{key} has no meaning for {self.measure}; remove it")
        for key in _MUST_SAY.get(self.measure, ()):
            if getattr(self, key) is None:
                raise ValueError(f"{self.measure} needs {key}")
        if self.measure == "growth_of_gain":
            if self.against is not None:
                raise ValueError("growth_of_gain compares the stages of one arm; remove against")
            return self
        if self.against is None:
            raise ValueError("against is missing; name another arm, or {point: base}")
        if self.against.arm in (None, self.arm) and self.against.point == self.point:
            raise ValueError("against is the arm itself; name another arm or another point")
        if self.measure == "upgraded" and self.against.point == BASE:
            raise ValueError("the base model has upgraded nothing, which would be no comparison; name another arm")
        return self


_NEEDS = {
    "shots": ("test_accuracy", "held_out_types"),
    "questions": ("train_accuracy", "highly_known"),
    "task": ("also",),
}
_MUST_SAY = {"test_accuracy": ("shots",), "held_out_types": ("shots",), "also": ("task",)}

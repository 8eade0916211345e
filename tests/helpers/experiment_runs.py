"""Runs of an experiment as arrays, made in code: any number of arms and seeds with known effects, without files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kft_cli.experiment.values import (
    HIGHLY,
    MAYBE,
    NEVER,
    EpochValues,
    RunValues,
    StageValues,
    TestValues,
    TextValues,
    TrainValues,
)
from kft_cli.stats.groups import QuestionGroups
from kft_tasks.evaluation.evaluate import Asking

SETS = 4
FEW = Asking(4)


@dataclass(frozen=True)
class Shape:
    """Numbers of questions, types and passages."""

    train: int = 240
    test: int = 240
    types: int = 12
    passages: int = 10

    def groups(self, count: int) -> QuestionGroups:
        types = [f"type {number % self.types}" for number in range(count)]
        return QuestionGroups(types, [f"subject {number // 2}" for number in range(count)])


@dataclass(frozen=True)
class ArmEffect:
    """What an arm does to the chance of a right answer, on average over seeds.

    Attributes:
        stages: names of its stages.
        gain: added to the chance of a right answer at its last point.
        first: share of the gain that is there after the first of several stages.
        seeds_vary: standard deviation of the gain over seeds.
        nats: added to the loss per token of the held-out text.
    """

    stages: Sequence[str] = ("stage1",)
    gain: float = 0.0
    first: float = 0.5
    seeds_vary: float = 0.0
    nats: float = 0.0
    steps: int = 30


@dataclass
class World:
    """Questions of known difficulty; a base model and arms that are asked under several seeds."""

    arms: Mapping[str, ArmEffect]
    seeds: Sequence[int] = (0, 1, 2, 3, 4, 5)
    shape: Shape = field(default_factory=Shape)
    draw: int = 0
    noise: float = 0.05  # share of answers that are drawn anew at every point

    def runs(self) -> dict[tuple[str, int], RunValues]:
        rng = np.random.default_rng(self.draw)
        sizes = {"train": self.shape.train, "test": self.shape.test}
        chance = {key: np.clip(rng.beta(0.4, 0.6, size), 0.02, 0.98) for key, size in sizes.items()}
        return {
            (arm, seed): self._run(effect, seed, chance, np.random.default_rng([self.draw, seed, 7]), rng)
            for seed in self.seeds
            for arm, effect in self.arms.items()
        }

    def _run(
        self,
        effect: ArmEffect,
        seed: int,
        chance: Mapping[str, np.ndarray],
        shared: np.random.Generator,
        rng: np.random.Generator,
    ) -> RunValues:
        """The base model's answers follow from the seed alone; those of the arm have luck of their own."""
        draws = {key: shared.random((SETS, len(values))) for key, values in chance.items()}
        detected = shared.random((SETS, self.shape.train)) < chance["train"]
        points = ("base", *effect.stages)
        gain = effect.gain + effect.seeds_vary * rng.standard_normal()
        gains = [0.0, *(gain * (effect.first if stage != effect.stages[-1] else 1) for stage in effect.stages)]
        right = {}
        for key, values in chance.items():
            for point, added in zip(points, gains, strict=True):
                again = rng.random(draws[key].shape) < self.noise
                drawn = np.where(again & (point != "base"), rng.random(draws[key].shape), draws[key])
                right[key, point] = (drawn < np.clip(values + added, 0, 1)).mean(axis=0)
        level = {
            point: np.where(right["train", point] == 1, HIGHLY, np.where(right["train", point] > 0, MAYBE, NEVER))
            for point in points
        }
        share = detected.mean(axis=0)
        trained = (share > 0) & (share < 1)
        train = TrainValues(
            ids=tuple(f"q{number:05d}" for number in range(self.shape.train)),
            groups=self.shape.groups(self.shape.train),
            detected=np.where(share == 1, 3, np.where(share > 0, 2, np.where(chance["train"] > 0.1, 1, 0))),
            level={point: one.astype(np.int8) for point, one in level.items()},
            share={point: right["train", point] for point in points},
            trained=dict.fromkeys(effect.stages, trained),
            digest=f"train {seed}",
        )
        test = TestValues(
            groups=self.shape.groups(self.shape.test),
            right={(point, FEW): right["test", point] for point in points},
            sets={FEW: SETS},
            held_out=np.arange(self.shape.test) % self.shape.types == 0,
            category=np.clip((4 * chance["test"]).astype(np.int8), 0, 3),
            digest=f"test {seed}",
        )
        tokens = np.full(self.shape.passages, 100.0)
        losses = {
            point: tokens * (3.5 + (effect.nats if point != "base" else 0) + 0.01 * rng.standard_normal(len(tokens)))
            for point in points
        }
        text = TextValues(
            QuestionGroups(["speech"] * len(tokens), [f"p{n}" for n in range(len(tokens))]), tokens, losses, "text"
        )
        stages = tuple(
            StageValues(name, effect.steps, int(trained.sum()), {"maybe_known": int(trained.sum())}, 5000, 60.0, EPOCHS)
            for name in effect.stages
        )
        counts = np.bincount(train.detected, minlength=4)
        return RunValues(
            points=points,
            controls=(),
            test=test,
            train=train,
            text=text,
            tasks={},
            detected={
                name: int(count)
                for name, count in zip(("Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown"), counts, strict=True)
            },
            stages=stages,
            trained_questions=int(trained.sum()),
            tokens=5000.0 * len(stages) + 20_000,
            seconds=60.0 * len(stages) + 100,
            scorer="exact_match",
            model="tiny-model",
            question_set="worldfacts",
        )


EPOCHS = EpochValues((0.4, 0.45, 0.5), 2)

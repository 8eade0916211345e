"""What the tables of an experiment's page are made of: the paper's tables by content, over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev

from kft_cli.experiment.differences import Quantity, Runs, growth_of_gain
from kft_cli.experiment.hypothesis import Questions
from kft_cli.experiment.levels import change_record, from_base, level_of_shares, plain_level, runs_of, spread_of
from kft_cli.experiment.record import (
    AccuracyRecord,
    ArmRecord,
    CategoryName,
    CategoryRecord,
    EpochRecord,
    GrowthRecord,
    KeptRecord,
    KnownRecord,
    LevelName,
    MatrixRecord,
    MoveRecord,
    StageRecord,
    TaskRecord,
    TextRecord,
)
from kft_cli.experiment.values import CATEGORIES, HIGHLY, RunValues, StageValues, TrainValues
from kft_cli.report.run_layout import BASE
from kft_tasks.evaluation.evaluate import Asking

_LEVELS: tuple[LevelName, ...] = ("NeverRight", "MaybeKnown", "HighlyKnown")
_NAMES: tuple[CategoryName, ...] = ("Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown")


def describe_arm(name: str, description: str, runs: Runs) -> ArmRecord:
    """Seeds, stages, optimiser steps and cost of an arm."""
    chosen = runs_of(runs, name)
    return ArmRecord(
        name=name,
        description=description,
        seeds=sorted(seed for arm, seed in runs if arm == name),
        points=list(chosen[0].points),
        stages=[_stage([run.stages[index] for run in chosen]) for index in range(min(len(r.stages) for r in chosen))],
        steps=spread_of([sum(stage.steps for stage in run.stages) for run in chosen]),
        questions=spread_of([run.trained_questions for run in chosen]),
        tokens=spread_of([run.tokens for run in chosen]),
        seconds=spread_of([run.seconds for run in chosen]),
    )


def _stage(stages: Sequence[StageValues]) -> StageRecord:
    parts = dict.fromkeys(part for stage in stages for part in stage.parts)
    return StageRecord(
        name=stages[0].name,
        steps=spread_of([stage.steps for stage in stages]),
        questions=spread_of([stage.questions for stage in stages]),
        parts={part: spread_of([stage.parts.get(part, 0) for stage in stages]) for part in parts},
        tokens=spread_of([stage.tokens for stage in stages]),
        seconds=spread_of([stage.seconds for stage in stages]),
    )


def _places(runs: Runs, arms: Sequence[str]) -> Iterator[tuple[str, str, list[RunValues]]]:
    """Arms and their points. What arms share, as they all do the base model, stands once: at the first of them.

    An arm's last point always stands at the arm too, so that arms can be compared.
    """
    seen: list[tuple[str, list[RunValues]]] = []
    for arm in arms:
        chosen = runs_of(runs, arm)
        for point in (*chosen[0].points, *chosen[0].controls):
            known = any(point == other and _shared(point, chosen, earlier) for other, earlier in seen)
            if not known or (point == chosen[0].last != BASE):
                seen.append((point, chosen))
                yield arm, point, chosen


def _shared(point: str, one: Sequence[RunValues], other: Sequence[RunValues]) -> bool:
    """Whether two arms have the same results at a point under all seeds, from the same stages."""
    if point == BASE:  # the same model under the same recipe; an arm may lack seeds of another
        return True
    return len(one) == len(other) and all(a.is_same_at(point, b) for a, b in zip(one, other, strict=True))


def measure_accuracy(runs: Runs, arms: Sequence[str]) -> list[AccuracyRecord]:
    """Test accuracy at every point (tables 7 and 8), of all types and of those that were held out."""
    rows = []
    for arm, point, chosen in _places(runs, arms):
        for asking, sets in chosen[0].test.sets.items():
            if asking.other_type:
                continue
            for held_out in (False, True):
                quantity = Quantity("held_out_types" if held_out else "test_accuracy", asking.shots)
                if held_out and not all(run.test.held_out.any() for run in chosen):
                    continue
                level = level_of_shares(quantity, chosen, point)
                assert level is not None
                test = chosen[0].test
                rows.append(
                    AccuracyRecord(
                        arm=arm,
                        point=point,
                        shots=asking.shots,
                        other_type=False,
                        sets=sets,
                        held_out_types=held_out,
                        n=int(test.held_out.sum()) if held_out else len(test.groups),
                        level=level,
                        from_base=from_base(quantity, runs, arm, point),
                    )
                )
    return rows


_QUESTIONS: tuple[Questions, ...] = ("all", "trained", "untrained")


def measure_highly_known(runs: Runs, arms: Sequence[str]) -> list[KnownRecord]:
    """HighlyKnown questions at every point: of all, of the trained, of the untrained (table 10)."""
    rows = []
    for arm, point, chosen in _places(runs, arms):
        trains = _trains(chosen)
        if trains is None:
            continue
        for questions in _QUESTIONS if point != BASE else _QUESTIONS[:1]:
            quantity = Quantity("highly_known", questions=questions)
            level = level_of_shares(quantity, chosen, point)
            if level is None:
                continue
            sizes = [_size(train, point, questions) for train in trains]
            counts = [_count(train, point, questions) for train in trains]
            rows.append(
                KnownRecord(
                    arm=arm,
                    point=point,
                    questions=questions,
                    n=fmean(sizes),
                    count=fmean(counts),
                    level=level,
                    from_base=from_base(quantity, runs, arm, point),
                )
            )
    return rows


def _trains(chosen: Sequence[RunValues]) -> list[TrainValues] | None:
    trains = [run.train for run in chosen if run.train is not None]
    return trains if len(trains) == len(chosen) else None


def _size(train: TrainValues, point: str, questions: Questions) -> int:
    trained = int(train.trained_until(point).sum())
    return {"all": len(train.ids), "trained": trained, "untrained": len(train.ids) - trained}[questions]


def _count(train: TrainValues, point: str, questions: Questions) -> int:
    known = train.level[point] == HIGHLY
    if questions == "all":
        return int(known.sum())
    trained = train.trained_until(point)
    return int((known & (trained if questions == "trained" else ~trained)).sum())


def measure_kept(runs: Runs, arms: Sequence[str]) -> list[KeptRecord]:
    """What became of the questions that the base model's detection found HighlyKnown."""
    rows = []
    quantity = Quantity("kept")
    for arm, point, chosen in _places(runs, arms):
        trains = _trains(chosen)
        level = level_of_shares(quantity, chosen, point) if trains else None
        if trains is None or level is None:
            continue
        levels = [train.level[point][train.detected == len(CATEGORIES) - 1] for train in trains]
        never, maybe, kept = ([int((one == code).sum()) for one in levels] for code in range(3))
        rows.append(
            KeptRecord(
                arm=arm,
                point=point,
                n=fmean(len(one) for one in levels),
                kept=fmean(kept),
                maybe=fmean(maybe),
                never=fmean(never),
                level=level,
                from_base=from_base(quantity, runs, arm, point),
            )
        )
    return rows


def measure_transitions(runs: Runs, arms: Sequence[str]) -> list[MatrixRecord]:
    """Category before x level after (table 3); at the base model it is the same model asked twice (table 4)."""
    rows = []
    for arm, point, chosen in _places(runs, arms):
        trains = _trains(chosen)
        if trains is not None:
            rows.append(MatrixRecord(arm=arm, point=point, counts=_matrix(trains, point)))
    return rows


def _matrix(trains: Sequence[TrainValues], point: str) -> dict[CategoryName, dict[LevelName, float]]:
    return {
        _NAMES[row]: {
            _LEVELS[column]: fmean(
                int(((train.detected == row) & (train.level[point] == column)).sum()) for train in trains
            )
            for column in reversed(range(3))
        }
        for row in reversed(range(4))
    }


def measure_by_category(runs: Runs, arms: Sequence[str]) -> list[CategoryRecord]:
    """Test accuracy by the base model's category of the test question (table 9)."""
    rows = []
    for arm, point, chosen in _places(runs, arms):
        if any(run.test.category is None for run in chosen):
            continue
        for asking in chosen[0].test.sets:
            for code in () if asking.other_type else reversed(range(4)):
                found = [_of_category(run, point, asking, code) for run in chosen]
                shares = [share for share, size in found if size]
                if shares:
                    rows.append(
                        CategoryRecord(
                            arm=arm,
                            point=point,
                            shots=asking.shots,
                            category=_NAMES[code],
                            n=fmean(size for _, size in found),
                            mean=fmean(shares),
                            deviation=stdev(shares) if len(shares) > 1 else None,
                        )
                    )
    return rows


def _of_category(run: RunValues, point: str, asking: Asking, code: int) -> tuple[float, int]:
    """Share of right answers to the test questions of a category, and how many these are."""
    assert run.test.category is not None
    chosen = run.test.category == code
    size = int(chosen.sum())
    return (float(run.test.right[point, asking][chosen].mean()) if size else 0.0), size


def measure_epochs(runs: Runs, arms: Sequence[str]) -> list[EpochRecord]:
    """Validation accuracy by epoch (table 6); seeds that stopped earlier are not in the later rows."""
    rows = []
    for arm in arms:
        chosen = runs_of(runs, arm)
        for index in range(min(len(run.stages) for run in chosen)):
            stages = [run.stages[index] for run in chosen]
            for epoch in range(max(len(stage.epochs.share) for stage in stages)):
                shares = [stage.epochs.share[epoch] for stage in stages if epoch < len(stage.epochs.share)]
                rows.append(
                    EpochRecord(
                        arm=arm,
                        stage=stages[0].name,
                        epoch=epoch,
                        seeds=len(shares),
                        mean=fmean(shares),
                        deviation=stdev(shares) if len(shares) > 1 else None,
                        chosen=sum(stage.epochs.chosen == epoch for stage in stages),
                    )
                )
    return rows


def _of_stages(runs: Runs, arms: Sequence[str]) -> Iterator[tuple[str, list[RunValues], list[TrainValues]]]:
    """Arms of two or more stages, their runs and what those measured of the training questions."""
    for arm in arms:
        chosen = runs_of(runs, arm)
        trains = _trains(chosen)
        if trains is not None and all(len(run.points) > 2 for run in chosen):
            yield arm, chosen, trains


def measure_growth(runs: Runs, arms: Sequence[str]) -> list[GrowthRecord]:
    """Arms of two or more stages: HighlyKnown questions, and both ways of counting their growth (tables 10 to 12)."""
    rows = []
    for arm, chosen, trains in _of_stages(runs, arms):
        points = [(BASE, str(run.first_stage), run.last) for run in chosen]
        counts = [
            fmean(_count(train, at[index], "all") for train, at in zip(trains, points, strict=True))
            for index in range(3)
        ]
        rows.append(
            GrowthRecord(
                arm=arm,
                counts=counts,
                of_count=counts[2] / counts[1] - 1 if counts[1] else None,
                of_gain=change_record(growth_of_gain(runs, arm)),
            )
        )
    return rows


def measure_moves(runs: Runs, arms: Sequence[str]) -> list[MoveRecord]:
    """Levels from each point to the next, of arms of two or more stages (tables 11 and 12)."""
    rows = []
    for arm, chosen, trains in _of_stages(runs, arms):
        for before, after in itertools.pairwise(chosen[0].points):
            changes = [train.level[after].astype(int) - train.level[before] for train in trains]
            higher = fmean(int((change > 0).sum()) for change in changes)
            lower = fmean(int((change < 0).sum()) for change in changes)
            same = fmean(int((change == 0).sum()) for change in changes)
            rows.append(MoveRecord(arm=arm, before=before, after=after, higher=higher, lower=lower, same=same))
    return rows


def measure_text(runs: Runs, arms: Sequence[str]) -> list[TextRecord]:
    """Loss of the held-out text."""
    rows = []
    for arm, point, chosen in _places(runs, arms):
        texts = [run.text for run in chosen if run.text is not None]
        if len(texts) < len(chosen):
            continue
        per_seed = [float(text.nats[point].sum() / text.tokens.sum()) for text in texts]
        change = from_base(Quantity("text_loss"), runs, arm, point)
        rows.append(TextRecord(arm=arm, point=point, level=plain_level(per_seed), from_base=change))
    return rows


def measure_tasks(runs: Runs, arms: Sequence[str]) -> list[TaskRecord]:
    """Main metrics of further tasks."""
    rows = []
    for arm, point, chosen in _places(runs, arms):
        for name in (key for key in chosen[0].tasks.get(point, {}) if "/" not in key):
            if not all(name in run.tasks.get(point, {}) for run in chosen):
                continue
            metrics = [run.tasks[point][name] for run in chosen]
            errors = [metric.stderr for metric in metrics if metric.stderr is not None]
            rows.append(
                TaskRecord(
                    arm=arm,
                    point=point,
                    task=name,
                    metric=metrics[0].metric,
                    level=plain_level([metric.value for metric in metrics]),
                    stderr=fmean(errors) if errors else None,
                    from_base=from_base(Quantity("also", task=name), runs, arm, point),
                )
            )
    return rows

"""From the finished runs of an experiment to its record."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kft_cli.experiment.costs import ExperimentCost
from kft_cli.experiment.differences import Place, Quantity, Runs, compare
from kft_cli.experiment.entity_graph import Entities, measure_graphs
from kft_cli.experiment.hypothesis import Hypothesis
from kft_cli.experiment.levels import change_record, runs_of
from kft_cli.experiment.record import FORMAT, ExperimentRecord, ExploratoryRecord, HypothesisRecord
from kft_cli.experiment.tables import (
    describe_arm,
    measure_accuracy,
    measure_by_category,
    measure_epochs,
    measure_growth,
    measure_highly_known,
    measure_kept,
    measure_moves,
    measure_tasks,
    measure_text,
    measure_transitions,
)
from kft_cli.experiment.values import with_shared_groups
from kft_cli.experiment.verdicts import Answer, answer_all, reach_sentence
from kft_cli.report.measures.rounding import rounded
from kft_tasks.errors import DataError
from kft_tasks.version import __version__


@dataclass(frozen=True)
class Plan:
    """What an experiment's file says.

    Attributes:
        arms: descriptions by name, in the order of the page.
        hypotheses: written before the first run.
    """

    name: str
    description: str
    arms: Mapping[str, str]
    seeds: Sequence[int]
    hypotheses: Sequence[Hypothesis] = field(default_factory=tuple)


def experiment_record(
    plan: Plan, runs: Runs, entities: Entities | None = None, cost: ExperimentCost | None = None
) -> ExperimentRecord:
    """Everything that the page of an experiment shows.

    Runs that are not finished may be missing: the record names them. Arms without any run are left out, and hypotheses
    about them are not settled.

    Args:
        plan: what was to be done.
        runs: the finished runs, by arm and seed.
        entities: of the measured training questions, see :func:`kft_cli.experiment.values.read_entities`; without them
            there is no graph of entities.
        cost: what the steps took, where ``kft experiment`` has written it.

    Raises:
        DataError: no run is finished, or runs are of different models, question sets or scorers.
    """
    arms = [arm for arm in plan.arms if any(name == arm for name, _ in runs)]
    if not arms:
        raise DataError(f"Experiment {plan.name}: no run is finished. Run `kft experiment` first.")
    known = with_shared_groups({key: run for key, run in runs.items() if key[0] in arms})
    first = runs_of(known, arms[0])[0]
    for (arm, seed), run in known.items():
        for what in ("model", "question_set", "scorer"):
            if getattr(run, what) != getattr(first, what):
                raise DataError(
                    f"Experiment {plan.name}: arm {arm}, seed {seed} has another {what.replace('_', ' ')} than the "
                    "first run. Run it again with the others' values."
                )
    answers = answer_all(plan.hypotheses, known)
    graphs = measure_graphs({arm: runs_of(known, arm) for arm in arms}, entities) if entities else []
    train, text = first.train, first.text
    record = ExperimentRecord(
        format=FORMAT,
        name=plan.name,
        description=plan.description,
        kft_version=__version__,
        model=first.model,
        question_set=first.question_set,
        scorer=first.scorer,
        train_questions=0 if train is None else len(train.ids),
        test_questions=len(first.test.groups),
        passages=0 if text is None else len(text.groups),
        text_tokens=0 if text is None else int(text.tokens.sum()),
        held_out_types=len({t for t, out in zip(first.test.groups.types, first.test.held_out, strict=True) if out}),
        seeds=sorted({seed for _, seed in known}),
        missing=[f"{arm}, seed {seed}" for seed in plan.seeds for arm in plan.arms if (arm, seed) not in runs],
        hypotheses=[_hypothesis(answer) for answer in answers],
        reach=reach_sentence(answers),
        arms=[describe_arm(arm, plan.arms[arm], known) for arm in arms],
        accuracy=measure_accuracy(known, arms),
        highly_known=measure_highly_known(known, arms),
        kept=measure_kept(known, arms),
        by_category=measure_by_category(known, arms),
        transitions=measure_transitions(known, arms),
        growth=measure_growth(known, arms),
        moves=measure_moves(known, arms),
        epochs=measure_epochs(known, arms),
        graph=graphs,
        text=measure_text(known, arms),
        tasks=measure_tasks(known, arms),
        exploratory=[_exploratory(*one, known) for one in _comparisons(plan, known, arms)],
        cost=cost,
    )
    return ExperimentRecord.model_validate(rounded(record.model_dump(mode="json")))


def _hypothesis(answer: Answer) -> HypothesisRecord:
    means = answer.difference.means
    return HypothesisRecord(
        hypothesis=answer.hypothesis,
        seeds=list(answer.difference.seeds),
        arm_mean=None if means is None else means[0],
        against_mean=None if means is None else means[1],
        change=change_record(answer.difference),
        p=answer.p,
        holm_p=answer.holm_p,
        p_small=answer.p_small,
        holm_p_small=answer.holm_p_small,
        smallest_p=answer.smallest_p,
        large_enough=answer.large_enough,
        verdict=answer.verdict,
        why=answer.why,
    )


def _comparisons(plan: Plan, runs: Runs, arms: Sequence[str]) -> Iterator[tuple[Quantity, str, str]]:
    """Every pair of arms after their last stages in every quantity, but for what the hypotheses asked."""
    asked = {
        (Quantity.of(one), frozenset((one.arm, one.against.arm)))
        for one in plan.hypotheses
        if one.against and one.against.arm and one.against.point is None and one.point is None
    }
    for quantity in _quantities(runs, arms):
        for one, other in itertools.combinations(arms, 2):
            if (quantity, frozenset((one, other))) not in asked:
                yield quantity, other, one


def _quantities(runs: Runs, arms: Sequence[str]) -> list[Quantity]:
    first = runs_of(runs, arms[0])[0]
    shots = [asking.shots for asking in first.test.sets if not asking.other_type]
    found = [Quantity("test_accuracy", number) for number in shots]
    if first.test.held_out.any():
        found += [Quantity("held_out_types", number) for number in shots]
    if first.train is not None:
        found += [Quantity("train_accuracy"), Quantity("highly_known"), Quantity("kept"), Quantity("upgraded")]
    if first.text is not None:
        found.append(Quantity("text_loss"))
    names = next(iter(first.tasks.values()), {})
    return found + [Quantity("also", task=name) for name in names if "/" not in name]


def _exploratory(quantity: Quantity, arm: str, against: str, runs: Runs) -> ExploratoryRecord:
    difference = compare(quantity, runs, Place(arm), Place(against))
    return ExploratoryRecord(
        measure=quantity.measure,
        shots=quantity.shots,
        questions=quantity.questions,
        task=quantity.task,
        arm=arm,
        against=against,
        seeds=len(difference.seeds),
        change=change_record(difference),
    )

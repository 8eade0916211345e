"""The questions of a run: their categories and answers at every point, read from the run's own files."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from kft_cli.html.collect import Collection, Key
from kft_cli.html.record import AskingRecord, MoveRecord, PageData, PairRecord, ViewRecord
from kft_cli.report.run_data import Detection, RunData
from kft_cli.report.run_layout import BASE
from kft_cli.report.sections.words import exemplars
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile
from kft_tasks.certainty.retest import ExemplarOutcomes, Prior, change_chance, fit_prior
from kft_tasks.evaluation.evaluate import Asking


def questions_of_run(data: RunData) -> PageData:
    """Every question of a run with every answer."""
    found = Collection(_keys(data))
    told = data.measured
    _add_views(found, data.measurements if told else data.detections, "measured" if told else "", told=True)
    moves = _moves(found.views, data.points)
    _add_views(found, data.detections if told else data.measurements, "detection" if told else "retest", told=False)
    if data.first_categories is not None:
        view = _view(data.first_categories, f"{BASE} (test questions)", BASE, told=False)
        found.add_view(view, _with_chances(data.first_categories), "test")
    scorer = data.recipe.protocol_for("test").scorer
    for asking in data.askings:
        for point in data.all_points:
            label = f"{point}, {_asked(asking)}"
            view_ = AskingRecord(label=label, point=point, asked=_asked(asking), scorer=scorer)
            found.add_test(view_, data.answers[point].get(asking, ()))
    for number, stage in enumerate(data.stages):
        found.add_trained(number, (item.question.id for item in stage.mixture.items))
    stages = [stage.name for stage in data.stages]
    return found.data(data.recipe.name, stages, moves, _pairs(found.tests, data.points))


def _keys(data: RunData) -> Iterator[Key]:
    """Measured questions first: the report tells what changed by them."""
    for detection in (*data.told.values(), *data.detections.values()):
        yield from (("train", id_) for id_ in detection.categories)
    for ways in data.answers.values():
        for items in ways.values():
            yield from (("test", item.id) for item in items)


def _add_views(found: Collection, detections: Mapping[str, Detection], kind: str, *, told: bool) -> None:
    for point, detection in detections.items():
        label = f"{point} ({kind})" if kind else point
        found.add_view(_view(detection, label, point, told=told), _with_chances(detection), "train")


def _view(detection: Detection, label: str, point: str, *, told: bool) -> ViewRecord:
    protocol = detection.header.protocol
    names = [category.value for category in KnowledgeCategory]
    if not protocol.samples:  # greedy answers alone cannot tell WeaklyKnown from Unknown
        names[2:] = ["never right"] * 2
    return ViewRecord(label=label, point=point, told=told, scorer=protocol.scorer, levels=names)


def _with_chances(detection: Detection) -> Iterator[tuple[CategorizedQuestion, float | None]]:
    """Each question with the chance that asking again gives another category, where every answer was asked for."""
    protocol = detection.header.protocol
    sampling = protocol.samples > 0
    if sampling:  # which sampled answers are right is not in the file, and lazy detection asks for few of them
        yield from ((item, None) for item in CategoryFile(detection.path))
        return
    sets = protocol.exemplar_sets
    census = Counter(
        ExemplarOutcomes(tally.right, 0, sets - tally.right)
        for tally in detection.greedy.values()
        if tally.asked == sets
    )
    whole = sum(census.values()) == len(detection.greedy)
    prior = fit_prior(census) if whole else Prior()
    for item in CategoryFile(detection.path):
        outcomes = ExemplarOutcomes(item.greedy.right, 0, sets - item.greedy.right)
        yield item, change_chance(outcomes, sets, prior, sampling=False) if whole else None


def _moves(views: Sequence[ViewRecord], points: Sequence[str]) -> list[MoveRecord]:
    """Between consecutive points, and from first to last."""
    numbers = {view.point: number for number, view in enumerate(views)}
    spans = list(itertools.pairwise(points))
    if len(points) > 2:
        spans.insert(0, (points[0], points[-1]))
    return [
        MoveRecord(label=f"{one} → {two}", before=numbers[one], after=numbers[two])
        for one, two in spans
        if one in numbers and two in numbers
    ]


def _pairs(tests: Sequence[AskingRecord], points: Sequence[str]) -> list[PairRecord]:
    """The last point against the base model, in each way of asking."""
    numbers = {(test.point, test.asked): number for number, test in enumerate(tests)}
    names = {"gained": "gained", "lost": "lost", "right": "right both times", "wrong": "wrong both times"}
    return [
        PairRecord(
            label=f"{points[0]} → {points[-1]}, {asked}", before=number, after=numbers[points[-1], asked], **names
        )
        for (point, asked), number in numbers.items()
        if point == points[0]
    ]


def _asked(asking: Asking) -> str:
    return exemplars(asking.shots) + (" of another type" if asking.other_type else "")

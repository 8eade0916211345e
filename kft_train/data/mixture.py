"""The questions that a stage trains on, chosen by category, each with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion, Header
from kft_tasks.errors import DataError, shortened
from kft_tasks.files import atomic_write, json_line, read_jsonl
from kft_tasks.hashing import keyed_digest
from kft_tasks.protocol.identity import NOT_RECORDED, SERVED, ModelIdentity
from kft_tasks.questions import Question, parse_question
from kft_tasks.records import Count, Record, parse_record
from kft_tasks.row_checks import check_keys, check_type
from kft_train.recipes.recipe import MixturePart, Selection

FORMAT = "kft-mixture/1"

_TEXTS = ("id", "type", "split", "subject", "question", "part", "reason", "category_now")
_KEYS = frozenset((*_TEXTS, "answers", "category_before"))


@dataclass(frozen=True)
class MixtureItem:
    """A question to train on.

    Attributes:
        part: name of the mixture part that took it.
        reason: why it was taken, in words, such as "MaybeKnown before and now".
        now: its category in the latest detection.
        before: its category in the detection before that, or None if there was none.
    """

    question: Question
    part: str
    reason: str
    now: KnowledgeCategory
    before: KnowledgeCategory | None = None

    def to_json(self) -> dict[str, Any]:
        """A line of ``mixture.jsonl``."""
        question = self.question.to_json()
        before = self.before.value if self.before else None
        categories = {"category_before": before, "category_now": self.now.value}
        return {**question, "part": self.part, "reason": self.reason, **categories}


@dataclass(frozen=True)
class PartCount:
    """Number of questions that matched a part's selection, and how many of them were taken."""

    name: str
    available: int
    taken: int


@dataclass(frozen=True)
class Mixture:
    """The questions of one stage, in an order that depends only on the seed and the ids.

    Attributes:
        items: the questions of the first epoch; without ``pools``, of every epoch.
        pools: for each part with ``redraw``, all questions that it draws from, by the part's name.
    """

    items: tuple[MixtureItem, ...]
    parts: tuple[PartCount, ...]
    seed: int
    pools: Mapping[str, tuple[MixtureItem, ...]] = field(default_factory=dict)

    @property
    def all_items(self) -> list[MixtureItem]:
        """Every item that some epoch may contain, once: those of the first epoch, then the rest of the pools."""
        found = {item.question.id: item for item in self.items}
        for pool in self.pools.values():
            for item in pool:
                found.setdefault(item.question.id, item)
        return list(found.values())

    def items_of(self, epoch: int) -> tuple[MixtureItem, ...]:
        """The questions of an epoch, counted from 0; as many as in the first, part by part."""
        if epoch == 0 or not self.pools:
            return self.items
        items: list[MixtureItem] = []
        for part in self.parts:
            pool = self.pools.get(part.name)
            if pool is None:
                items += [item for item in self.items if item.part == part.name]
            else:
                name = f"{part.name}|{epoch}"
                items += sorted(pool, key=lambda item: _rank(self.seed, name, item.question.id))[: part.taken]
        return tuple(items)


def build_mixture(
    parts: Sequence[MixturePart],
    now: Sequence[CategorizedQuestion],
    before: Mapping[str, KnowledgeCategory] | None,
    seed: int,
) -> Mixture:
    """Choose a stage's questions.

    A question belongs to at most one part, the first that takes it; parts with a ratio choose after all others. A
    keyed hash of the id decides which questions a limited part takes, so the order of ``now`` does not matter.

    Args:
        parts: the recipe's mixture parts.
        now: the latest detection of the train split.
        before: categories in the detection before that, by question id; None in the first stage.
        seed: seed of the choice.

    Raises:
        DataError: nothing to train on, a question that must not be trained on, a question without a category in
            ``before``, or a duplicate id.
    """
    _check_questions(parts, now, before)
    taken: dict[str, MixtureItem] = {}
    pools: dict[str, tuple[MixtureItem, ...]] = {}
    reserved: set[str] = set()
    counts: dict[str, PartCount] = {}
    for part in sorted(parts, key=lambda part: part.ratio is not None):  # stable: parts without ratio first
        free = [item for item in now if item.question.id not in taken and item.question.id not in reserved]
        pool = [item for item in free if _matches(part, item, before)]
        pool.sort(key=lambda item: _rank(seed, part.name, item.question.id))
        chosen = pool[: _size(part, now, before, len(pool), _without_ratio(parts, counts))]
        for item in chosen:
            taken[item.question.id] = _item(item, part, before)
        if part.redraw:
            pools[part.name] = tuple(_item(item, part, before) for item in pool)
            reserved.update(item.question.id for item in pool)
        counts[part.name] = PartCount(part.name, len(pool), len(chosen))
    if not taken:
        raise DataError(_nothing(parts, now))
    order = [part.name for part in parts]
    items = sorted(taken.values(), key=lambda item: order.index(item.part))  # stable: ranked within a part
    return Mixture(tuple(items), tuple(counts[name] for name in order), seed, pools)


def _check_questions(
    parts: Sequence[MixturePart], now: Sequence[CategorizedQuestion], before: Mapping[str, KnowledgeCategory] | None
) -> None:
    uses_before = any(part.before or (part.same_size_as and part.same_size_as.before) for part in parts)
    if uses_before and before is None:
        raise DataError("The mixture selects by `before`, but there is no earlier detection. Remove `before`.")
    seen: set[str] = set()
    for item in now:
        question = item.question
        if question.split not in ("train", ""):
            raise DataError(
                f"Question {question.id!r} is from the {question.split} split and must not be trained on. "
                "Run detection on the train split and use that category file."
            )
        if question.id in seen:
            raise DataError(f"Question {question.id!r} is duplicated in the detection. Run it again.")
        seen.add(question.id)
        if before is not None and question.id not in before:
            raise DataError(
                f"Question {question.id!r} has no category in the earlier detection. Run both on the same questions."
            )


def selects(selection: Selection | MixturePart, now: KnowledgeCategory, before: KnowledgeCategory | None) -> bool:
    """Whether a selection takes a question of these categories; ``before`` is None without an earlier detection."""
    if selection.now is not None and now not in selection.now:
        return False
    return selection.before is None or (before is not None and before in selection.before)


def _matches(
    selection: Selection | MixturePart, item: CategorizedQuestion, before: Mapping[str, KnowledgeCategory] | None
) -> bool:
    return selects(selection, item.category, before[item.question.id] if before is not None else None)


def _size(
    part: MixturePart,
    now: Sequence[CategorizedQuestion],
    before: Mapping[str, KnowledgeCategory] | None,
    available: int,
    without_ratio: int,
) -> int:
    if part.limit is not None:
        return part.limit
    if part.ratio is not None:
        return round(part.ratio * without_ratio)
    if part.same_size_as is not None:
        return sum(_matches(part.same_size_as, item, before) for item in now)
    return available


def _without_ratio(parts: Sequence[MixturePart], counts: Mapping[str, PartCount]) -> int:
    return sum(counts[part.name].taken for part in parts if part.ratio is None and part.name in counts)


def _rank(seed: int, part: str, id_: str) -> bytes:
    return keyed_digest(id_, key=keyed_digest(seed, part, size=32))


def _item(item: CategorizedQuestion, part: MixturePart, before: Mapping[str, KnowledgeCategory] | None) -> MixtureItem:
    earlier = before[item.question.id] if before is not None else None
    return MixtureItem(item.question, part.name, _reason(item.category, earlier), item.category, earlier)


def _reason(now: KnowledgeCategory, before: KnowledgeCategory | None) -> str:
    if before is None:
        return f"{now} now"
    if before is now:
        return f"{now} before and now"
    return f"{'upgraded' if now.rank > before.rank else 'fell'} from {before} to {now}"


def _nothing(parts: Sequence[MixturePart], now: Sequence[CategorizedQuestion]) -> str:
    counts = Counter(item.category.value for item in now)
    found = ", ".join(f"{category} {counts[category.value]}" for category in KnowledgeCategory)
    names = ", ".join(part.name for part in parts)
    return (
        f"Nothing to train on: the mixture's parts ({names}) are empty. The detection has {found}. "
        "Raise questions.limit.train, or choose other categories in the recipe's mixture."
    )


def check_model(header: Header, expected: ModelIdentity, allow: bool = False) -> None:
    """Refuse a category file made for a model other than the one to be trained.

    Args:
        allow: accept another model's categories.

    Raises:
        DataError: weights or adapter differ.
    """
    if allow or header.model.same_weights(expected):
        return
    raise DataError(
        f"The category file was made for {_describe(header.model)}, but training starts from {_describe(expected)}. "
        "Run detection with this model, or explicitly allow another model's categories."
    )


def _describe(model: ModelIdentity) -> str:
    adapter = f" with adapter {model.adapter[:12]}" if model.adapter else ""
    if model.weights == NOT_RECORDED:
        return f"{model.id} (imported, its weights are not recorded)"
    weights = "served, weights unknown" if model.weights.startswith(SERVED) else f"weights {model.weights[:12]}"
    return f"{model.id} ({weights}{adapter})"


def write_mixture(path: Path, mixture: Mixture) -> None:
    """Write ``mixture.jsonl``: a header line with the counts, then one question of the first epoch per line.

    The header names the parts that are redrawn in every epoch. Their pools follow from the category files.
    """
    header: dict[str, Any] = {
        "format": FORMAT,
        "seed": mixture.seed,
        "parts": [asdict(part) for part in mixture.parts],
    }
    if mixture.pools:
        header["redrawn"] = list(mixture.pools)
    with atomic_write(path) as stream:
        stream.write(json_line(header))
        stream.writelines(json_line(item.to_json()) for item in mixture.items)


class _PartRecord(Record):
    """See :class:`PartCount`."""

    name: str
    available: Count
    taken: Count


class _HeaderRecord(Record):
    """The first line of ``mixture.jsonl``."""

    format: str
    seed: Count
    parts: list[_PartRecord]
    redrawn: list[str] = Field(default_factory=list)


def read_mixture(path: Path) -> Mixture:
    """Read ``mixture.jsonl``, without pools.

    Raises:
        DataError: not a mixture, broken, truncated, or with a duplicate question; file and line are named.
    """
    lines = read_jsonl(path)
    number, header = next(lines, (1, {}))
    if header.get("format") != FORMAT:
        raise DataError(f"{path}:{number}: not a mixture of format {FORMAT}. Build it again.")
    record = parse_record(_HeaderRecord, header, f"{path}:1", "Build the mixture again.", "broken header")
    parts = tuple(PartCount(part.name, part.available, part.taken) for part in record.parts)
    items = tuple(_parse_item(row, f"{path}:{number}") for number, row in lines)
    _check_items(path, items, parts)
    return Mixture(items, parts, record.seed)


def _parse_item(row: Mapping[str, Any], where: str) -> MixtureItem:
    question = parse_question(row, where)
    try:
        check_keys(row, _KEYS)
        check_type(row, str, *_TEXTS)
        check_type(row, list, "answers")
        before = row["category_before"]
        return MixtureItem(
            question=question,
            part=row["part"],
            reason=row["reason"],
            now=KnowledgeCategory(row["category_now"]),
            before=None if before is None else KnowledgeCategory(before),
        )
    except ValueError as error:
        raise DataError(f"{where}: broken line ({shortened(str(error))}). Build the mixture again.") from error


def _check_items(path: Path, items: Iterable[MixtureItem], parts: Sequence[PartCount]) -> None:
    ids: set[str] = set()
    found: Counter[str] = Counter()
    for item in items:
        if item.question.id in ids:
            raise DataError(f"{path}: question {item.question.id!r} is duplicated. Build the mixture again.")
        ids.add(item.question.id)
        found[item.part] += 1
    if found != Counter({part.name: part.taken for part in parts}):
        raise DataError(
            f"{path}: truncated or edited, the questions per part do not match the header. Build the mixture again."
        )

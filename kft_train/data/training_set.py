"""Questions chosen from a category file as a training set for other programs: TRL's SFTTrainer takes it as it is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from kft_tasks.categories.category import KnowledgeCategory, Tally
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile, Header
from kft_tasks.certainty.measure import relabel_chances
from kft_tasks.errors import DataError
from kft_tasks.files import atomic_write, json_line, write_bytes
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.protocol.prompts import TEMPLATES, Template, chat_messages, completion_text, prompt_text

Form = Literal["prompt-completion", "chat"]
CARD, PARQUET = "README.md", "train.parquet"
"""Files of a Hugging Face data set folder."""


@dataclass(frozen=True)
class Selection:
    """Which questions to take.

    Attributes:
        categories: empty for all.
        types: empty for all.
        min_p, max_p: bounds of the share of right greedy answers; questions of which some were not asked for have none.
        max_relabel: largest chance that a retest gives another category; lazy files do not know it.
        any_split: take questions of other splits than train too.
    """

    categories: Collection[KnowledgeCategory] = ()
    types: Collection[str] = ()
    min_p: float | None = None
    max_p: float | None = None
    max_relabel: float | None = None
    any_split: bool = False

    def takes(self, item: CategorizedQuestion, greedy: float | None, relabel: float | None) -> bool:
        """Whether a question is taken; bounds leave out questions whose value is not known."""
        if self.categories and item.category not in self.categories:
            return False
        if self.types and item.question.type not in self.types:
            return False
        if (self.min_p, self.max_p) != (None, None) and (
            greedy is None or not (self.min_p or 0.0) <= greedy <= (1.0 if self.max_p is None else self.max_p)
        ):
            return False
        return self.max_relabel is None or (relabel is not None and relabel <= self.max_relabel)


@dataclass(frozen=True)
class Wording:
    """How a question and its canonical answer become a training example.

    Attributes:
        form: ``prompt-completion``: two texts; ``chat``: messages, for the model's own chat template.
        template: of the texts; None takes the file's own, or ``qa`` where that is not recorded.
        system: system prompt; None takes the file's own, or none.
    """

    form: Form = "prompt-completion"
    template: str | None = None
    system: str | None = None

    def example(self, item: CategorizedQuestion, header: Header) -> dict[str, Any]:
        """The columns with the texts."""
        question, answer = item.question.question, item.question.answers[0]
        system = (header.protocol.system or "") if self.system is None else self.system
        if self.form == "chat":
            return {"messages": [*chat_messages(question, (), system), {"role": "assistant", "content": answer}]}
        template = self._template(header)
        return {
            "prompt": prompt_text(template, question, (), system),
            "completion": completion_text(template, answer),
        }

    def _template(self, header: Header) -> Template:
        return TEMPLATES[self.template or header.protocol.template or "qa"]


@dataclass
class TrainingSet:
    """The chosen questions.

    Attributes:
        rows: one per question; every one has the same columns.
        counts: number of questions of the file, and of those taken, by category.
        certain: whether the chances of relabelling are known.
    """

    path: Path
    header: Header
    rows: list[dict[str, Any]] = field(default_factory=list)
    found: Counter[KnowledgeCategory] = field(default_factory=Counter)
    taken: Counter[KnowledgeCategory] = field(default_factory=Counter)
    certain: bool = False


def choose_training_set(
    path: Path, selection: Selection, wording: Wording, progress: ProgressCallback = no_progress
) -> TrainingSet:
    """Read a category file and make a row of each question that the selection takes.

    A row has the question's id, type, split and category; ``p_correct_greedy`` and ``p_correct_sampled``, the shares of
    right answers, None unless all of the protocol's were asked for; ``relabel_chance``, the chance that a retest gives
    another category (see :mod:`kft_tasks.certainty.retest`), None for a lazy file; and the texts.

    Raises:
        DataError: a broken file, a question that must not be trained on, or none that the selection takes.
    """
    file = CategoryFile(path)
    header = file.header
    chances: Iterator[float | None] = iter(itertools.repeat(None))
    if header.exhaustive and header.questions.count:
        chances = iter(relabel_chances(path, progress))
    elif selection.max_relabel is not None:
        raise DataError(
            f"{path}: was detected lazily, so chances of relabelling are not known. Detect again, exhaustively, or do "
            "not select by them."
        )
    chosen = TrainingSet(path, header, certain=header.exhaustive)
    for item, relabel in zip(file, chances, strict=False):
        chosen.found[item.category] += 1
        greedy = _share(item.greedy, header.protocol.exemplar_sets)
        if not selection.takes(item, greedy, relabel):
            continue
        if item.question.split not in ("train", "") and not selection.any_split:
            raise DataError(
                f"{path}: question {item.question.id!r} is from the {item.question.split} split and should not be "
                "trained on. Detect the train split, or allow any split."
            )
        chosen.taken[item.category] += 1
        chosen.rows.append(
            {
                "id": item.question.id,
                "type": item.question.type,
                "split": item.question.split,
                "category": item.category.value,
                "p_correct_greedy": greedy,
                "p_correct_sampled": _share(item.sampled, header.protocol.sampled_total),
                "relabel_chance": relabel,
                **wording.example(item, header),
            }
        )
    if not chosen.rows:
        raise DataError(f"{path}: no question is selected. {_found(chosen)}Select others.")
    return chosen


def _share(tally: Tally, total: int) -> float | None:
    return tally.share if tally.asked == total else None


def _found(chosen: TrainingSet) -> str:
    counts = ", ".join(f"{category} {chosen.found[category]}" for category in KnowledgeCategory)
    return f"The file has {counts}. "


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows as JSON Lines; ``-`` is standard output."""
    with atomic_write(path) as stream:
        stream.writelines(json_line(row) for row in rows)


def write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows as a Parquet file; columns without any value are numbers still."""
    import pyarrow
    import pyarrow.parquet

    names = ("p_correct_greedy", "p_correct_sampled", "relabel_chance")
    numbers = {name: pyarrow.array([row[name] for row in rows], pyarrow.float64()) for name in names}
    table = pyarrow.table({name: numbers[name] if name in numbers else [row[name] for row in rows] for name in rows[0]})
    buffer = BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    write_bytes(path, buffer.getvalue())


def write_dataset(folder: Path, chosen: TrainingSet, card: str) -> None:
    """Write a folder that ``datasets.load_dataset`` opens and that can be put on the Hub: a Parquet file and a card."""
    write_parquet(folder / PARQUET, chosen.rows)
    with atomic_write(folder / CARD) as stream:
        stream.write(card)

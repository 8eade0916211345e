"""The question record, and question sets as streams of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kft_tasks.errors import DataError, shortened
from kft_tasks.files import atomic_write, json_line, read_jsonl, sha256_of_json
from kft_tasks.hashing import keyed_digest

SPLITS = ("train", "validation", "test", "exemplars")


@dataclass(frozen=True)
class Question:
    """One closed-book question.

    Attributes:
        id: stable; derived from the content, never from the position.
        question: the text that is asked.
        answers: accepted answers; the first is canonical, the rest are aliases.
        type: the relation or the question word; exemplars are of the same type.
        split: ``train``, ``validation``, ``test`` or ``exemplars``.
        subject: the entity asked about, or "" if the source does not name it.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    type: str
    split: str
    subject: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record as it is written to a question file."""
        return {
            "id": self.id,
            "question": self.question,
            "answers": list(self.answers),
            "type": self.type,
            "split": self.split,
            "subject": self.subject,
        }


def content_id(set_name: str, type_: str, question: str) -> str:
    """An id from content: the same on every machine, in every row order."""
    return f"{set_name}-{type_}-{keyed_digest(question, size=8).hex()}"


def parse_question(row: Mapping[str, Any], where: str, *, set_name: str = "questions", split: str = "") -> Question:
    """Check one raw row and turn it into a :class:`Question`.

    Args:
        row: at least ``question`` and ``answers`` (or a single ``answer``); ``id``, ``type``, ``split`` and
            ``subject`` are optional.
        where: "file:line", for the error message.
        set_name: first part of the id if the row has none.
        split: used if the row names none.

    Raises:
        DataError: a field is missing, empty or of the wrong type.
    """
    text = row.get("question")
    if not isinstance(text, str) or not text.strip():
        raise DataError(f'{where}: no question text. Put a non-empty string into "question".')
    answers = row.get("answers", row.get("answer"))
    if isinstance(answers, str):
        answers = [answers]
    name = shortened(row["id"] if isinstance(row.get("id"), str) else text)
    if not isinstance(answers, (list, tuple)) or not answers:
        raise DataError(f'{where}: question {name!r} has no answers. Add at least one string to "answers".')
    if not all(isinstance(answer, str) and answer.strip() for answer in answers):
        raise DataError(f'{where}: question {name!r} has an empty answer or one that is not text. Fix "answers".')
    fields = {key: row.get(key) for key in ("id", "type", "split", "subject")}
    for key, value in fields.items():
        if value is not None and not isinstance(value, str):
            raise DataError(f'{where}: "{key}" of question {name!r} is not text. Write it as a string.')
    for value in (text, *answers, *fields.values()):
        if value is not None and not _is_unicode(value):
            raise DataError(f"{where}: question {name!a} has half a surrogate pair, not valid Unicode. Fix the row.")
    type_ = fields["type"] or "question"
    chosen = fields["split"] or split
    if chosen and chosen not in SPLITS:
        raise DataError(
            f"{where}: unknown split {shortened(chosen)!r} of question {name!r}. Use one of {', '.join(SPLITS)}."
        )
    return Question(
        id=fields["id"] or content_id(set_name, type_, text),
        question=text.strip(),
        answers=tuple(dict.fromkeys(answer.strip() for answer in answers)),
        type=type_,
        split=chosen,
        subject=fields["subject"] or "",
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can write a lone surrogate, UTF-8 cannot
        return False
    return True


def read_questions(path: Path, *, set_name: str = "questions", split: str = "") -> Iterator[Question]:
    """Stream a JSON Lines question file.

    Raises:
        DataError: a broken row, a duplicate id, or a file without questions.
    """
    seen: dict[bytes, int] = {}
    for number, row in read_jsonl(path):
        question = parse_question(row, f"{path}:{number}", set_name=set_name, split=split)
        key = keyed_digest(question.id, size=12)
        if key in seen:
            raise DataError(
                f"{path}:{number}: id {question.id!r} was already used in line {seen[key]}. "
                "Remove the duplicate or give it an id of its own."
            )
        seen[key] = number
        yield question
    if not seen:
        raise DataError(f"{path}: holds no questions. Write one JSON object per line.")


def write_questions(path: Path, questions: Iterable[Question]) -> int:
    """Write questions as JSON Lines; return their number."""
    count = 0
    with atomic_write(path) as stream:
        for question in questions:
            stream.write(json_line(question.to_json()))
            count += 1
    return count


class QuestionDigest:
    """Digest of a set of questions, independent of their order and computed in constant memory."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, question: Question) -> None:
        """Add one question."""
        self.count += 1
        self._sum = (self._sum + int(sha256_of_json(question.to_json()), 16)) % (1 << 256)

    def hexdigest(self) -> str:
        """64 hex digits."""
        return sha256_of_json([self.count, f"{self._sum:064x}"])


def digest_questions(questions: Iterable[Question]) -> str:
    """Order-independent digest of questions, see :class:`QuestionDigest`."""
    digest = QuestionDigest()
    for question in questions:
        digest.add(question)
    return digest.hexdigest()


class QuestionSet(Protocol):
    """A named source of questions. ``split`` streams; it may be called again and gives the same order."""

    @property
    def name(self) -> str:
        """Name as in ``kft_<name>``."""
        ...

    @property
    def version(self) -> str:
        """Increased whenever the meaning of the data changes."""
        ...

    def splits(self) -> tuple[str, ...]:
        """Splits that the data have, in the order of :data:`SPLITS`.

        Raises:
            DataError: the data are damaged.
        """
        ...

    def split(self, name: str) -> Iterator[Question]:
        """Questions of one split.

        Raises:
            DataError: the data are missing or damaged, or have no such split.
        """
        ...

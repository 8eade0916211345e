"""Question sets by name: what there is (:data:`SETS`) and how to open one (:func:`open_set`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kft_tasks.errors import UsageError, suggest
from kft_tasks.question_sets.info import OptionInfo, SetInfo
from kft_tasks.question_sets.loaders import (
    entityquestions,
    nq_open,
    own_files,
    popqa,
    simpleqa,
    triviaqa,
    wikiqa,
    worldfacts,
)
from kft_tasks.question_sets.splits.cleaning import Cleaned, divide_options
from kft_tasks.question_sets.splits.row_set import RowSet
from kft_tasks.questions import QuestionSet

__all__ = ["SETS", "OptionInfo", "SetInfo", "info_of", "open_set"]

_Open = Callable[[str | Path | None, Mapping[str, object] | None], QuestionSet]

SETS: dict[str, SetInfo] = {
    info.name: info
    for info in (
        worldfacts.INFO,
        entityquestions.INFO,
        wikiqa.INFO,
        own_files.INFO,
        popqa.INFO,
        triviaqa.INFO,
        nq_open.INFO,
        simpleqa.INFO,
    )
}


def _open_simpleqa(path: str | Path | None, options: Mapping[str, object] | None) -> QuestionSet:
    return simpleqa.open_simpleqa(path, options, open_other=open_set)


_OPEN: dict[str, _Open] = {
    "worldfacts": worldfacts.open_worldfacts,
    "entityquestions": entityquestions.open_entityquestions,
    "wikiqa": wikiqa.open_wikiqa,
    "questions": own_files.open_questions,
    "popqa": popqa.open_popqa,
    "triviaqa": triviaqa.open_triviaqa,
    "nq_open": nq_open.open_nq_open,
    "simpleqa": _open_simpleqa,
}


def info_of(name: str) -> SetInfo:
    """Look a set up.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in SETS:
        raise UsageError(f"There is no question set {name!r}. {suggest(name, SETS)}")
    return SETS[name]


def open_set(name: str, path: str | Path | None = None, options: Mapping[str, object] | None = None) -> QuestionSet:
    """Open a question set.

    The data come from ``path``, else from ``$KFT_DATA_<NAME>``, else from ``$KFT_DATA/<name>``, else from a cache,
    else from the set's public source.

    Args:
        name: one of :data:`SETS`.
        path: local folder or file.
        options: see ``SETS[name].options``; ``splits.cleaning.OPTIONS`` are those that every set has.

    Raises:
        UsageError: an unknown set, an unknown option or a wrong value.
        UnavailableError: the data are not here and could not be fetched; the message says how to supply them.
        DataError: they are here and cannot be used.

    Example:
        >>> next(open_set("worldfacts").split("test")).answers  # doctest: +SKIP
        ('Zagreb',)
    """
    info = info_of(name)
    own, cleaning = divide_options(info, options)
    questions = _OPEN[name](path, own)
    if not any(cleaning.values()):
        return questions
    if cleaning["deduplicate"] and isinstance(questions, RowSet):
        questions.allow_copies()
    return Cleaned(info, questions, **cleaning)

"""kft_tasks: what is asked, how it is scored, how mastery is detected. The lowest layer; knows lm-eval, not TRL.

Importing this package loads the standard library and jsonlines only; torch, transformers and lm_eval are imported
inside the functions that need them.
"""

from __future__ import annotations

from kft_tasks.categories.category import KnowledgeCategory, Tally, decide
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile, Header, write_category_file
from kft_tasks.errors import DataError, KftError, StateError, UnavailableError, UsageError
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question
from kft_tasks.scoring.scorers import SCORERS, get_scorer
from kft_tasks.version import __version__

__all__ = [
    "SCORERS",
    "CategorizedQuestion",
    "CategoryFile",
    "DataError",
    "Header",
    "KftError",
    "KnowledgeCategory",
    "Protocol",
    "Question",
    "StateError",
    "Tally",
    "UnavailableError",
    "UsageError",
    "__version__",
    "decide",
    "get_scorer",
    "write_category_file",
]

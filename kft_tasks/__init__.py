"""kft_tasks: what is asked, how it is scored, how mastery is detected. Layer 0: knows lm-eval, never trl or peft.

Importing this package costs the standard library and jsonlines; torch, transformers and lm_eval are imported inside
the functions that need them.
"""

from __future__ import annotations

from kft_tasks.categories import KnowledgeCategory, Tally, decide
from kft_tasks.category_file import CategorizedQuestion, CategoryFile, Header, write_category_file
from kft_tasks.errors import DataError, KftError, RecipeError, StateError, UnavailableError, UsageError
from kft_tasks.protocol import Protocol
from kft_tasks.questions import Question
from kft_tasks.scoring import SCORERS, get_scorer

__version__ = "0.1.0"

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
    "RecipeError",
    "StateError",
    "Tally",
    "UnavailableError",
    "UsageError",
    "__version__",
    "decide",
    "get_scorer",
    "write_category_file",
]

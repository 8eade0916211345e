"""The one place that turns questions into text: detection, evaluation and training use the same functions.

The prompt ends without a space and the completion begins with one: " Paris" is one token for most tokenizers, while
"Answer: " + "Paris" is a context that models have hardly seen, and joint tokenisation would merge across the boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kft_tasks.errors import UsageError, suggest
from kft_tasks.questions import Question


@dataclass(frozen=True)
class Template:
    """Text around questions and answers for base models; chat templates put their own text around the bare question."""

    question: str
    answer: str = " {answer}"
    separator: str = "\n\n"
    stop: tuple[str, ...] = ("\n",)


TEMPLATES: dict[str, Template] = {
    "qa": Template("Question: {question}\nAnswer:"),
    "slick": Template("Q: {question}\nA:", separator="\n"),  # Gekhman et al. 2024, appendix
}


def get_template(name: str) -> Template:
    """Look up a template by name.

    Raises:
        UsageError: there is no template of that name.
    """
    if name not in TEMPLATES:
        raise UsageError(f"Unknown template {name!r}. {suggest(name, TEMPLATES)}")
    return TEMPLATES[name]


def prompt_text(template: Template, question: str, shots: Sequence[Question] = (), system: str = "") -> str:
    """The prompt for a base model: system text, exemplars with their canonical answers, question."""
    parts = [system] if system else []
    parts += [
        template.question.replace("{question}", shot.question) + completion_text(template, shot.answers[0])
        for shot in shots
    ]
    parts.append(template.question.replace("{question}", question))
    return template.separator.join(parts)


def completion_text(template: Template, answer: str) -> str:
    """The answer as it continues the prompt, including the leading space."""
    return template.answer.replace("{answer}", answer)


def chat_messages(
    question: str,
    shots: Sequence[Question] = (),
    system: str = "",
    *,
    multiturn: bool = True,
    template: Template = TEMPLATES["qa"],
) -> list[dict[str, str]]:
    """The prompt as chat messages: one turn per exemplar, or everything in one user message (by ``template``)."""
    messages = [{"role": "system", "content": system}] if system else []
    if multiturn:
        for shot in shots:
            messages.append({"role": "user", "content": shot.question})
            messages.append({"role": "assistant", "content": shot.answers[0]})
        return [*messages, {"role": "user", "content": question}]
    return [*messages, {"role": "user", "content": prompt_text(template, question, shots)}]

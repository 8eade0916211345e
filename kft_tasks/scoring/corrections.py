"""What an answer still says once it has corrected itself, denied another answer, or said how sure it is.

"Paris. Actually, it is Lyon." says Lyon, and "Canberra, not Sydney" says Canberra. These functions only rewrite the
text; whether what is left is right is for :mod:`kft_tasks.scoring.answer_rules` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TAKING_BACK = (
    r"(?:no|oh|oops|sorry|wait|hold on|actually|correction|edit|(?:or )?rather(?! than)|i mean|i meant|i should say|"
    r"(?:on|upon) second thoughts?|scratch that|my mistake|let me correct (?:that|myself|this))"
)
_CORRECTION = re.compile(
    rf"(?:[.!?;,:…]|\s[-–—])+\s*(?P<mark>{_TAKING_BACK}\b(?:[\s,.:;!…–—-]+{_TAKING_BACK}\b)*)[\s,.:;!…–—-]*(?P<rest>\S.*)$",
    re.S | re.I,
)
_RESTATED = re.compile(
    r"(?:(?:it|that|he|she|this|they|the (?:right |correct |real |actual )?answer)(?:['’]s| is| was| are| were)|it should be)\b",
    re.I,
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|do|does|did|can|could|will|would|took|takes|[a-z]{3,}(?:ed|es))\b"
)
_LONGEST_RESTATEMENT = 6  # words of a correction that is no sentence

_NOT_SURE = r"(?!only\b|just\b|sure\b|certain\b|confident\b|really\b|quite\b|exactly\b|necessarily\b|yet\b|any\b|anymore\b|at all\b|even\b|that\b)"
_ANOTHER_DENIED = re.compile(
    rf"(?:,\s*(?:and\s+|but\s+)?not|\s+and\s+not|\s+rather\s+than|\s+instead\s+of|,?\s+as\s+opposed\s+to|\s*\(\s*not)\s+{_NOT_SURE}"
    r"(?P<other>[^,.;()?!]+)(?P<end>\)|[,.;?!]|$)",
    re.I,
)
_BUT = re.compile(
    rf"\b(?:not|n['’]t)\s+{_NOT_SURE}(?P<other>[^,.;()?!]+?)(?:,\s*|\s+)but(?:\s+rather)?\s+(?P<rest>\S.*)$",
    re.I | re.S,
)
_IT_IS_NOT = re.compile(
    rf"^\W*(?:(?:it|this|that|he|she)(?:['’]s|\s+is|\s+was)\s+)?not\s+{_NOT_SURE}(?P<other>[^,.;()?!]+)[,.;]\s*"
    r"(?P<rest>(?:it|this|that|he|she)(?:['’]s|\s+is|\s+was)\s+\S.*)$",
    re.I | re.S,
)
_BELIEVED = re.compile(
    r"^\W*(?:many|most|some|people|many people|most people|some people|you)\s+(?:may\s+|might\s+)?(?:think|believe|say|assume)\b"
    r"(?P<other>[^.;]*?),?\s+but\s+(?P<rest>(?:it|the (?:right |correct )?answer)(?:['’]s| is| was|\s+is actually)\s+\S.*)$",
    re.I | re.S,
)

_SURE = re.compile(
    r",?\s*\b(?:there(?:['’]s| is) )?(?:no|without (?:a|any)) doubt(?: about (?:it|that))?(?: that)?\b,?|"
    r",\s*(?:is|was|are|were|does|did|has|do)n['’]?t (?:it|he|she|they)\?\s*$|,\s*(?:right|correct|no)\?\s*$",
    re.I,
)
_AS_FAR = re.compile(
    r",?\s*\b(?:if (?:i remember|i recall|memory serves|i['’]m not mistaken|i am not mistaken)(?: me)?(?: correctly| rightly| right)?|"
    r"as far as i (?:know|remember|recall|can tell)|to (?:the best of )?my (?:best )?knowledge)\b,?",
    re.I,
)
_UNSURE_BUT = re.compile(
    r"^\W*i(?:['’]m| am) not (?:entirely |completely |totally |absolutely |quite |100 ?% )?(?:sure|certain),?\s+but\s+(?=i (?:think|believe)|it)",
    re.I,
)


def correction(text: str) -> str | None:
    """What the answer says after it has taken back what it said before; None if it takes nothing back.

    A sentence that starts with "Actually" takes something back only if it gives another answer: if it is a few words
    without a verb, or starts with "it is".

    Example:
        >>> correction("Paris. Actually, it is Lyon."), correction("Paris. Actually, I went there in 2001.")
        ('it is Lyon.', None)
    """
    match = _CORRECTION.search(text)
    if match is None:
        return None
    rest = match["rest"]
    if (later := correction(rest)) is not None:
        return later
    if _RESTATED.match(rest) or (len(rest.split()) <= _LONGEST_RESTATEMENT and not _VERB.search(rest)):
        return rest
    return None


def without_denied_others(text: str) -> Iterator[tuple[str, str]]:
    """The text without an answer that it denies, and that other answer: ("Canberra", "Sydney") for "Canberra, not Sydney".

    Nothing comes out where only the answer itself is denied ("It is not Paris.").
    """
    for match in _ANOTHER_DENIED.finditer(text):
        before, end = text[: match.start()], match["end"]
        if before.strip():
            yield before + (" " if end == "," else "" if end == ")" else end) + text[match.end() :], match["other"]
    if match := _IT_IS_NOT.search(text) or _BELIEVED.search(text):
        yield match["rest"], match["other"]
    elif match := _BUT.search(text):
        yield text[: match.start()] + match["rest"], match["other"]


def without_remarks_of_certainty(text: str) -> str:
    """The text without "no doubt", "isn't it?", "as far as I know" and the like: they commit to the answer."""
    return _UNSURE_BUT.sub("", _AS_FAR.sub("", _SURE.sub("", text))).strip()

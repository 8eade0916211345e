"""What an answer still says once it has corrected itself, denied another answer, or said how sure it is.

"Paris. Actually, it is Lyon." says Lyon, and "Canberra, not Sydney" says Canberra. These functions only rewrite the
text; whether what is left is right is for :mod:`kft_tasks.scoring.answer_rules` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Whatever this module changes has one of these.
_CUES = re.compile(
    r"\b(?:no|not|oh|oops|sorry|wait|hold|actually|correction|edit|rather|meant?|say|second|scratch|mistaken?|correct|"
    r"instead|opposed|but|without|doubt|right|if|far|course|knowledge|sure|certain)\b|n['’]?t\b",
    re.I,
)
_TAKING_BACK = (
    r"(?:no|oh|oops|sorry|wait|hold on|actually|correction|edit|(?:or )?rather(?! than)|i mean|i meant|i should say|"
    r"(?:on|upon) second thoughts?|scratch that|my mistake|let me correct (?:that|myself|this))"
)
_CORRECTION = re.compile(
    rf"(?P<stop>(?:[.!?;,:…]|\s[-–—])+)\s*(?P<mark>{_TAKING_BACK}\b(?:[\s,.:;!…–—-]+{_TAKING_BACK}\b)*)[\s,.:;!…–—-]*(?P<rest>\w.*)$",
    re.S | re.I,
)
_RESTATED = re.compile(
    r"(?:(?:it|that|he|she|this|they|the (?:right |correct |real |actual )?answer)(?:['’]s| is| was| are| were)|"
    r"it should be)\s+(?P<thing>\S.*)$",
    re.I | re.S,
)
_DESCRIPTION = re.compile(r"(?:an?|the|one of|not)\s+[a-z]|(?:very|really|also|quite|so)\b")
_NO_ANSWER = re.compile(r"(?:for|about|if|to|that|but)\b", re.I)  # "Sorry for ..."
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|do|does|did|can|could|will|would|took|takes|[a-z]{3,}(?:ed|es))\b"
)
_LONGEST_RESTATEMENT = 6  # words of a correction that is no sentence

_IT_IS = r"(?:it|this|that|he|she)(?:['’]s|\s+is|\s+was)\s+"
_THING = (  # "not sure" and "not only" deny no other answer
    r"(?!(?:only|just|sure|certain|confident|really|quite|exactly|necessarily|yet|any|anymore|at all|even|that)\b)"
    r"(?P<other>[^,.;()?!]+?)"
)
_ANOTHER_DENIED = re.compile(
    r"(?:,\s*(?:and\s+|but\s+)?not|\s+and\s+not|\s+rather\s+than|\s+instead\s+of|,?\s+as\s+opposed\s+to|\s*\(\s*not)"
    rf"\s+{_THING}(?P<end>\)|[,.;?!]|$)",
    re.I,
)
_BUT = re.compile(rf"\b(?:not|n['’]t)\s+{_THING}(?:,\s*|\s+)but(?:\s+rather)?\s+(?P<rest>\S.*)$", re.I | re.S)
_IT_IS_NOT = re.compile(rf"^\W*(?:{_IT_IS})?not\s+{_THING}[,.;]\s*(?P<rest>{_IT_IS}\S.*)$", re.I | re.S)
_BELIEVED = re.compile(
    r"^\W*(?:(?:many|most|some)(?:\s+people)?|people|you)\s+(?:may\s+|might\s+)?(?:think|believe|say|assume)\b"
    r"(?P<other>[^.;]*?),?\s+but\s+"
    r"(?P<rest>(?:it|the (?:right |correct )?answer)(?:['’]s| is| was| is actually)\s+\S.*)$",
    re.I | re.S,
)

_SURE = re.compile(
    r",\s*of course\b,?|^of course,?\s|"
    r",?\s*\b(?:there(?:['’]s| is) )?(?:no|without (?:a|any)) doubt(?: about (?:it|that))?(?: that)?\b,?|"
    r",\s*(?:is|was|are|were|does|did|has|do)n['’]?t (?:it|he|she|they)\?\s*$|,\s*(?:right|correct|no)\?\s*$",
    re.I,
)
_AS_FAR = re.compile(
    r",?\s*\b(?:if (?:i (?:remember|recall)|memory serves|i(?:['’]m| am) not mistaken)(?: me)?"
    r"(?: correctly| rightly| right)?|as far as i (?:know|remember|recall|can tell)|"
    r"to (?:the best of )?my (?:best )?knowledge)\b,?",
    re.I,
)
_UNSURE_BUT = re.compile(
    r"^\W*i(?:['’]m| am) not (?:entirely |completely |totally |absolutely |quite |100 ?% )?(?:sure|certain),?\s+but\s+"
    r"(?=i (?:think|believe)|it)",
    re.I,
)


def may_qualify(text: str) -> bool:
    """Whether there is a word in the text without which the functions of this module change nothing."""
    return bool(_CUES.search(text))


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
    if restated := _RESTATED.match(rest):
        return None if _DESCRIPTION.match(restated["thing"]) else rest
    aside = match["stop"] in (",", ";") and match["mark"].lower() == "actually"  # "Paris, actually a large city"
    if aside or len(rest.split()) > _LONGEST_RESTATEMENT or _VERB.search(rest) or _NO_ANSWER.match(rest):
        return None
    return rest


def without_denied_others(text: str) -> Iterator[tuple[str, str]]:
    """The text without an answer that it denies, and that other answer.

    For "Canberra, not Sydney" these are "Canberra" and "Sydney". Nothing comes out where only the answer itself is
    denied ("It is not Paris.").
    """
    for match in _ANOTHER_DENIED.finditer(text):
        before, end = text[: match.start()], match["end"]
        if before.strip():
            yield before + (" " if end == "," else "" if end == ")" else end) + text[match.end() :], match["other"]
    if restated := _IT_IS_NOT.search(text) or _BELIEVED.search(text):
        yield restated["rest"], restated["other"]
    elif but := _BUT.search(text):
        yield text[: but.start()] + but["rest"], but["other"]


def without_remarks_of_certainty(text: str) -> str:
    """The text without "no doubt", "isn't it?", "as far as I know" and the like: they commit to the answer."""
    return _UNSURE_BUT.sub("", _AS_FAR.sub("", _SURE.sub("", text))).strip()

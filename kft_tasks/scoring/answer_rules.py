"""Rules that consider what else an answer says: they tell "Paris, France" from "Paris, London" and "not Paris".

An accepted answer is looked for in the given answer, both in canonical spelling. The rest decides: words that repeat
the question or merely introduce an answer do not count; a denial or an alternative makes the answer wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import permutations
from typing import NamedTuple

from kft_tasks.scoring.corrections import correction, may_qualify, without_denied_others, without_remarks_of_certainty
from kft_tasks.scoring.markup import plain_text
from kft_tasks.scoring.normalization import ARTICLES, Words, canonical_words, find_words, singular
from kft_tasks.scoring.other_languages import is_country, names_said


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# An answer accompanied by one of these is not given: denials, alternatives, doubts.
_DENIALS = _set(
    "not no never nor neither none nobody nothing without except unlike instead rather than or either whether "
    "isnt arent wasnt werent doesnt dont didnt hasnt havent hadnt cant cannot couldnt wont wouldnt shouldnt aint "
    "near outside unknown unsure uncertain unclear unlikely incorrect wrong false hardly formerly previously "
    "maybe perhaps possibly might may could should if but although fake fictional such including doubt doubtful "
    "supposedly allegedly reportedly"
)
_DENYING_PAIRS = (("used", "to"), ("said", "to"), ("far", "from"))
_LINKS = _set("is was are were be been being has had does did do in by as called named known")
# These say nothing by themselves: "i think" introduces an answer, while "maybe" leaves it open.
_FILLERS = _LINKS | _set(
    "of on at to for from with and it its this that these those there he him his she her they them their who which "
    "what where i im we you think believe guess sure probably yes answer correct would be question definitely "
    "certainly actually indeed located situated found born died also"
)
_STOP_WORDS = _FILLERS | _DENIALS | ARTICLES | _set("about into over under after before between during than then so")
# What comes before, after or under something is something else, unless the question asks for that.
_RELATIONS = _set("before after for under over than between like against until")
_TITLES = _set("sir dr doctor mr mrs ms miss prof professor dame lord lady")
_RANKS = _set("king queen prince princess president emperor empress pope saint general captain senator")
_COMPANY_FORMS = _set("inc incorporated corp corporation company co ltd limited llc plc gmbh")
_KINDS = _set("records music film language")  # "Capitol" for "Capitol Records", "rock" for "rock music"
_APPROXIMATE = _set("about approximately around roughly circa nearly almost exactly")
_TIMES_OF_DAY = _set("night morning afternoon evening day")
_AFTER_AN_ANSWER = _STOP_WORDS | _COMPANY_FORMS | _KINDS | _APPROXIMATE
_NUMBER = re.compile(r"-?\d")
_YEAR = re.compile(r"\d{3,4}$")
_PART_OF_DATE = re.compile(r"[md]\d{1,2}$")
_DECADE = re.compile(r"\d\d(\d0s)$")

_PARENTHESIS = re.compile(r"\s*[(\[][^()\[\]]*(?:[)\]]|$)")
_SENTENCE_END = re.compile(r"(?<=[a-z\d)]{3})[.!?]+(?:\s+(?=[A-Z\"'])|\s*$)")
_SIDE_CLAUSE = re.compile(r",\s*(?:in\s+)?(?:which|who|whose|where|specifically|namely|also|a|an|the)\b.*$", re.S)
_ASIDE = re.compile(r",\s*(?:also|which|who|whose|where|a|an|the)\b[^,]*,")
_WHERE = re.compile(r"\b(?:where|which (?:city|town|place|village)|what (?:city|town|place|village))\b", re.I)
_PLACE_TAIL = re.compile(r"^(?P<head>[^,]+),\s*(?P<larger>[A-Z][\w.'’-]*(?:\s[\w.'’-]+){0,2}(?P<more>,[^,]+)?)[\s.]*$")
_VERB = r"(?:is|are|was|were|do|does|did|has|have|had|can|could)\b"
_KIND_ASKED = re.compile(rf"\b(?:which|what)\s+((?!{_VERB})[\w.-]+(?:\s[\w.-]+){{0,3}}?)(?:\s+{_VERB}|\s*\?)", re.I)
_KIND_COUNTED = re.compile(r"\bhow many\s+(\w+)", re.I)
_WHOLES = _set(
    "city town village state province county country republic kingdom island municipality commonwealth principality "
    "sultanate duchy federation"
)
_KINDS_OF_STATE = _set("federal arab islamic hellenic grand")
_PARTS = _set("part region area half side centre center heart middle")
_QUARTERS = _set(
    "north south east west northern southern eastern western central northeast northwest southeast southwest "
    "northeastern northwestern southeastern southwestern sub saharan"
)
_BETWEEN_ITEMS = re.compile(r",?\s+(?:and|or)\s|[,;/|\n]|\s&\s")
_PAIRED = re.compile(r",?\s+and\s|\s&\s|,")
_WHO = re.compile(r"\bwho\s+(\w+)", re.I)
_DID = _set("did does do")
_LISTED = re.compile(r",.*\band\b|\band/or\b")
_SEGMENT_END = re.compile(r"[,;:\"“”]|\s[-–—]\s")
_RELATIVE_CLAUSE = re.compile(r",\s*(?:in\s+)?(?:which|who|whose|where)\b.*$", re.S)
_LOWER_CASE = re.compile(r"\b[a-z]{3,}\b")


class Reason(NamedTuple):
    """Why an answer is right: the step that accepted it, and the accepted answer's words as found in the given one."""

    rule: str
    words: str


def answer_match(given: str, answers: Sequence[str], question: str = "") -> bool:
    """Whether the given answer amounts to one accepted answer, in whatever spelling, with nothing of substance added.

    It may add words of the question in a sentence ("The capital of France is Paris."), fillers, a remark in
    parentheses, further sentences, and, if a place is asked for, the larger place ("Paris, France"). It may deny
    another answer ("Canberra, not Sydney"). If it corrects itself, the last answer counts. Countries, languages and
    the cities that CLDR knows may be named in another language.
    """
    return match_reason(given, answers, question) is not None


def match_reason(given: str, answers: Sequence[str], question: str = "") -> Reason | None:
    """Why :func:`answer_match` accepts an answer; None if it does not."""
    return _match_one(given, answers, question, None)


def _match_one(
    given: str, answers: Sequence[str], question: str, readings: Sequence[tuple[str, str]] | None
) -> Reason | None:
    words = canonical_words(given)
    if words and any(words == canonical_words(answer) for answer in answers):
        return Reason("the same words in another spelling", " ".join(words))
    readings = _readings(given, answers) if readings is None else readings
    for rule, claim in readings:
        if found := _match(claim, answers, question):
            return Reason(rule or found.rule, found.words)
    for rule, claim in readings:
        if (names := names_said(claim, answers)) and (found := _match(claim, names, question)):
            return Reason(rule or "a name in another language", found.words)
    return None


def _readings(given: str, answers: Sequence[str]) -> list[tuple[str, str]]:
    """What an answer says, by how it was read: as it stands, corrected, or without other answers that it denies."""
    text = plain_text(given)
    if not may_qualify(text):
        return [("", text)]
    sure = without_remarks_of_certainty(text)
    if (corrected := correction(sure)) is not None:
        return [("the answer after a correction", corrected)]
    readings = [("", text)]
    if sure != text:
        readings.append(("without a remark on how sure it is", sure))
    for claim, other in without_denied_others(sure):
        if not any(find_words(canonical_words(other), canonical_words(answer)) >= 0 for answer in answers):
            readings.append(("another answer is denied", claim))
    return readings


def _match(text: str, answers: Sequence[str], question: str) -> Reason | None:
    for rule, claim in _claims(text, question):
        if found := _amounts_to(claim, answers, question):
            return Reason(rule, found)
    if found := _sign_given(text, answers, question):
        return Reason("a sign", found)
    items = [item for item in _BETWEEN_ITEMS.split(text) if item.strip()]  # "Greek and Turkish": both are accepted
    if len(items) > 1:
        found_items = [_amounts_to(item, answers, question) for item in items]
        if all(found_items):
            return Reason("a list of accepted answers", ", ".join(found_items))
    return None


def _sign_given(text: str, answers: Sequence[str], question: str) -> str:
    """An accepted answer without letters or digits ("!!!"), if it stands by itself among fillers."""
    for answer in answers:
        if any(map(str.isalnum, answer)) or answer not in (pieces := text.split()):
            continue
        others = canonical_words(" ".join(piece for piece in pieces if piece != answer))
        if not _denies(others) and _FILLERS.union(("sign", "symbol"), canonical_words(question)).issuperset(others):
            return answer
    return ""


def answer_stated(given: str, answers: Sequence[str], question: str = "") -> bool:
    """Like :func:`answer_match`, but also true if the first sentence states one accepted answer among other things.

    The answer must come after a verb and must not be denied, part of a list, part of a longer name ("West Virginia",
    "United States Army"), what something came before or after, or already in the question.
    """
    return stated_reason(given, answers, question) is not None


def stated_reason(given: str, answers: Sequence[str], question: str = "") -> Reason | None:
    """Why :func:`answer_stated` accepts an answer; None if it does not."""
    readings = _readings(given, answers)
    if reason := _match_one(given, answers, question, readings):
        return reason
    if not canonical_words(question):
        return None
    for rule, claim in readings:
        if found := _stated(claim, answers, question):
            return Reason(rule or "stated in a sentence", found)
    return None


def _stated(text: str, answers: Sequence[str], question: str) -> str:
    """The accepted answer that the first sentence states, or ""."""
    sentence = _SENTENCE_END.split(_PARENTHESIS.sub("", text))[0]
    sentence = _RELATIVE_CLAUSE.sub("", sentence)
    asked = canonical_words(question)
    if _LISTED.search(sentence) or _denies(canonical_words(sentence)):
        return ""
    links = _LINKS | _verbs_of_object(question)
    segments = _after_verb([canonical_words(segment) for segment in _SEGMENT_END.split(sentence)], links)
    for answer in answers:
        for sought in _forms(answer, question):
            if find_words(asked, sought) < 0 and any(
                _stands_by_itself(words, sought, answer, asked, links) for words in segments
            ):
                return " ".join(sought)
    return ""


def _after_verb(segments: list[Words], links: frozenset[str]) -> list[Words]:
    """Everything from the first verb or preposition on."""
    for number, words in enumerate(segments):
        if (start := next((place for place, word in enumerate(words) if word in links), None)) is not None:
            return [words[start:], *segments[number + 1 :]]
    return []


def _stands_by_itself(words: Words, sought: Words, answer: str, asked: Words, links: frozenset[str]) -> bool:
    """Whether the answer is a phrase of its own: not in "the sister of Ivanka Trump", but in "the state of Texas"."""
    place = find_words(words, sought)
    if place < 0:
        return False
    before, after = words[:place], words[place + len(sought) :]
    if after and after[0] not in _AFTER_AN_ANSWER:
        return False
    if _is_related(before, sought, asked):
        return False
    if not before or answer[0].islower():  # "an American actor"
        return True
    if before[-1] == "of":
        return len(before) > 1 and before[-2] in _WHOLES | _PARTS | set(asked)
    return before[-1] in _STOP_WORDS | _WHOLES or before[-1] in links


def _is_related(before: Words, sought: Words, asked: Words) -> bool:
    """Whether the answer only says what something came before, was made for, is about, and the like."""
    if not before or before[-1] in asked:
        return False
    about = before[-1] == "about" and not _NUMBER.match(sought[0]) and "how" not in asked  # "about an hour"
    return about or before[-1] in _RELATIONS


def answer_in_sentence(given: str, answers: Sequence[str], question: str = "") -> bool:
    """For sets whose accepted answers are whole sentences: whether one contains the answer's own words.

    Stop words and words of the question at both ends of the answer are stripped. What is left must occur in the
    sentence in one piece, so that neither a stop word of the sentence nor the question itself is an answer.
    """
    return in_sentence_reason(given, answers, question) is not None


def in_sentence_reason(given: str, answers: Sequence[str], question: str = "") -> Reason | None:
    """Why :func:`answer_in_sentence` accepts an answer; None if it does not."""
    words = canonical_words(_SENTENCE_END.split(given)[0])
    core = () if _denies(words) else telling_part(words, question)
    if core and any(find_words(canonical_words(answer), core) >= 0 for answer in answers):
        return Reason("its own words are in an accepted sentence", " ".join(core))
    return None


def objection(given: str, answers: Sequence[str], question: str = "") -> Reason:
    """What speaks against an answer that :func:`answer_match` or :func:`answer_stated` rejects."""
    readings = _readings(given, answers)
    if len(readings) == 1 and readings[0][0]:
        return Reason("it takes back what it said, and the later answer is not accepted", readings[0][1])
    claim = readings[0][1]
    words = canonical_words(claim)
    asked = canonical_words(question)
    found = [sought for answer in answers for sought in _forms(answer, question) if find_words(words, sought) >= 0]
    if not found:
        return Reason("no accepted answer is in it", " ".join(words))
    sought = max(found, key=len)
    place = find_words(words, sought)
    before, after = words[:place], words[place + len(sought) :]
    if denials := [word for word in before + after if word in _DENIALS]:
        return Reason("a denial, an alternative or a doubt", " ".join(denials))
    for pair in _DENYING_PAIRS:
        if find_words(words, pair) >= 0:
            return Reason("a denial, an alternative or a doubt", " ".join(pair))
    if _is_related(before, sought, asked):
        return Reason("it says what the answer is related to", " ".join((before[-1], *sought)))
    others = [word for word in before + after if word not in _FILLERS and singular(word) not in _singulars(asked)]
    if others:
        return Reason("the answer stands among other words that may mean something else", " ".join(others))
    return Reason("no sentence about the question", " ".join(words))


def sentence_objection(given: str, answers: Sequence[str], question: str = "") -> Reason:
    """What speaks against an answer that :func:`answer_in_sentence` rejects."""
    words = canonical_words(_SENTENCE_END.split(given)[0])
    if _denies(words):
        denials = [word for word in words if word in _DENIALS]
        return Reason("a denial, an alternative or a doubt", " ".join(denials or words))
    if core := telling_part(words, question):
        return Reason("its own words are in no accepted sentence", " ".join(core))
    return Reason("it has no words of its own, only stop words and words of the question", " ".join(words))


def telling_part(words: Words, question: str) -> Words:
    """The words from the first to the last that is neither a stop word nor in the question; empty if there is none."""
    asked = _singulars(canonical_words(question))
    telling = [place for place, word in enumerate(words) if word not in _STOP_WORDS and singular(word) not in asked]
    return words[telling[0] : telling[-1] + 1] if telling else ()


def _claims(given: str, question: str) -> Iterator[tuple[str, str]]:
    """The given answer, and the same without remarks, further sentences, side clauses and the larger place.

    Each comes with the name of the step that gave it.
    """
    yield "nothing but the answer", given
    plain = _PARENTHESIS.sub("", given).strip()
    sentence = _SENTENCE_END.split(plain)[0]
    if _DENIALS & set(canonical_words(given)) - set(canonical_words(sentence)):
        return  # a remark or a later sentence takes the answer back
    if sentence != given:
        yield "the first sentence", sentence
    if (clause := _SIDE_CLAUSE.sub("", _ASIDE.sub(" ", sentence))) != sentence:
        yield "the sentence without its side clause", clause
    if (tail := _PLACE_TAIL.match(sentence)) and (
        (_WHERE.search(question) and _one_place(tail["more"])) or _repeats(tail["larger"], question)
    ):
        yield "a place and the larger one around it", tail["head"]


def _one_place(more: str | None) -> bool:
    """Whether "A, B, C" is one place: only if C is a country that is often added; otherwise it may be a list."""
    return not more or canonical_words(more) in {("usa",), ("uk",), ("england",), ("canada",)}


def _repeats(words: str, question: str) -> bool:
    return find_words(canonical_words(question), canonical_words(words)) >= 0


def _amounts_to(claim: str, answers: Sequence[str], question: str) -> str:
    """The accepted answer that a claim amounts to, as its words are in the claim, or ""."""
    words = canonical_words(claim)
    for answer in answers:
        common = _common(answer)
        said = tuple(single if (single := singular(word)) in common else word for word in words) if common else words
        for sought in _forms(answer, question):
            place = find_words(said, sought)
            while place >= 0:
                if _nothing_else(said[:place], said[place + len(sought) :], sought, question):
                    return " ".join(sought)
                place = find_words(said, sought, place + 1)
    return ""


def _nothing_else(before: Words, after: Words, sought: Words, question: str) -> bool:
    """Whether the words around the answer are of no substance."""
    if not before and not after:
        return True
    if _denies(before) or _denies(after):
        return False
    concluding = not after and before[-1] in _LINKS
    if _STOP_WORDS.issuperset(sought):
        return concluding  # "Its symbol is I", while "I am sure" does not give iodine's
    asked = canonical_words(question)
    if _is_related(before, sought, asked):
        return False
    kind = _kind_asked(question)
    fillers = _FILLERS | kind
    ahead, behind = set(_without_title(before, sought, asked, kind)) - fillers, set(after) - fillers
    behind -= _COMPANY_FORMS | _KINDS
    if _YEAR.match(sought[0]):
        behind = {word for word in behind if not _PART_OF_DATE.match(word)}  # "14 July 1789" for 1789
        ahead -= _TIMES_OF_DAY if len(sought) > 2 else frozenset()
    if not ahead and not behind:
        return True
    others = {singular(word) for word in (ahead | behind) - _verbs_of_object(question)}
    if not _linked(before, after, question) or not others <= _singulars(asked):
        return False
    # A sentence in the words of the question; if they include the answer: "The capital of Katsina State is Katsina".
    return concluding or find_words(asked, sought) < 0


def _denies(words: Words) -> bool:
    return not _DENIALS.isdisjoint(words) or any(find_words(words, pair) >= 0 for pair in _DENYING_PAIRS)


@lru_cache(maxsize=1 << 14)
def _verb_of_subject(question: str) -> frozenset[str]:
    """The verb that an answer comes before: "wrote" for "Who wrote it?"."""
    return frozenset(match[1].lower() for match in _WHO.finditer(question)) - _STOP_WORDS


@lru_cache(maxsize=1 << 14)
def _verbs_of_object(question: str) -> frozenset[str]:
    """Verbs that an answer may come after: "created" for "Which language did she create?"."""
    asked = canonical_words(question)
    if _DID.isdisjoint(asked):
        return frozenset()
    stems = [word for word in asked if word.isalpha() and word not in _STOP_WORDS and len(word) > 2]
    return frozenset(form for stem in stems for form in (stem + ("d" if stem.endswith("e") else "ed"), f"{stem}s"))


def _linked(before: Words, after: Words, question: str) -> bool:
    """Whether there is a verb that makes the words around an answer a sentence about it."""
    return (
        not _LINKS.isdisjoint(before + after)
        or not _verb_of_subject(question).isdisjoint(after)
        or not _verbs_of_object(question).isdisjoint(before)
    )


@lru_cache(maxsize=1 << 14)
def _singulars(words: Words) -> frozenset[str]:
    return frozenset(map(singular, words))


def _without_title(before: Words, sought: Words, asked: Words, kind: frozenset[str]) -> Words:
    """The words before the answer, without those that belong to it: "President", "the city of", "about"."""
    if not before:
        return before
    if before[-1] in _TITLES | _RANKS or (before[-1] in _APPROXIMATE and _NUMBER.match(sought[0])):
        return before[:-1]
    if "continent" in kind and not is_country((before[-1], *sought)):
        return _drop_last(before, _QUARTERS)  # "North Africa" is in Africa
    if before[-1] == "of" and len(before) > 1:
        if before[-2] in _PARTS:
            return _drop_last(before[:-2], _QUARTERS)
        if before[-2] in _WHOLES and before[-2] not in asked:
            return _drop_last(before[:-2], _KINDS_OF_STATE)
    return before


def _drop_last(words: Words, which: frozenset[str]) -> Words:
    while words and words[-1] in which:
        words = words[:-1]
    return words


@lru_cache(maxsize=1 << 14)
def _kind_asked(question: str) -> frozenset[str]:
    """The "music label" of "Which music label is ...?": these words may accompany the answer."""
    match = _KIND_COUNTED.search(question) or _KIND_ASKED.search(question)
    words = canonical_words(match[1]) if match else ()
    return frozenset(words) | {singular(word) for word in words}


@lru_cache(maxsize=1 << 14)
def _common(answer: str) -> frozenset[str]:
    """The common nouns of an answer in the singular: "politicians" is "politician", while "Adams" is not "Adam"."""
    return frozenset(singular(word) for word in _LOWER_CASE.findall(answer))


@lru_cache(maxsize=1 << 16)
def _forms(answer: str, question: str) -> tuple[Words, ...]:
    """An accepted answer in canonical spelling, also without what people omit: title, company form, kind asked for."""
    common = _common(answer)
    forms: dict[Words, None] = {}
    for text in (answer, _PARENTHESIS.sub("", answer), *_in_other_order(answer)):
        words = tuple(single if (single := singular(word)) in common else word for word in canonical_words(text))
        if len(words) > 1 and words[0] in _APPROXIMATE and _NUMBER.match(words[1]):
            words = words[1:]
        for form in (words, *_shortened(words, _kind_asked(question))):
            forms[form] = None
    return tuple(form for form in forms if form)


def _in_other_order(answer: str) -> Iterator[str]:
    """The same things in another order: "Brin and Page", "Page, Brin" for "Page and Brin"."""
    items = [item.strip() for item in _PAIRED.split(answer)]
    if 1 < len(items) < 4 and all(items) and not items[-1][0].isdigit() and " and " in answer.replace("&", "and"):
        for order in permutations(items):
            yield " ".join(order)
            yield " ".join(order[:-1]) + f" and {order[-1]}"


def _shortened(words: Words, kind: frozenset[str]) -> Iterator[Words]:
    if (len(words) > 1 and words[0] in _TITLES) or (len(words) > 2 and words[0] in _RANKS):
        yield words[1:]
    if len(words) > 1 and (words[-1] in _COMPANY_FORMS | _KINDS or words[-1] in kind):
        yield words[:-1]
    if len(words) == 2 and words[-1] in ("celsius", "fahrenheit"):
        yield (words[0], "degree")
    if len(words) == 1 and (decade := _DECADE.match(words[0])):
        yield (decade[1],)

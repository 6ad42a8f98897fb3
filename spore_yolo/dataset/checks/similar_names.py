"""SPR022: names of classes that differ in case, blanks or one letter only."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import combinations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.placing import line_of

CODE = "SPR022"

LEAST_LETTERS = 4
"""Letters of a word from which one that differs may be a slip; ``pod`` and ``rod`` are two words."""

MOST_CLASSES = 1_000
"""Beyond this many the names are not compared letter by letter."""

MOST_LETTERS = 100
"""Longer names are not compared letter by letter."""

MOST_ALIKE = 50
"""Of names that share all but a letter, the commonest this many are compared."""

_WORD = re.compile(r"[^\W_]+")


def _find(material: Material) -> Iterable[Finding]:
    counts = dict.fromkeys(material.classes, 0) | material.boxes["class"].value_counts().to_dict()
    pairs = [(rare, common, "case or blanks") for rare, common in spellings(counts).items()]
    pairs += [(rare, common, "blanks, hyphens or underscores") for rare, common in _joined_otherwise(counts)]
    if len(counts) <= MOST_CLASSES:
        pairs += [(rare, common, "one letter") for rare, common in _one_letter_apart(counts)]
    else:
        yield Finding(
            CODE,
            Severity.NOTE,
            f"{len(counts):,} classes are too many to compare their names letter by letter; is their column right?",
            str(material.path),
        )
    first = material.boxes.drop_duplicates("class").set_index("class")[["label_file", "line", "image"]]
    places = dict(zip(first.index, first.itertuples(index=False, name=None), strict=True))
    for rare, common, what in sorted(pairs):
        file, line, image = places.get(rare, (str(material.path), None, None))
        message = f"{rare!r} ({_boxes(counts[rare])}) and {common!r} ({_boxes(counts[common])}) differ in {what} only"
        yield Finding(CODE, Severity.WARNING, message, file, line_of(line) if image else None, image)


def _boxes(count: int) -> str:
    return f"{count:,} box{'es' * (count != 1)}"


def spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """The commonest spelling of each class of which another spelling, in case or blanks, is commoner.

    Args:
        counts: Boxes of each class; of equal counts the name that stands first is kept.

    Example:
        >>> spellings({"Alternaria": 9, "alternaria ": 2, "Botrytis": 1})
        {'alternaria ': 'Alternaria'}
    """
    return dict(_rarer(counts, lambda name: _without(r"\s", name)))


def _joined_otherwise(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Names that are the same but for what joins their words, and that :func:`spellings` does not tell already."""
    gone = spellings(counts)
    kept = {name: count for name, count in counts.items() if name not in gone}
    return _rarer(kept, lambda name: _without(r"[\s_-]", name))


def _without(separators: str, name: str) -> str:
    """A name without what joins its words; between digits it stays, since 1-1 and 11 are two numbers."""
    if name.isalnum():
        return name.casefold()
    tidy = re.sub(f"({separators})({separators})+", r"\1", name.casefold().strip())
    return re.sub(f"(?<!\\d){separators}(?=\\w)|(?<=\\w){separators}(?!\\d)", "", tidy)


def _rarer(counts: Mapping[str, int], key: Callable[[str], str]) -> list[tuple[str, str]]:
    """Each name with the commonest of the names that have its key, where that is another."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in counts:
        alike[key(name)].append(name)
    pairs = []
    for names in alike.values():
        common = max(names, key=lambda name: counts[name])
        pairs += [(name, common) for name in names if name != common]
    return pairs


def _one_letter_apart(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Names of which one word has a letter more, less or other than the same word of a commoner name."""
    words = {name: tuple(_WORD.findall(name.casefold())) for name in counts if len(name) <= MOST_LETTERS}
    # Two words one letter apart are equal once a letter is taken out of each or of the longer one, so only names that
    # share such a rest are compared: as many as there are letters, not as there are pairs.
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, parts in words.items():
        for at, word in enumerate(parts):
            for rest in _rests(word):
                alike[*parts[:at], rest, *parts[at + 1 :]].append(name)
    pairs = set()
    for names in alike.values():
        by_count = sorted(names, key=lambda name: -counts[name])
        for common, rare in combinations(by_count[:MOST_ALIKE], 2):
            if _one_word_apart(words[common], words[rare]):
                pairs.add((rare, common))
    return sorted(pairs)


def _rests(word: str) -> set[str]:
    return {word, *(word[:at] + word[at + 1 :] for at in range(len(word)))}


def _one_word_apart(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    differing = [(one, other) for one, other in zip(first, second, strict=True) if one != other]
    if len(differing) != 1:
        return False
    one, other = sorted(differing[0], key=len)
    if len(one) < LEAST_LETTERS or not (one + other).isalpha():
        return False
    begin = next((at for at, letter in enumerate(one) if letter != other[at]), len(one))
    rest = one[begin + (len(one) == len(other)) :]
    return len(other) - len(one) <= 1 and rest == other[begin + 1 :]


CHECK = Check(
    code=CODE,
    title="class names that are nearly the same",
    severity=Severity.WARNING,
    effect="One class is learned as two: each has fewer examples, and mixing up what is the same counts as an error.",
    mend="Give both one name with the class map of import (--classes); --fix does where only case or blanks differ.",
    find=_find,
    fixable=True,
)

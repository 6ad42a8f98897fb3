"""How figures are said: in a cell of a table, and in sentences that need no schooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from spore_yolo.evaluation.intervals import LEAST_GROUPS, Figures

Kind = Literal["share", "score", "rate", "signed"]
"""``share`` is shown in per cent, ``score`` from 0 to 1, ``rate`` as a number a slide, ``signed`` with its sign."""

FEW = 20
"""Below so many, ``7 of 9`` says more than a share of 100."""

NONE, MINUS, SPACE = "-", "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
NO_SCORES = "the predictions have no scores"


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what it says, and in small letters how far that carries or why there is nothing."""

    text: str
    notes: tuple[str, ...] = ()


def number(value: float, kind: Kind) -> str:
    """A figure's value; what is not all and not nothing never looks so."""
    if kind == "share":
        if 0.9995 <= value < 1:
            return f">99.9{SPACE}%"
        if 0 < value < 0.0005:
            return f"<0.1{SPACE}%"
        return f"{100 * value:.1f}{SPACE}%"
    if kind == "score":
        return f"{value:.3f}".replace("-", MINUS)
    if kind == "signed":
        return f"{value:+,.2f}".replace("-", MINUS)
    return "<0.01" if 0 < value < 0.005 else f"{value:,.2f}"


def span(interval: Sequence[float], kind: Kind) -> str:
    """An interval, the unit said once, on one line."""
    low, high = (number(bound, kind) for bound in interval)
    return f"{low.removesuffix(f'{SPACE}%')}{SPACE}to{SPACE}{high}"


def cell(figure: Figures, kind: Kind, nothing: str) -> Cell:
    """A figure as a cell.

    Args:
        figure: In the form of ``metrics.json``.
        kind: How its value is shown.
        nothing: Why there is no value, where there is none.
    """
    if figure["value"] is None:
        return Cell(NONE, (nothing,))
    return Cell(number(figure["value"], kind), (reach(figure, kind),))


def reach(figure: Figures, kind: Kind) -> str:
    """How far a figure carries, in a few words."""
    if figure["interval"]:
        return span(figure["interval"], kind)
    if figure["more_groups"]:
        return f"{counted(figure['groups'], 'group')}: too few"
    return "no range"


def counted(count: int, thing: str) -> str:
    """``1 group``, ``2 groups``."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def named(name: str) -> Markup:
    """A name out of the data, kept apart from the text round it, whichever way it is read."""
    return Markup("<bdi>{}</bdi>").format(name)


def spores(name: str, count: int = 2) -> Markup:
    """``Alternaria spores``; a class that is called spore is not called so twice."""
    plain = name.lower()
    if plain in ("spore", "spores"):
        return Markup("spore" if count == 1 else "spores")
    if plain.endswith(("spore", "spores")):
        return named(name)
    return named(name) + (" spore" if count == 1 else " spores")


def of_hundred(value: float) -> str:
    """A share as a whole number of 100; what is not all and not nothing never looks so."""
    if 0.995 <= value < 1:
        return "more than 99"
    if 0 < value < 0.005:
        return "fewer than 1"
    return f"{100 * value:.0f}"


def between(figure: Figures, of: str = "", flipped: bool = False) -> str:
    """How far a share carries, of 100, to follow the number in a sentence: `` (between 88 and 96)``.

    Args:
        figure: The share.
        of: What comes before ``between``.
        flipped: Whether the sentence tells the rest of the share.
    """
    if not figure["interval"]:
        return f" ({too_few(figure)})" if figure["more_groups"] else ""
    low, high = figure["interval"]
    if flipped:
        low, high = 1 - high, 1 - low
    decimals = 0 if f"{100 * low:.0f}" != f"{100 * high:.0f}" else 1
    return f" ({of}between {100 * low:.{decimals}f} and {100 * high:.{decimals}f})"


def too_few(figure: Figures) -> str:
    """Why there is no interval."""
    more, groups = figure["more_groups"], figure["groups"]
    return f"too few groups to tell: {groups}, at least {LEAST_GROUPS} are needed, {more} more"


def subject(metrics: Figures) -> str:
    """Who looked: the pair, a detector alone, or a program of which only the predictions are known."""
    pair = metrics.get("pair")
    if not pair:
        return "the program"
    return "the pair" if pair.get("classifier_sha256") else "the detector"


def found_sentence(name: str, figures: Figures, who: str) -> Markup:
    """How many of the labelled spores were found."""
    recall, found, labelled = figures["recall"], figures["tp"], figures["boxes"]
    if recall["value"] is None:
        said = "Experts labelled no {} on these slides, so nobody can say how many {} would find."
        return Markup(said).format(spores(name), who)
    if labelled < FEW:
        said = "Of {:,} {} that experts labelled, {} found <strong>{:,}</strong>{}."
        return Markup(said).format(labelled, spores(name, labelled), who, found, between(recall, "of 100, "))
    said = "Of 100 {} that experts labelled, {} found <strong>{}</strong>{}. Here it was {:,} of {:,}."
    return Markup(said).format(spores(name), who, of_hundred(recall["value"]), between(recall), found, labelled)


def slides_sentence(name: str, figures: Figures) -> Markup:
    """How often slides without a class are reported to bear it."""
    right, wrong = figures["specificity_slides"], figures["slides"]["fp"]
    slides = wrong + figures["slides"]["tn"]
    if right["value"] is None:
        said = (
            "No slide here is known to be without {}, so nobody can say how often it is reported where there is none."
        )
        return Markup(said).format(spores(name))
    if slides < FEW:
        said = "Of {} without {}, <strong>{:,}</strong> had a false alarm{}."
        return Markup(said).format(
            counted(slides, "slide"), spores(name), wrong, between(right, "of 100, ", flipped=True)
        )
    said = (
        "On slides without {} it raised a false alarm on <strong>{}</strong> of 100{}. Here it was {:,} of {:,} slides."
    )
    share = of_hundred(1 - right["value"])
    return Markup(said).format(spores(name), share, between(right, flipped=True), wrong, slides)


def alarms_sentence(name: str | None, figures: Figures) -> Markup:
    """False alarms a slide, and how much of what is reported is right; without a name, of all classes."""
    rate, precision = figures["false_alarms_per_slide"], figures["precision"]
    if rate["value"] is None:
        return Markup("")
    range_ = f" ({reach(rate, 'rate')})" if rate["interval"] else ""
    alarms = Markup("It raised <strong>{}</strong> false alarms a slide{}, {:,} in all.").format(
        number(rate["value"], "rate"), range_, figures["fp"]
    )
    called = Markup(" called {}").format(named(name)) if name is not None else Markup("")
    if precision["value"] is None:
        return alarms + Markup(" It reported nothing{}.").format(called)
    right = " Of 100 detections{}, <strong>{}</strong> are right{}."
    return alarms + Markup(right).format(called, of_hundred(precision["value"]), between(precision))


def enough_sentence(figures: Figures) -> Markup:
    """Whether there are enough groups to say how far the recall carries; empty without labelled spores."""
    recall = figures["recall"]
    groups = counted(recall["groups"], "group")
    if recall["value"] is None:
        return Markup("")
    if recall["more_groups"]:
        said = "<strong>Not enough to tell</strong> how far this carries to other slides: the labelled spores come from"
        needed = f" {groups}, at least {LEAST_GROUPS} are needed, {recall['more_groups']} more."
        return Markup(said) + needed
    said = "Enough to tell: the labelled spores come from {}, at least {} are needed."
    return Markup(said).format(groups, LEAST_GROUPS)


def promise_sentence(promise: Figures) -> Markup:
    """What an operating point promises.

    Args:
        promise: The content of :class:`spore_yolo.inference.manifest.Promise`.
    """
    names = Markup(", ").join(named(name) for name in promise["targets"])
    said = (
        "At these thresholds at least <strong>{}</strong> of 100 labelled spores of {} are promised to be found, as the"
        " mean over groups. Of 100 such promises at least {} are kept. Groups that it rests on: {}, of the {} part of"
        " dataset {}."
    )
    groups = Markup(", ").join(
        Markup("{} for {}").format(number, named(name)) for name, number in promise["groups"].items()
    )
    recall, confidence = (f"{100 * promise[key]:g}" for key in ("recall", "confidence"))
    return Markup(said).format(recall, names, confidence, groups, named(promise["split"]), named(promise["dataset"]))

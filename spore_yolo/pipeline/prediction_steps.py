"""What the steps of the prediction flow do; they hold no more than calls of these functions."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake import Lake, RemotePath, is_remote
from spore_yolo.files.wording import listed
from spore_yolo.inference.device import torch_device
from spore_yolo.inference.manifest import MANIFEST
from spore_yolo.pipeline.configuration import PredictionConfiguration
from spore_yolo.pipeline.estimate import (
    ENOUGH_SECONDS,
    SAMPLE,
    Estimate,
    Price,
    duration,
    sample_order,
    this_machine,
)
from spore_yolo.pipeline.prediction_plan import Plan, Results, ShardReport
from spore_yolo.pipeline.shared_run import SharedRun, shared_run
from spore_yolo.pipeline.slides import CannotBring, at_hand, dealt, found_slides
from spore_yolo.pipeline.workplace import beneath, brought, local_of
from spore_yolo.prediction.deciding import deciding_options, differing
from spore_yolo.prediction.running import (
    PredictionOptions,
    assemble,
    begin,
    check_output,
    look,
    looker_for,
)
from spore_yolo.prediction.summary import Failure

if TYPE_CHECKING:
    from spore_yolo.inference.slides import Focus
    from spore_yolo.prediction.slide import SlideLooker

KEYS = {
    "--source": "slides",
    "--output": "output",
    "--resume": "run",
    "--operating-point": "operating_point",
    "--at": "at",
    "--mpp": "um_per_px",
    "--no-resample": "resample",
    "--no-images": "images",
    "--batch": "batch_size",
    "--skip-empty": "skip_empty",
    "--force": "force: true",
    "--z": "z",
}
"""What messages of ``spore-yolo predict`` call an option, and its key in the configuration."""

SECONDS_BETWEEN_LINES = 60
"""In the log of a task, of how far it is."""

SLOWEST = 10
"""Slides that the card names as those that took longest."""

SHEETS, SHEET_WIDTH = 6, 1600
"""Contact sheets on the card, and their width in pixels."""


@dataclass
class Watch:
    """Measures what each slide takes, and says now and then how far the work is.

    Attributes:
        run: What they belong to.
        slides: How many there are.
        looked: Seconds of each slide that could be looked at.
    """

    run: SharedRun
    slides: int
    looked: dict[str, float] = field(default_factory=dict)
    _told: float = field(default_factory=time.monotonic)

    @contextmanager
    def during(self, slide: str) -> Iterator[None]:
        """Has a slide at hand, and the time taken."""
        begun = time.monotonic()
        with at_hand(slide, self.run.lake):
            yield
        now = time.monotonic()
        self.looked[slide] = now - begun
        if now - self._told > SECONDS_BETWEEN_LINES:
            self._told = now
            print(f"looked at {len(self.looked):,} of {self.slides:,} slides", flush=True)


def start(configuration: PredictionConfiguration) -> Plan:
    """Finds the slides, begins or goes on with the run, measures, and says what it will take.

    Raises:
        SporeYoloError: Something is wrong with the configuration, or the run would cost too much.
    """
    output = configuration.output.replace("{date}", datetime.now(UTC).date().isoformat())
    with _in_words_of_the_configuration(), shared_run(output) as run:
        if not configuration.force:
            run.fetch_all()
        check_output(run, resume=True, force=configuration.force)
        slides = found_slides(configuration.slides, output)
        begun = time.monotonic()
        options = _options(configuration)
        looker = looker_for(options, list(slides))
        loading = time.monotonic() - begun
        begin(run, deciding_options(options, looker), slides, resume=not configuration.force)
        measured = _measured(looker, run, {name: mark.size for name, mark in slides.items()}, configuration.z)
        sizes = {name: 0 if run.is_done(name) else max(1, mark.size) for name, mark in slides.items()}
    shards = dealt(sizes, configuration.shards)
    estimate = Estimate(
        slides=len(slides),
        done=sum(size == 0 for size in sizes.values()),
        measured=measured,
        loading=loading,
        shards=len(shards),
        share_machine=configuration.compute == "local",
        machine=_machine(configuration, looker),
        price=Price(configuration.price_per_hour, configuration.currency, configuration.most_cost),
    )
    print(estimate.text(), flush=True)
    estimate.check()
    return Plan(output, shards, estimate)


def predict_shard(configuration: PredictionConfiguration, plan: Plan, number: int) -> ShardReport:
    """Looks at the slides of a shard that are not done.

    Raises:
        SporeYoloError: Slides cannot be brought here, or the pair is another one by now.
    """
    begun = time.monotonic()
    slides = plan.shards[number - 1].slides
    with _in_words_of_the_configuration(), shared_run(plan.output) as run:
        run.fetch(slides)
        options = _options(configuration)
        looker = looker_for(options, run.slides())
        _check_the_same(run.options(), deciding_options(options, looker))
        watch = Watch(run, sum(not run.is_done(name) for name in slides))
        places = {name: local_of(name) for name in slides}
        failures = look(looker, run, places, configuration.z, watch.during, quiet=True)
    seconds = time.monotonic() - begun
    print(f"shard {number}: looked at {len(watch.looked):,} slides in {duration(seconds)}, {len(failures):,} failed")
    return ShardReport(
        number,
        seconds,
        watch.looked,
        failures,
        machine=_machine(configuration, looker),
    )


def join(
    configuration: PredictionConfiguration, plan: Plan, reports: Sequence[ShardReport], lost: Mapping[int, str]
) -> Results:
    """Makes one result of what the shards found; what is kept of each slide stays.

    Args:
        configuration: The flow's.
        plan: What :func:`start` planned.
        reports: Of the shards that came to their end.
        lost: Why the others did not, by their numbers.

    Raises:
        SporeYoloError: A slide is missing or there twice, or none could be looked at.
    """
    with _in_words_of_the_configuration(), shared_run(plan.output) as run:
        run.fetch()
        names = run.slides()
        run.fetch(names, marked=configuration.images)
        failures = _failures(plan, run, names, reports, lost)
        # Nothing is looked at any more: any machine can do this.
        looker = looker_for(replace(_options(configuration), device="cpu", backend="torch"), names)
        summary = assemble(looker, run, names, failures, keep=True)
        text = summary.text(run.output).replace(str(run.output), plan.output)
        sheets = _sheets(run.output / "contact_sheets", summary.targets)
    looked = dict(plan.estimate.measured)
    looked |= {name: seconds for report in reports for name, seconds in report.looked.items()}
    return Results(
        text=text,
        counts={name: int(summary.counts[name].sum()) for name in summary.counts.columns[1:]},
        targets=summary.targets,
        slides=len(summary.counts),
        failures=failures,
        notes=summary.notes,
        took=plan.estimate.against([report.seconds for report in reports]),
        slowest={name: looked[name] for name in sorted(looked, key=lambda name: -looked[name])[:SLOWEST]},
        machines=[(report.number, report.machine, report.seconds, len(report.looked)) for report in reports],
        sheets=sheets,
    )


def end(configuration: PredictionConfiguration, plan: Plan, results: Results) -> None:
    """Says what was found and what it took; what is kept of each slide goes where all could be looked at.

    Raises:
        SporeYoloError: Slides failed, and the flow is to fail then.
    """
    print(results.text)
    print(f"\n{results.took}", flush=True)
    if not results.failures:
        with shared_run(plan.output) as run:
            run.remove()
        return
    failed = (
        f"{len(results.failures):,} of {results.slides + len(results.failures):,} slides failed, see"
        f" {beneath(plan.output, 'failed.csv')}; once they are mended, run looks at these alone"
    )
    if configuration.fail_on_failed_slides:
        raise SporeYoloError(failed)
    print(f"note: {failed}", flush=True)


def _options(configuration: PredictionConfiguration) -> PredictionOptions:
    """The same for ``spore-yolo predict``; the pair is brought here."""
    return PredictionOptions(
        pair=_pair(configuration.pair),
        output=local_of(configuration.output),
        operating_point=configuration.operating_point,
        at=configuration.at,
        um_per_px=configuration.um_per_px,
        resample=configuration.resample,
        z=configuration.z,
        images=configuration.images,
        backend=configuration.backend,
        batch=configuration.batch_size,
        skip_empty=configuration.skip_empty,
        device=configuration.device,
    )


def _machine(configuration: PredictionConfiguration, looker: SlideLooker) -> str:
    return this_machine(looker.pair.detector.runner.backend, str(torch_device(configuration.device)))


def _pair(address: str) -> Path:
    """Brings the pair here; of a run's folder in the data lake that alone."""
    if is_remote(address) and Lake().exists(RemotePath.parse(address) / "pair" / MANIFEST):
        return brought(beneath(address, "pair"))
    return brought(address)


def _measured(looker: SlideLooker, run: SharedRun, sizes: Mapping[str, int], z: Focus) -> dict[str, float]:
    """Looks at a few slides of about the median size, and gives the seconds that each took; they are done then."""
    watch = Watch(run, len(sizes))
    for name in sample_order({name: size for name, size in sizes.items() if not run.is_done(name)}):
        look(looker, run, {name: local_of(name)}, z, watch.during, quiet=True)
        if len(watch.looked) == SAMPLE or sum(watch.looked.values()) > ENOUGH_SECONDS:
            break
    return watch.looked


def _check_the_same(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Makes sure that a shard looks as the run began; only what belongs to a machine may be another.

    Raises:
        SporeYoloError: It does not.
    """
    other = [f"  {name}: {then.get(name)} then, {now.get(name)} now" for name in differing(then, now)]
    if other:
        raise SporeYoloError(
            "\n".join(["the pair changed since the flow began:", *other])
            + "\nbring the one back that it began with and go on with resume, or start over with --force"
        )


def _failures(
    plan: Plan, run: SharedRun, names: Sequence[str], reports: Sequence[ShardReport], lost: Mapping[int, str]
) -> list[Failure]:
    """The slides that could not be looked at, in the order of the slides.

    Raises:
        SporeYoloError: A slide is in no shard or in two, or it is neither done nor failed, or both.
    """
    dealt_out = Counter(name for shard in plan.shards for name in shard.slides)
    failed = {failure.slide: failure for report in reports for failure in report.failures}
    for number, reason in lost.items():
        for name in plan.shards[number - 1].slides:
            if not run.is_done(name):
                failed[name] = Failure(name, f"its shard, {number} of {len(plan.shards)}, failed: {reason}")
    wrong = {
        "in no shard": [name for name in names if name not in dealt_out],
        "in several shards": [name for name, count in dealt_out.items() if count > 1],
        "in a shard, but not in the run": sorted(set(dealt_out) - set(names)),
        "neither looked at nor failed": [name for name in names if name not in failed and not run.is_done(name)],
        "both looked at and failed": [name for name in failed if run.is_done(name)],
    }
    lines = [f"  {len(slides):,} {what}: {listed(slides, 'slides')}" for what, slides in wrong.items() if slides]
    if lines:
        raise SporeYoloError(
            "\n".join([f"expected each of {len(names):,} slides to be looked at once, found:", *lines])
            + f"\nstart the flow again with run: it goes on with what is kept in {plan.output}.unfinished"
        )
    return [failed[name] for name in names if name in failed]


def _sheets(folder: Path, targets: Sequence[str]) -> dict[str, bytes]:
    """First pages of contact sheets, those of targets first, small enough for a card."""
    from PIL import Image

    pages = {path.stem: path for path in sorted(folder.glob("*.jpg"))}
    first = [name for name in pages if re.sub(r"-\d+$", "", name) not in set(pages) - {name}]
    chosen = sorted(first, key=lambda name: name not in targets)[:SHEETS]
    small = {}
    for name in chosen:
        with Image.open(pages[name]) as page:
            page.thumbnail((SHEET_WIDTH, 2 * SHEET_WIDTH))
            stream = BytesIO()
            page.save(stream, "JPEG", quality=80)
        small[name] = stream.getvalue()
    return small


@contextmanager
def _in_words_of_the_configuration() -> Iterator[None]:
    """Lets messages speak of keys of the configuration, not of options of ``spore-yolo predict``."""
    try:
        yield
    except CannotBring as error:
        raise SporeYoloError(str(error)) from None
    except SporeYoloError as error:
        text = str(error).removeprefix("--resume: ")
        error.args = (re.sub(r"--[a-z][a-z-]*", lambda option: KEYS.get(option[0], option[0]), text),)
        raise

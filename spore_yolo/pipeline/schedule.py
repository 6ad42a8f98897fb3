"""When a deployed flow starts by itself: cron in five fields, and what AWS EventBridge makes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import field_validator

from spore_yolo.pipeline.form import Form

WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class CronField:
    """One of the five fields.

    Attributes:
        name: Its name.
        least, most: The numbers that it may hold.
        names: Words for these numbers, from ``least`` on.
    """

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> list[int]:
        """The numbers that a field stands for, in order.

        Args:
            text: Such as ``*``, ``5``, ``1-5``, ``*/15``, ``10-40/10``, ``MON,WED`` or a list of those.

        Raises:
            ValueError: It is none of these, or a number is out of range.
        """
        found: set[int] = set()
        for part in text.split(","):
            match = re.fullmatch(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
            if match is None:
                raise ValueError(f"{self.name}: expected such as *, 5, 1-5 or */15, found {part}")
            star, first, last, step = match.groups()
            start = self.least if star else self._number(first)
            # ``5/15`` begins at 5 and has no end of its own.
            stop = self._number(last) if last else self.most if star or step else start
            if start > stop or step == "0":
                raise ValueError(f"{self.name}: expected a range that goes upwards, found {part}")
            found |= set(range(start, stop + 1, int(step or 1)))
        return sorted(found)

    def _number(self, word: str) -> int:
        if word.upper() in self.names:
            return self.least + self.names.index(word.upper())
        if not word.isascii() or not word.isdigit() or not self.least <= int(word) <= self.most:
            named = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise ValueError(f"{self.name}: expected {self.least} to {self.most}{named}, found {word}")
        return int(word)


FIELDS = (
    CronField("minute", 0, 59),
    CronField("hour", 0, 23),
    CronField("day of the month", 1, 31),
    CronField("month", 1, 12, MONTHS),
    CronField("day of the week", 0, 7, WEEKDAYS),
)


class Schedule(Form):
    """When a deployed flow starts by itself.

    Attributes:
        cron: Minute, hour, day of the month, month, day of the week; ``0 0 * * *`` is midnight.
        timezone: Such as ``Europe/Zurich``; ``None``: UTC. Argo Workflows alone know other zones than UTC.
    """

    cron: str
    timezone: str | None = None

    @field_validator("cron")
    @classmethod
    def _comes(cls, text: str) -> str:
        parts = text.split()
        if len(parts) != len(FIELDS):
            raise ValueError("expected five fields: minute hour day-of-month month day-of-week, as in '0 0 * * *'")
        values, problems = [], []
        for field, part in zip(FIELDS, parts, strict=True):
            try:
                values.append(field.values(part))
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(problems))
        _, _, days, months, _ = values
        if parts[4] == "*" and all(min(days) > LONGEST_MONTHS[month - 1] for month in months):
            raise ValueError(f"expected a day that comes: no such month has a day {min(days)}")
        return " ".join(parts)

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        from zoneinfo import available_timezones

        if name is not None and name not in available_timezones():
            raise ValueError("expected a time zone such as Europe/Zurich or UTC")
        return name

    @property
    def is_utc(self) -> bool:
        """Whether the cron is meant in UTC."""
        return self.timezone in (None, "UTC")

    def with_plain_weekdays(self) -> str:
        """The same with days of the week as a list of numbers from 0 to 6: Argo Workflows know no 7 for Sunday.

        Source: https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format
        """
        *others, weekday = self.cron.split()
        return self.cron if weekday == "*" else " ".join([*others, ",".join(map(str, _weekdays(weekday)))])

    def eventbridge(self) -> str:
        """The same in the six fields of AWS EventBridge: one of the two kinds of day is ``?``, the year is last.

        Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html

        Raises:
            ValueError: Both kinds of day are restricted. Cron then starts on either, which EventBridge cannot say.
        """
        minute, hour, day, month, weekday = (
            part.upper() if part == "*" else re.sub(r"\*", str(field.least), part.upper())
            for part, field in zip(self.cron.split(), FIELDS, strict=True)
        )
        if weekday == "*":
            return f"{minute} {hour} {day} {month} ? *"
        if day != "*":
            raise ValueError(
                "expected a day of the month or a day of the week, found both: AWS EventBridge, which starts flows on"
                " Step Functions, cannot say 'either of them'"
            )
        # Numbers of weekdays begin with 1 there and with 0 here: names mean the same in both.
        return f"{minute} {hour} ? {month} {','.join(WEEKDAYS[number] for number in _weekdays(weekday))} *"


def _weekdays(field: str) -> list[int]:
    """The days of the week that a field stands for, Sunday as 0."""
    return sorted({number % 7 for number in FIELDS[4].values(field)})

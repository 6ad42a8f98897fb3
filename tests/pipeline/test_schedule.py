from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from spore_yolo.pipeline.schedule import FIELDS, Schedule


@pytest.mark.parametrize(
    ("cron", "eventbridge"),
    [
        ("0 0 * * *", "0 0 * * ? *"),  # midnight
        ("0 2 * * 0", "0 2 ? * SUN *"),  # EventBridge counts Sunday as 1, cron as 0 or 7
        ("0 2 * * 7", "0 2 ? * SUN *"),
        ("0 18 * * 1-5", "0 18 ? * MON,TUE,WED,THU,FRI *"),  # "Monday through Friday" of the AWS manual
        ("0 18 * * mon-fri", "0 18 ? * MON,TUE,WED,THU,FRI *"),
        ("0 0 * * 5-7", "0 0 ? * SUN,FRI,SAT *"),  # over the end of the week
        ("0 0 * * 0-7", "0 0 ? * SUN,MON,TUE,WED,THU,FRI,SAT *"),
        ("0 0 * * */2", "0 0 ? * SUN,TUE,THU,SAT *"),
        ("0 8 1 * *", "0 8 1 * ? *"),  # "first day of the month" of the AWS manual
        ("*/15 * * * *", "0/15 * * * ? *"),  # "every 15 minutes" of the AWS manual
        ("5-55/10 6,18 */10 jan-mar *", "5-55/10 6,18 1/10 JAN-MAR ? *"),
        ("0  0 * *  *", "0 0 * * ? *"),
    ],
)
def test_cron_is_written_as_eventbridge_reads_it(cron: str, eventbridge: str) -> None:
    assert Schedule(cron=cron).eventbridge() == eventbridge


@pytest.mark.parametrize(
    ("cron", "plain"),
    [
        ("0 0 * * *", "0 0 * * *"),
        ("0 2 * * 7", "0 2 * * 0"),  # robfig/cron, of which Argo is made, has no 7 and would never start
        ("0 2 * * 5-7", "0 2 * * 0,5,6"),
        ("0 2 * * sat,7", "0 2 * * 0,6"),
        ("0 2 * * mon-fri", "0 2 * * 1,2,3,4,5"),
        ("0 2 * * 0-7", "0 2 * * 0,1,2,3,4,5,6"),
        ("*/5 2 1 jan */2", "*/5 2 1 jan 0,2,4,6"),
    ],
)
def test_days_of_the_week_go_from_0_to_6(cron: str, plain: str) -> None:
    assert Schedule(cron=cron).with_plain_weekdays() == plain


def test_a_day_of_the_month_and_one_of_the_week_cannot_be_said_to_eventbridge() -> None:
    schedule = Schedule(cron="0 0 1 * 1")  # cron: on the first, and on every Monday
    with pytest.raises(ValueError, match="found both"):
        schedule.eventbridge()


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("99 0 * * *", "minute: expected 0 to 59, found 99"),
        ("60 24 0 13 8", "minute: .* hour: .* day of the month: .* month: .* day of the week: "),  # all at once
        ("0 0 * *", "expected five fields"),
        ("0 0 * * ? *", "expected five fields"),  # EventBridge's own form
        ("0 0 * * ?", "day of the week: expected such as"),
        ("0 0 L * *", "day of the month: expected 1 to 31, found L"),
        ("0 0 * FOO *", "month: expected 1 to 12, or JAN to DEC, found FOO"),
        ("30-10 0 * * *", "minute: expected a range that goes upwards, found 30-10"),
        ("*/0 0 * * *", "minute: expected a range that goes upwards"),
        ("0 0 31 2,4 *", "expected a day that comes"),
        ("-1 0 * * *", "minute: expected such as"),
        ("1, 0 * * *", "minute: expected such as"),
        ("٣ 0 * * *", "minute: expected 0 to 59"),  # a digit of another script
    ],
)
def test_what_never_starts_or_is_no_cron_is_refused(cron: str, message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Schedule(cron=cron)
    assert re.search(message, str(error.value))


def test_days_that_come_in_some_month_are_taken() -> None:
    assert Schedule(cron="0 0 31 2,3 *").cron == "0 0 31 2,3 *"
    assert Schedule(cron="0 0 29 2 *").cron == "0 0 29 2 *"


def test_the_numbers_of_a_field() -> None:
    minute, *_, weekday = FIELDS
    assert minute.values("*") == list(range(60))
    assert minute.values("50/5") == [50, 55]
    assert minute.values("3,1-2,2") == [1, 2, 3]
    assert minute.values("10-20/5") == [10, 15, 20]
    assert weekday.values("Sun,sat") == [0, 6]


def test_a_time_zone_is_one_that_there_is() -> None:
    assert Schedule(cron="0 0 * * *").is_utc
    assert Schedule(cron="0 0 * * *", timezone="UTC").is_utc
    assert not Schedule(cron="0 0 * * *", timezone="Europe/Zurich").is_utc
    with pytest.raises(ValidationError, match="expected a time zone such as"):
        Schedule(cron="0 0 * * *", timezone="Mars/Base")

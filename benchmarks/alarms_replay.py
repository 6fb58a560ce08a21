"""Alarms of the opinion monitor beside the usual z-score, on real news with bursts planted in them.

    OMP_NUM_THREADS=1 python benchmarks/alarms_replay.py NEWS.csv

The news have a day, a company, a mood, a title and a text. Those of 2017 to 2019 go through the
machinery of `xinye monitor replay`: store, repeats, counts, a look at every ten minutes that have
documents. Rules stand for the models: the topics are both moods and the KINDS of announcements by
words in the titles; companies by their names. Weeks without news, which this sample has, are cut
out, so that whole weeks remain in their order.

The news have no hours: each gets one between 8:00 and 20:00 in Beijing, drawn anew for each seed.
A burst lasts six hours: beside what is there, (factor - 1) times as many documents of one topic as
it has on a usual day with news. They are real ones of the topic, from another week, as new
documents. Each week after the sixth has one burst, on a day with news, of the topics that have one
document or more on a usual day: six times fewer are no five in four hours. False alarms are counted in
replays without bursts, after the sixth week; one goes on until a day has passed without another.

`z_score` is (count - mean) / standard deviation of the same hours of the last 28 days, the largest
of the windows that the alarm looks at, too, and with five documents at least. `at_equal_delay` is
the largest threshold in quarters that finds six-fold bursts as soon as the alarm does,
`at_equal_found` the largest that finds as many, `at_equal_false_alarms` the smallest with as few
false alarms; `fewer` is how many fewer the alarm has a week. `alarm_of_topics` is our alarm if its
threshold were shared by the topics alone and not by the companies, which seldom have five. Intervals of 95 % are from resampling weeks. The
delay is the median over all bursts, in hours; null if fewer than half are found. Prints one JSON
object last.
"""

import argparse
import csv
import json
import math
import random
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, progress, report

from xinye.apps.monitor import watch
from xinye.apps.monitor.alarms import DAY_HOURS, LOOKS, WINDOWS, Judgement, Series
from xinye.apps.monitor.calibration import Calibrations
from xinye.apps.monitor.documents import HOUR, Analysis
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.apps.monitor.monitor_settings import MonitorSettings
from xinye.apps.monitor.replay import replay
from xinye.apps.monitor.watch import Watch

KINDS = {
    "减持": "减持",
    "增持、回购": "增持|回购",
    "停牌、复牌": "停牌|复牌",
    "重组、收购": "重组|收购",
    "业绩": "净利|业绩|预增|预减|预亏|亏损|年报|季报",
    "中标、合同": "中标|合同",
    "质押": "质押|平仓",
    "监管": "处罚|立案|问询|监管|警示|调查",
}
MOODS = {"0": "负面", "1": "正面"}
ZONE = timezone(timedelta(hours=8))
MORNING, EVENING = 8, 20  # between which news come
BURST = 6  # hours
WARM = 6  # weeks before anything is counted
FAR = 8  # days between a planted document and its original
SETTINGS = MonitorSettings()


@dataclass(frozen=True)
class News:
    day: datetime
    company: str
    mood: str
    title: str
    text: str

    @property
    def topics(self) -> list[str]:
        kinds = [kind for kind, words in KINDS.items() if re.search(words, self.title)]
        return [MOODS[self.mood], *kinds]


@dataclass(frozen=True)
class Burst:
    topic: str
    begin: float


@dataclass(frozen=True)
class Look:
    """One look at a topic: the logarithm of threshold / probability, and the z-score."""

    at: float
    subject: tuple[str, str]
    ours: float
    z: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("news", type=Path)
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    facts = machine("numpy", "scipy")
    news = read_news(options.news)
    usual = usual_days(news)
    subjects = len(usual) + len({each.company for each in news})
    begin, end = news[0].day.timestamp(), news[-1].day.timestamp() + DAY_HOURS * HOUR
    weeks = round((end - begin) / HOUR / DAY_HOURS / 7) - WARM
    quiet, planted = replay_all(news, usual, options.seeds, begin)
    alone = weekly_alarms(quiet, "ours", 0.0, begin, weeks)[0]

    def figures(name: str, threshold: float) -> dict[str, Any]:
        weekly, topics = weekly_alarms(quiet, name, threshold, begin, weeks)
        return {
            "threshold": threshold,
            "a_week": round(float(weekly.mean()), 3),
            "interval": interval(weekly),
            "fewer": interval(weekly - alone),
            "false_alarms": dict(topics.most_common()),
            **{f"x{factor}": delays(each, name, threshold) for factor, each in planted.items()},
        }

    ours = figures("ours", 0.0)
    usually = [figures("z", quarter / 4) for quarter in range(4, 161)]
    delay = ours["x6"]["median_delay"] or math.inf
    soon = [each for each in usually if (each["x6"]["median_delay"] or math.inf) <= delay]
    often = [each for each in usually if each["x6"]["found"] >= ours["x6"]["found"]]
    few = [each for each in usually if each["a_week"] <= ours["a_week"]]
    report(
        benchmark="alarms_replay",
        news=len(news),
        weeks=weeks,
        usual_day={topic: round(mean, 1) for topic, mean in usual.items()},
        subjects=subjects,
        alarm=ours,
        alarm_of_topics=figures("ours", -math.log(subjects / len(usual))),
        z_score={
            "at_3": figures("z", 3.0),
            "at_equal_delay": soon[-1] if soon else None,
            "at_equal_found": often[-1] if often else None,
            "at_equal_false_alarms": few[0] if few else None,
        },
        machine=facts,
    )


# -- the news --------------------------------------------------------------------------------------


def read_news(path: Path) -> list[News]:
    """The news of 2017 and later by day, without the weeks that have none."""
    found = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            year, month, day = map(int, re.findall(r"\d+", row["日期"]))
            found.append(
                News(
                    datetime(year, month, day, tzinfo=ZONE),
                    row["公司"].strip(), row["正负面"], row["标题"].strip(), row["正文"].strip(),
                )
            )  # fmt: skip
    found = sorted((each for each in found if each.day.year >= 2017), key=lambda each: each.day)
    mondays = sorted({monday(each.day) for each in found})
    moved = {old: mondays[0] + timedelta(weeks=place) for place, old in enumerate(mondays)}
    return [
        replace(each, day=moved[monday(each.day)] + (each.day - monday(each.day))) for each in found
    ]


def monday(day: datetime) -> datetime:
    return day - since_monday(day)


def since_monday(day: datetime) -> timedelta:
    return timedelta(days=day.weekday())


def usual_days(news: Sequence[News]) -> dict[str, float]:
    """How many documents a topic has on a day with news."""
    counts = Counter(topic for each in news for topic in each.topics).most_common()
    return {topic: count / len({each.day for each in news}) for topic, count in counts}


def line(each: News, name: str, at: float) -> str:
    published = datetime.fromtimestamp(at, ZONE).isoformat()
    return json.dumps(
        {"id": name, "title": each.title, "text": each.text, "published": published},
        ensure_ascii=False,
    )


def timed(news: Sequence[News], seed: int) -> list[str]:
    draw = random.Random(f"hours {seed}")
    return [
        line(each, str(number), each.day.timestamp() + draw.uniform(MORNING, EVENING) * HOUR)
        for number, each in enumerate(news)
    ]


def plant(
    news: Sequence[News], usual: dict[str, float], factor: int, seed: int
) -> tuple[list[Burst], list[str]]:
    draw = random.Random(f"bursts {seed}")  # both factors have their bursts at the same times
    sizes = np.random.default_rng([seed, factor])
    days = sorted({each.day for each in news})
    frequent = [topic for topic, mean in usual.items() if mean >= 1]
    first = monday(days[0])
    of_week = defaultdict(list)
    for day in days:
        of_week[(day - first).days // 7].append(day)
    bursts, lines, topics = [], [], list[str]()
    for week in sorted(set(of_week) - {*range(WARM)}):
        topics = topics or draw.sample(frequent, len(frequent))  # each before one comes again
        topic, day = topics.pop(), draw.choice(of_week[week])
        begin = day.timestamp() + draw.uniform(MORNING, EVENING - BURST) * HOUR
        count = int(sizes.poisson((factor - 1) * usual[topic]))
        far = [
            each
            for each in news
            if abs((each.day - day).days) >= FAR and topic in each.topics and each.text
        ]
        bursts.append(Burst(topic, begin))
        for number, each in enumerate(draw.sample(far, min(count, len(far)))):
            at = begin + draw.uniform(0, BURST) * HOUR
            lines.append(line(each, f"burst {week} {number}", at))
    return bursts, lines


# -- replays ---------------------------------------------------------------------------------------


def replay_all(
    news: Sequence[News], usual: dict[str, float], seeds: int, begin: float
) -> tuple[list[list[Look]], dict[int, list[tuple[Burst, list[Look]]]]]:
    """The looks of replays without bursts, and by factor the bursts with the looks during them."""
    quiet = []
    planted: dict[int, list[tuple[Burst, list[Look]]]] = {3: [], 6: []}
    for seed in range(1, seeds + 1):
        looks, repeats = replayed(news, timed(news, seed), [])
        quiet.append([each for each in looks if each.at >= begin + WARM * 7 * DAY_HOURS * HOUR])
        progress(f"seed {seed}: {len(looks)} looks, {repeats} repeats")
        for factor, found in planted.items():
            bursts, lines = plant(news, usual, factor, seed)
            looks, repeats = replayed(news, timed(news, seed), lines)
            found += [(burst, during(burst, looks)) for burst in bursts]
            progress(f"seed {seed}, x{factor}: {len(bursts)} bursts, {repeats} repeats")
    return quiet, planted


def replayed(
    news: Sequence[News], lines: Sequence[str], more: Sequence[str]
) -> tuple[list[Look], int]:
    with tempfile.TemporaryDirectory() as temporary, recorded() as looks:
        source = Path(temporary) / "news.jsonl"
        source.write_text("\n".join([*lines, *more]) + "\n", "utf-8")
        folder = MonitorFolder(Path(temporary), SETTINGS, {}, Calibrations())
        store = Path(temporary) / "monitor.db"
        found = replay(folder, [str(source)], store, analyse=rules(news))
        alarms = {(each.at, each.subject) for each in looks if each.ours > 0}
        opened = {(each.opened, (each.kind, each.subject)) for each in found.alerts}
    if not opened <= alarms:
        raise SystemExit("alerts of the replay are not among the looks that were recorded")
    return looks, found.added.repeats


def rules(news: Sequence[News]) -> Callable[[Sequence[tuple[str, str]]], list[Analysis]]:
    known = {each.title: each for each in news}
    companies = {each.company for each in news if len(each.company) > 1}

    def analyse(documents: Sequence[tuple[str, str]]) -> list[Analysis]:
        found = []
        for title, _ in documents:
            topics = known[title].topics if title in known else []
            named = sorted(company for company in companies if company in title)
            found.append(Analysis(tuple((each, 1.0) for each in topics), companies=tuple(named)))
        return found

    return analyse


@contextmanager
def recorded() -> Iterator[list[Look]]:
    """What both methods find, at the moments and from the counts that the watch judges."""
    looks: list[Look] = []
    judged = list[tuple[Series, Judgement]]()
    judge, alarms = watch.judge, Watch._alarms

    def keep(series: Sequence[Series], *rest: Any) -> list[Judgement]:
        found = judge(series, *rest)
        judged.extend(zip(series, found, strict=True))
        return found

    def look(self: Watch, transaction: Any, at: float, subjects: Any) -> Any:
        judged.clear()
        found = alarms(self, transaction, at, subjects)
        hour = int(at // HOUR)
        enough = [
            each
            for each in subjects
            if sum(watch.of_hours(transaction, *each, hour + 1 - max(WINDOWS), hour).values())
            >= self.settings.least
        ]
        since = at - self.settings.history_days * DAY_HOURS * HOUR
        number = watch.count_subjects(transaction, since) if enough else 1
        for subject, (series, judgement) in zip(enough, judged, strict=True):
            ratio = self.settings.threshold(number) / max(judgement.probability, 1e-300)
            ours = math.log(ratio) if judgement.observed >= self.settings.least else -math.inf
            looks.append(Look(at, subject, ours, z_score(series, at)))
        return found

    watch.judge, Watch._alarms = keep, look  # type: ignore[method-assign,assignment]
    try:
        yield looks
    finally:
        watch.judge, Watch._alarms = judge, alarms  # type: ignore[method-assign]


def z_score(series: Series, at: float) -> float:
    """The largest of the windows with enough documents."""
    hour = int(at // HOUR)
    last = (math.floor((at / HOUR - hour) * LOOKS) + 1) / LOOKS
    best = -math.inf
    for window in WINDOWS:
        hours = range(hour + 1 - window, hour + 1)
        observed = sum(series.counts.get(each, 0) for each in hours)
        if observed < SETTINGS.alarm.least:
            continue
        days = [
            sum(series.counts.get(each - day * DAY_HOURS, 0) for each in hours)
            for day in range(1, SETTINGS.alarm.history_days + 1)
        ]
        share = (window - 1 + last) / window
        deviation = max(float(np.std(days, ddof=1)) * math.sqrt(share), 0.5)
        best = max(best, (observed - float(np.mean(days)) * share) / deviation)
    return best


# -- figures ---------------------------------------------------------------------------------------


def during(burst: Burst, looks: Sequence[Look]) -> list[Look]:
    begin, end, subject = burst.begin, burst.begin + BURST * HOUR, ("topic", burst.topic)
    return [each for each in looks if each.subject == subject and begin < each.at <= end]


def delays(
    bursts: Sequence[tuple[Burst, Sequence[Look]]], name: str, threshold: float
) -> dict[str, Any]:
    hours, of_topic = [], defaultdict[str, list[float]](list)
    for burst, looks in bursts:
        first = min(
            (each.at for each in looks if getattr(each, name) > threshold), default=math.inf
        )
        hours.append((first - burst.begin) / HOUR)
        of_topic[burst.topic].append(hours[-1])
    found = np.isfinite(hours)
    median = float(np.median(hours))
    return {
        "found": round(float(found.mean()), 3),
        "found_interval": interval(found.astype(float)),
        "median_delay": round(median, 2) if math.isfinite(median) else None,
        "bursts": len(hours),
        "by_topic": {
            topic: f"{int(np.isfinite(each).sum())} of {len(each)}"
            for topic, each in of_topic.items()
        },
    }


def weekly_alarms(
    replays: Sequence[Sequence[Look]], name: str, threshold: float, begin: float, weeks: int
) -> tuple[np.ndarray, Counter[str]]:
    """False alarms of each week, the mean of the replays, and those of each topic."""
    counts = np.zeros((WARM + weeks + 1, len(replays)))
    topics: Counter[str] = Counter()
    for number, looks in enumerate(replays):
        last: dict[tuple[str, str], float] = {}
        for each in (one for one in looks if getattr(one, name) > threshold):
            if each.at - last.get(each.subject, -math.inf) >= DAY_HOURS * HOUR:
                counts[int((each.at - begin) // (7 * DAY_HOURS * HOUR)), number] += 1
                topics[each.subject[1]] += 1
            last[each.subject] = each.at
    return counts[WARM : WARM + weeks].mean(1), topics


def interval(values: np.ndarray) -> list[float]:
    draw = np.random.default_rng(0)
    means = draw.choice(values, (2000, len(values))).mean(1)
    return [round(float(each), 3) for each in np.percentile(means, [2.5, 97.5])]


if __name__ == "__main__":
    main()

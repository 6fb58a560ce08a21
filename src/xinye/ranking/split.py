"""Splits events into those to train on, and cases in which the next item is to be predicted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xinye.errors import XinyeError
from xinye.ranking.histories import Histories

Kind = Literal["last", "time"]
TENTH = 0.1  # share of the events that a split by time predicts, and again for validation


@dataclass(frozen=True)
class Case:
    """A user's history, and the item that followed."""

    user: int
    history: np.ndarray  # items, oldest first
    target: int


@dataclass(frozen=True)
class Split:
    """Events to train on, and cases for validation and test.

    The history of a test case has its user's validation events in it, too. What only counts is
    counted again for the test, on `training_and_validation`.
    """

    kind: Kind
    training: Histories
    training_and_validation: Histories
    validation: list[Case]
    test: list[Case]


def split_by(kind: Kind, histories: Histories) -> Split:
    """The events split in one of two ways.

    With `last` (leave-last-out) the last event of each user is predicted in the test, and the one
    before it in validation. With `time` a case is the first event of a user in the last tenth of
    all events, or for validation in the tenth before it; so nothing is learned from what came
    later. Raises `XinyeError` if there is nothing to predict.
    """
    if kind == "last":
        lengths = np.diff(histories.starts)
        users, ends = np.flatnonzero(lengths >= 3), histories.starts[1:]
        first, second = last_events(histories, 2), last_events(histories, 1)
        before = histories.kept(~(first & np.isin(histories.users, users)))
        refitted = histories.kept(~(second & np.isin(histories.users, users)))
        validation = cases(histories, users, ends[users] - 2)
        test = cases(histories, users, ends[users] - 1)
    else:
        if histories.times is None:
            raise XinyeError("--split time: the events have no times; leave it out")
        times = np.sort(histories.times)
        borders = [times[int(len(times) * (1 - share * TENTH))] for share in (2, 1)]
        before = histories.kept(histories.times < borders[0])
        refitted = histories.kept(histories.times < borders[1])
        validation = first_events_from(histories, borders[0], borders[1])
        test = first_events_from(histories, borders[1], np.inf)
    if not validation or not test:
        raise XinyeError(
            "there is nothing to evaluate on: no user has three events; give more events"
            if kind == "last"
            else "--split time: no user with earlier events has events at the end; leave it out"
        )
    return Split(kind, before, refitted, validation, test)


def last_events(histories: Histories, count: int) -> np.ndarray:
    """Which events are among the last `count` of their users, a mask (E,)."""
    ends = np.repeat(histories.starts[1:], np.diff(histories.starts))
    return ends - np.arange(histories.event_count) <= count


def cases(histories: Histories, users: np.ndarray, places: np.ndarray) -> list[Case]:
    """The cases in which the events at these places are predicted."""
    return [
        Case(
            int(user), histories.items[histories.starts[user] : place], int(histories.items[place])
        )
        for user, place in zip(users, places, strict=True)
    ]


def first_events_from(histories: Histories, begin: float, end: float) -> list[Case]:
    """For each user with earlier events, the first event between two times as a case."""
    assert histories.times is not None
    found = []
    for user in range(len(histories)):
        start, stop = histories.starts[user], histories.starts[user + 1]
        place = start + np.searchsorted(histories.times[start:stop], begin)
        if start < place < stop and histories.times[place] < end:
            found.append((user, place))
    users, places = np.array(found, np.int64).reshape(-1, 2).T
    return cases(histories, users, places)


def of_items(histories: Histories, items: np.ndarray, most: int, seed: int = 0) -> list[Case]:
    """Cases in which events with some items (n,) of bool are predicted, at most `most`, drawn at
    random. Their histories hold the user's earlier events."""
    users = histories.users
    places = np.flatnonzero(items[histories.items])
    places = places[places > histories.starts[users[places]]]
    places = places[drawn_places(len(places), most, seed)]
    return cases(histories, users[places], places)


def drawn(some: Sequence[Case], most: int) -> Sequence[Case]:
    """These cases, or `most` of them, drawn at random: their order is that of the users in the
    file, and the first ones are the oldest."""
    if len(some) <= most:
        return some
    return [some[place] for place in drawn_places(len(some), most)]


def drawn_places(count: int, most: int, seed: int = 0) -> np.ndarray:
    """At most `most` of the numbers below `count`, drawn at random, in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def targets_of(some: Sequence[Case]) -> np.ndarray:
    """The targets of cases, (B,) int64."""
    return np.array([case.target for case in some], np.int64)

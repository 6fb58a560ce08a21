"""The records of a demo are told apart before anything is learned from them."""

import json

import pytest

from xinye.demo import demo_tasks
from xinye.tasks.questions import documents

GENERATED = {"classify": None, "tag": None, "chat": None, "emotions": "classify"}


@pytest.fixture(params=[(name, language) for name in GENERATED for language in ("zh", "en")])
def parts(request):
    name, language = request.param
    task = GENERATED[name]
    exercise = demo_tasks.exercise_of(task, name) if task else demo_tasks.exercise_of(name)
    return exercise, demo_tasks.parts(exercise, language)


def test_what_is_judged_on_stands_nowhere_in_what_is_learned_from(parts):
    exercise, (training, held_out, new, texts) = parts
    assert (
        len(training) == exercise.training
        and len(held_out) == demo_tasks.HELD_OUT
        and len(new) == 3
    )
    known = {text["text"] for text in texts}
    assert all(exercise.text(record) in known for record in training)
    unseen = [exercise.text(record) for record in [*held_out, *new]]
    assert not known & set(unseen) and len(set(unseen)) == len(unseen)
    assert len({json.dumps(record) for record in training}) == len(training)


def test_each_conversation_that_is_judged_on_asks_something_in_new_words():
    training, held_out, _, _ = demo_tasks.parts(demo_tasks.exercise_of("chat"), "zh")

    def questions(record):
        return {message["content"] for message in record["messages"] if message["role"] == "user"}

    asked = set().union(*map(questions, training))
    assert all(questions(record) - asked for record in held_out)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_question_that_is_judged_on_is_not_learned_from(language):
    training, held_out, new, texts = demo_tasks.parts(demo_tasks.exercise_of("answer"), language)
    asked = [{row["question"] for row in part} for part in (training, held_out, new)]
    assert not asked[0] & asked[1] and not (asked[0] | asked[1]) & asked[2]
    assert [bool(row["answer"]) for row in new] == [True, True, True, False]
    whole = "".join(documents(language).values())
    assert all(text["text"] in whole for text in texts)  # the base reads the documents alone

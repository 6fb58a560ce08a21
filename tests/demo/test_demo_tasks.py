"""The records of a demo are told apart before anything is learned from them."""

import json

import pytest

from xinye.demo import demo_tasks


@pytest.fixture(
    params=[(task, language) for task in ("classify", "tag", "chat") for language in ("zh", "en")]
)
def parts(request):
    return request.param[0], demo_tasks.parts(*request.param)


def test_what_is_judged_on_stands_nowhere_in_what_is_learned_from(parts):
    task, (training, held_out, new, texts) = parts
    assert (
        len(training) == demo_tasks.TRAINING[task]
        and len(held_out) == demo_tasks.HELD_OUT
        and len(new) == 3
    )
    known = {text["text"] for text in texts}
    assert all(demo_tasks.text_of(record) in known for record in training)
    unseen = [demo_tasks.text_of(record) for record in [*held_out, *new]]
    assert not known & set(unseen) and len(set(unseen)) == len(unseen)
    assert len({json.dumps(record) for record in training}) == len(training)


def test_each_conversation_that_is_judged_on_asks_something_in_new_words():
    training, held_out, _, _ = demo_tasks.parts("chat", "zh")

    def questions(record):
        return {message["content"] for message in record["messages"] if message["role"] == "user"}

    asked = set().union(*map(questions, training))
    assert all(questions(record) - asked for record in held_out)

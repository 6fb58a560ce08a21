"""Templates of models are programs of strangers: each that loops, grows or reaches out ends in one
clear line."""

import pytest

from xinye.data import chat
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError

BACKEND = Tokenizer.train(["新叶"], kind="bytes").backend
MESSAGES = [{"role": "user", "content": "新叶"}]


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(chat, "SECONDS", 0.4)


@pytest.mark.parametrize(
    "template, message",
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 0.4 seconds"),
        ("{{ 10 ** (10 ** 9) }}", "more than 0.4 seconds or too much memory"),
        ("{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}", "memory"),
        ("{{ 'a' * 10 ** 10 }}", "too much memory"),
        ("{{ 'a'.ljust(10 ** 10) }}", "too much memory"),
        ("{% for i in range(99999) %}{{ 'x' * 999 }}{% endfor %}", "writes more than 10,000,000 characters"),
        ("{{ range(10 ** 9) | list }}", "Range too big"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ ''.__class__.__base__.__subclasses__() }}", "unsafe"),
        ("{{ namespace(__class__='x') }}", "begin with _"),
        ("{{ raise_exception.__globals__.json }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "unsafe"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% for %}", "Expected"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ messages[9].content.x.y }}", "undefined|no element"),
        ("(" * 9000 + "{{" + "(" * 9000, "."),
    ],
    ids=lambda value: value[:30],
)  # fmt: skip
def test_what_a_template_must_not_do(template, message, fast):
    with pytest.raises(
        XinyeError, match=f"^the model's chat template fails: .*(?:{message})"
    ) as caught:
        Tokenizer(BACKEND, template).encode_chat(MESSAGES)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    # the next one is served
    assert Tokenizer(BACKEND, "{{ messages[0].content }}").encode_chat(MESSAGES)


@pytest.mark.parametrize(
    "message, complaint",
    [
        ({"role": "owner", "content": "新"}, "role is 'owner'"),
        ({"role": "user"}, "content is not a text"),
        ({"role": "user", "content": "\ud800"}, "not valid Unicode"),
    ],
    ids=str,
)
def test_what_is_no_message(message, complaint):
    with pytest.raises(XinyeError, match=complaint):
        Tokenizer(BACKEND).encode_chat([message])

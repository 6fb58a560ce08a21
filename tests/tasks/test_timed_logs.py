"""Logs of QQ, WeChat and WhatsApp as text."""

import pytest

from tasks.test_conversations import read
from xinye.errors import XinyeError

QQ = """消息记录

2026-05-01 9:13:20 张三
在吗

2026-05-01 9:13:30 我
在的
规格：五百克

2026-05-01 9:14:00 我
规格：一斤
"""
WHATSAPP = """01/05/2026, 09:00 - Messages are encrypted.
01/05/2026, 09:00 - Jane Doe: Open?
01/05/2026, 09:01 - Shop: Yes.
Until six.
"""


@pytest.mark.parametrize(
    ("content", "answers", "said", "noted"),
    [
        (QQ, "我", "u 在吗 | a 在的\n规格：五百克\n规格：一斤", "a line above the first message is left out"),
        ("张三 2026年5月1日 09:13\n在吗\n我 2026年5月1日 09:14\n在的\n", "我", "u 在吗 | a 在的", ""),
        ("访客12 2026-05-01 09:13:20\n在吗\n客服小李 2026-05-01 09:14:20\n在的\n", None, "u 在吗 | a 在的", ""),
        (WHATSAPP, "Shop", "u Open? | a Yes.\nUntil six.", "a line with a time but no speaker is left out"),
        ("[5/1/26, 9:00:00 AM] Jane: Open?\n[5/1/26, 9:00:05 AM] Shop: Yes.\n", "Shop", "u Open? | a Yes.", ""),
    ],
    ids=["QQ", "WeChat", "names that say a role", "WhatsApp", "WhatsApp on a Mac"],
)  # fmt: skip
def test_a_log_of_times_and_speakers(workplace, content, answers, said, noted):
    found, notes = read("a.txt", content, assistant_name=answers)
    assert found == [said] and noted in notes
    if answers:
        with pytest.raises(XinyeError, match=rf"who is .*{answers}.*--assistant-name"):
            read("a.txt", content)


def test_a_text_with_a_date_is_none(workplace):
    with pytest.raises(XinyeError, match="expected a speaker"):
        read("a.txt", "2026-05-01 09:13 雨\n\n今天下雨。\n")

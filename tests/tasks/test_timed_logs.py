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


@pytest.mark.parametrize(
    "heads",
    [
        ("2026-05-01 下午 1:00:00 张三\n", "2026-05-01 下午 1:00:30 小李\n"),
        ("[2026/5/1 上午9:00:00] 张三: ", "[2026/5/1 上午9:00:30] 小李: "),
        ("2026/5/1 上午9:00 - 张三: ", "2026/5/1 下午1:01 - 小李: "),
        ("张三 2026年5月1日 上午9:00\n", "小李 2026年5月1日上午9:01\n"),
        ("张三  5月1日 9:00\n", "小李  5月1日 9:01\n"),
    ],
    ids=["QQ", "WhatsApp", "WhatsApp on Android", "WeChat", "DingTalk"],
)
def test_halves_of_a_day_and_days_without_a_year(workplace, heads):
    asks, answers = heads
    log = f"{asks}在吗\n{answers}在的\n5月1日 9:00 开门\n"
    assert read("a.txt", log, assistant_name="小李")[0] == ["u 在吗 | a 在的\n5月1日 9:00 开门"]
    roles = log.replace("张三", "客户").replace("小李", "客服")
    assert read("b.txt", roles)[0] == ["u 在吗 | a 在的\n5月1日 9:00 开门"]


@pytest.mark.parametrize(
    "unsaid",
    ["[图片]", "[语音]", "[图片][图片]", "[文件] a.pdf", "撤回了一条消息", "你撤回了一条消息", "<Media omitted>"],
)  # fmt: skip
def test_what_nobody_says_is_left_out_and_counted(workplace, unsaid):
    log = f"2026-05-01 9:00 客户\n在吗\n2026-05-01 9:01 客服\n在的[微笑]\n2026-05-01 9:02 客服\n{unsaid}\n"
    table = f"会话,角色,内容\n1,客户,在吗\n1,客服,在的[微笑]\n1,客服,{unsaid}\n"
    for name, content in (
        ("a.txt", log), ("b.txt", f"客户：在吗\n客服：在的[微笑]\n{unsaid}\n"), ("c.csv", table),
    ):  # fmt: skip
        said, notes = read(name, content)
        assert said == ["u 在吗 | a 在的[微笑]"] and "left out" in notes


def test_notices_of_a_program_in_a_log(workplace):
    log = "2026-05-01 9:00 客户\n在吗\n2026-05-01 9:01 系统消息(10000)\n小李 加入\n2026-05-01 9:02 客服\n在的\n"
    said, notes = read("a.txt", log)
    assert said == ["u 在吗 | a 在的"] and "notices of the system are left out" in notes

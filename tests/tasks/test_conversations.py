"""Conversations in the formats that people bring: each message keeps its speaker and its place, and
what was read otherwise than it looks is told."""

import json
import shutil
from pathlib import Path

import pytest

from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.tasks.chat import Chat

ASK, REPLY = {"role": "user", "content": "在吗"}, {"role": "assistant", "content": "在的"}
CALL = {"type": "function", "function": {"name": "price", "arguments": '{"tea": "白茶"}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL | {"id": "a"}]}
RESULT = {"role": "tool", "content": "90"}


def read(name, content, **columns):
    """The conversations of a file, each as "u 在吗 | a 在的", and what is told of them."""
    if not isinstance(content, str):
        content = "\n".join(json.dumps(row, ensure_ascii=False) for row in content)
    Path(name).write_text(content, "utf-8")
    notes = Notes()
    records = Chat.read([name], notes=notes, **columns)
    said = [
        " | ".join(
            f"{message['role'][0]} {content}"
            for message, content in zip(record.messages, record.contents, strict=True)
        )
        for record in records
    ]
    return said, " ".join(notes.sentences())


@pytest.mark.parametrize(
    "header", ["问,答", "客户,客服", "问题,答案", "Q,A", " Question ,ANSWER", "user,assistant", "source,target"]
)  # fmt: skip
def test_a_table_of_questions_and_answers(workplace, header):
    assert read("a.csv", f"{header}\n在吗,在的\n") == (["u 在吗 | a 在的"], "")


@pytest.mark.parametrize(
    "header",
    ["用户问题,客服回答", "问题描述,标准答复", "customer question,agent answer", "user_message,bot_reply",
     "userQuery,botResponse", "客户留言,回复内容", "题目,问题答案"],
)  # fmt: skip
def test_columns_are_found_by_words_within_their_names(workplace, header):
    question, answer = header.split(",")
    said, notes = read("a.csv", f"{header}\n在吗,在的\n")
    assert said == ["u 在吗 | a 在的"]
    assert f"{question!r} is read as the question and {answer!r} as the answer" in notes
    wider = f"问题类型,{header},回复时间\n售前,在吗,在的,9:00\n"
    assert read("b.csv", wider)[0] == said


@pytest.mark.parametrize(
    ("content", "there"),
    [
        (
            "用户问题,补充问题,客服回答\n在吗,急,在的\n",
            "There are 用户问题, 补充问题, 客服回答. Name two",
        ),
        ("my col,n,other col\nhi,1,yes\n", "--prompt-field 'my col' --answer-field 'other col'"),
    ],
)
def test_columns_that_may_be_several_are_asked_for_in_a_short_line(workplace, content, there):
    with pytest.raises(XinyeError) as error:
        read("a.csv", content)
    assert there in str(error.value) and len(str(error.value)) < 200


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.txt"])
def test_a_table_without_a_header(workplace, name):
    between = "," if name == "a.csv" else "\t"
    said, notes = read(name, f"在吗{between}在的\n白茶呢{between}九十\n")
    assert said == ["u 在吗 | a 在的", "u 白茶呢 | a 九十"]
    assert "no header: the first column is read as the question" in notes


def test_columns_that_are_named(xinye, workplace):
    content = "标题,答复,answer\n在吗,在的,x\n"
    named = {"prompt_field": "标题", "answer_field": "答复"}
    assert read("a.csv", content, **named)[0] == ["u 在吗 | a 在的"]
    assert read("a.csv", content, prompt_field="标题")[0] == ["u 在吗 | a x"]
    flags = ["--prompt-field", "标题", "--answer-field", "答复"]
    report = json.loads(xinye("data", "check", "a.csv", "--task", "chat", *flags, "--json").out)
    assert " ".join(flags) in report["command"] and report["counts"] == {"user": 1, "assistant": 1}
    outcome = xinye("data", "show", "a.csv", "--task", "chat", "--prompt-field", "问")
    assert outcome.code == 2 and "line 2: no field '问' (--prompt-field)" in outcome.complaint


@pytest.mark.parametrize(
    ("content", "said", "noted"),
    [
        ("会话,角色,内容\n1,顾客,在吗\n2,客服,您好\n1,客服,在的\n2,客户,白茶呢\n2,客服,九十\n",
         ["u 在吗 | a 在的", "a 您好 | u 白茶呢 | a 九十"], ""),
        ("session_id,sender,message,created_at\nx,Agent,在的,2026/1/5 10:00\nx, USER ,在吗,2026/1/5 9:59\n",
         ["u 在吗 | a 在的"], "the messages are sorted by 'created_at' (a.csv, line 2)"),
        ("id,role,content,time\n1,user,在吗,09:05 pm\n1,bot,在的,10:01 am\n",
         ["u 在吗 | a 在的"], "the messages stay in the order of the file: 'time' is '09:05 pm'"),
        ("id,role,content\n1,user,在吗\n1,user,有人吗\n1,bot,在的\n",
         ["u 在吗\n有人吗 | a 在的"], "consecutive messages of one speaker are joined"),
        ("通话ID,角色,文本\n1,客户,在吗\n1,坐席,在的\n", ["u 在吗 | a 在的"], ""),
        ("Session ID,direction,content\n1,in,在吗\n1,out,在的\n", ["u 在吗 | a 在的"], "the value in of 'direction' is read as 'user'"),
    ],
)  # fmt: skip
def test_a_message_in_each_row(workplace, content, said, noted):
    found, notes = read("a.csv", content)
    assert found == said and noted in notes and bool(noted) == bool(notes)


@pytest.mark.parametrize(
    ("header", "times", "compared"),
    [
        ("date,time", ["2026-05-01,23:59", "2026-05-02,0:01"], True),
        ("日期,时间", ["2026年5月9日,9:59", "2026年5月10日,09:00:01"], True),
        ("time", ["2026-05-01T09:00:00+08:00", "2026-05-01T01:00:05.123456789Z"], True),
        ("turn", ["9", "10"], True),
        ("ts", ["1777630000.1", "1777630000.25"], True),
        ("time", ["2026-05-01 上午11:59", "2026年5月1日 下午0:05"], True),
        ("time", ["2026-05-01 12:05 AM", "2026-05-01 11:00 am"], True),
        ("time", ["2026-05-01 1:05 PM", "2026-05-01 14:00"], False),
        ("time", ["11:00 a.m.", "01:00 p.m."], False),
        ("time", ["23:59", "00:01"], False),
        ("time", ["09:00 30/04/2026", "08:00 01/05/2026"], False),
        ("turn", ["1.9", "1.10"], False),
        ("time", ["2026-05-01 09:00", "2026-05-01T01:00:05Z"], False),
        ("time", ["3", "nan"], False),
        ("ts", ["1777630000", "1777630000000"], False),
    ],
)  # fmt: skip
def test_messages_are_sorted_only_by_times_that_are_sure(workplace, header, times, compared):
    rows = [f"1,user,在吗,{times[0]}", f"1,bot,在的,{times[1]}"]
    said, notes = read("a.csv", "\n".join([f"id,role,content,{header}", *rows]))
    assert said == ["u 在吗 | a 在的"]
    assert ("the messages stay in the order" in notes) != compared
    said, notes = read("a.csv", "\n".join([f"id,role,content,{header}", *rows[::-1]]))
    assert (said == ["u 在吗 | a 在的"]) == ("the messages are sorted by" in notes) == compared


def test_an_id_as_a_number_and_as_a_fraction_is_the_same(workplace):
    said, notes = read("a.jsonl", [ASK | {"id": 1}, REPLY | {"id": 1.0}])
    assert (
        said == ["u 在吗 | a 在的"]
        and "the value '1.0' of 'id' is read as '1' (a.jsonl, line 2)" in notes
    )


@pytest.mark.parametrize(
    ("content", "said", "noted"),
    [
        ("客户：在吗\n客服：在的\n请说\n客户: 好\n客服：嗯\n\n用户：hi\n助手：hello\n",
         ["u 在吗 | a 在的\n请说 | u 好 | a 嗯", "u hi | a hello"], ""),
        ("Human: hi\nAI: yes\nSystem: Windows\n---\n**User:** a\n**Assistant:** b\n",
         ["u hi | a yes\nSystem: Windows", "u a | a b"], "a line that begins with a word and a colon continues"),
        ("系统：会话开始\n访客：在吗\n系统：已为您转接\n客服：在的\n\n系统：你回答简短\n访客：好\n系统：好评\n客服：嗯\n",
          ["u 在吗 | a 在的", "s 你回答简短 | u 好 | a 嗯"], "notices of the system are left out (3 times"),
        ("问：一\n答：1\n问题：二\n答案：2", ["u 一 | a 1 | u 二 | a 2"], ""),
        ("Q1: one\nA1: 1\n\nstill\nUser: x\n", ["u one | a 1\n\nstill\nUser: x"], "continues the message before"),
        ("[10:00] 客户：在吗\n2026-05-01 10:01:02 客服：在的\n", ["u 在吗 | a 在的"], "the time before a speaker is dropped"),
        ("User: a\n\nAssistant: b\n\nUser: c\n\nAssistant: d\n", ["u a | a b", "u c | a d"],
         "an empty line follows each message"),
    ],
)  # fmt: skip
def test_lines_of_speakers(workplace, content, said, noted):
    found, notes = read("a.txt", content)
    assert found == said and noted in notes and bool(noted) == bool(notes)


@pytest.mark.parametrize("packed", [False, True])
def test_of_a_folder_all_that_is_not_read_is_told(workplace, packed):
    files = {
        "faq.csv": "问,答\n在吗,在的\n",
        "calls.txt": "客户：能退吗\n客服：能\n",
        "MORE.TXT": "Q: a\nA: b\n",
        "README.md": "# 客服记录\n",
        "README_zh.md": "客服记录一览\n",
        "notes.txt": "三月的记录\n",
        "old.log": "客户：好\n客服：嗯\n",
    }
    Path("desk").mkdir()
    for name, content in files.items():
        Path("desk", name).write_text(content, "utf-8")
    if packed:
        shutil.make_archive("desk", "zip", "desk")
    notes = Notes()
    records = Chat.read(["desk.zip" if packed else "desk"], notes=notes)
    assert [record.messages[0]["content"] for record in records] == ["a", "能退吗", "在吗"]
    kind, text = notes.sentences()
    assert "files of the kind .log are not read (desk" in kind
    assert text.startswith("a text file beside files of records is not read") and "(3 times" in text
    Path("desk/faq.csv").unlink()
    with pytest.raises(XinyeError, match=r"notes.txt, line 1: expected a speaker"):
        Chat.read(["desk"], notes=notes)
    Path("desk/notes.txt").unlink()
    assert len(Chat.read(["desk"])) == 2  # without the READMEs


def test_a_dictionary_of_conversations(workplace):
    talk = {"messages": [{"role": "usr", "content": "在吗"}, {"role": "sys", "content": "在的"}]}
    Path("a.json").write_text(json.dumps({"391": talk, "392": talk}, indent=1))
    notes = Notes()
    records = Chat.read(["a.json"], notes=notes)
    assert [record.place for record in records] == [
        "a.json, line 1, '391'",
        "a.json, line 1, '392'",
    ]
    assert [message["role"] for message in records[1].messages] == ["user", "assistant"]
    assert "the role 'sys' is read as 'assistant' (2 times" in notes.sentences()[0]


@pytest.mark.parametrize(
    ("row", "said", "noted"),
    [
        ({"messages": [{"role": "sys", "content": "短"}, ASK, REPLY]}, "s 短 | u 在吗 | a 在的", "'sys' is read as 'system'"),
        ({"messages": [{"role": " User", "content": "在吗"}, {"role": "Assistant", "content": "在的"}]}, "u 在吗 | a 在的", ""),
        ({"turns": [{"speaker": "USER", "utterance": "在吗"}, {"speaker": "SYSTEM", "utterance": "在的"}]},
         "u 在吗 | a 在的", "'system' is read as 'assistant'"),
        ([ASK, REPLY], "u 在吗 | a 在的", ""),
        (["在吗", "在的"], "u 在吗 | a 在的", "in turn"),
        ({"dialog": ["在吗", "在的", "好"], "act": [1, 2, 3]}, "u 在吗 | a 在的 | u 好", "in turn"),
        ({"messages": [{"message": "在吗"}, {"message": "在的"}]}, "u 在吗 | a 在的", "in turn"),
        ({"conversations": [{"user": "在吗", "assistant": "在的"}]}, "u 在吗 | a 在的", ""),
        ({"conversation": [{"system": "短", "input": "在吗", "output": "在的"}]}, "s 短 | u 在吗 | a 在的", ""),
        ({"id": "1", "data": ["在吗", "在的"]}, "u 在吗 | a 在的", "in turn"),
        ({"conversation": "User: 在吗\nAssistant: 在的"}, "u 在吗 | a 在的", ""),
        ({"text": "### Human: 在吗### Assistant: 在的"}, "u 在吗 | a 在的", ""),
        ({"contents": [{"role": "user", "parts": [{"text": "在吗"}]}, {"role": "model", "parts": [{"text": "在的"}]}]},
         "u 在吗 | a 在的", ""),
        ({"prompt": [ASK], "chosen": [REPLY], "rejected": [REPLY]}, "u 在吗 | a 在的", ""),
        ({"prompt": "在吗", "chosen": [ASK, REPLY], "rejected": [ASK, REPLY]}, "u 在吗 | a 在的", ""),
        ({"chosen": [ASK, REPLY], "rejected": [ASK, REPLY]}, "u 在吗 | a 在的", ""),
        ({"chosen": "\n\nHuman: 在吗\n\nAssistant: 在的\n\n请说", "rejected": "x"}, "u 在吗 | a 在的\n\n请说", ""),
        ({"prompt": "\n\nHuman: 在吗\n\nAssistant:", "response": "在的"}, "u 在吗 | a 在的", ""),
        ({"q": "在吗", "a": "在的"}, "u 在吗 | a 在的", ""),
        ({"input": "在吗", "target": "在的"}, "u 在吗 | a 在的", ""),
        ({"instruction": "在吗", "input": "有茶吗", "output": "在的", "system": "短", "tools": '[{"name": "price"}]',
          "history": [["你好", "您好"]]},
         's 短\n\n<tools>\n{"type": "function", "function": {"name": "price"}}\n</tools> | u 你好 | a 您好 | u 在吗\n有茶吗 | a 在的', ""),
        ({"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "90"}]},
         'u 在吗 | a <tool_call>\n{"name": "price", "arguments": {"tea": "白茶"}}\n</tool_call> | t 90', ""),
        ({"conversations": [{"from": "human", "value": "在吗"}, {"from": "function_call", "value": json.dumps(CALL["function"])},
                            {"from": "observation", "value": "90"}, {"from": "gpt", "value": "在的"}]},
         'u 在吗 | a <tool_call>\n{"name": "price", "arguments": {"tea": "白茶"}}\n</tool_call> | t 90 | a 在的', ""),
        ({"conversations": [{"from": "human", "value": "在吗"}, {"from": "function_call", "value": "{}"},
                            {"from": "observation", "value": "1"}, {"from": "gpt", "value": "在的"}]},
         "u 在吗 | a {} | t 1 | a 在的", "messages of 'function_call' are learned as answers"),
    ],
)  # fmt: skip
def test_a_conversation_in_a_row(workplace, row, said, noted):
    found, notes = read("a.jsonl", [row])
    assert found == [said] and noted in notes


def test_a_bad_answer_is_left_out(workplace):
    good = {"prompt": "在吗", "completion": "在的", "label": True}
    said, notes = read("a.jsonl", [good, good | {"completion": "走开", "label": False}])
    assert (
        said == ["u 在吗 | a 在的"]
        and "'label' is false: the bad answer is left out (a.jsonl, line 2)" in notes
    )


@pytest.mark.parametrize("label", [0, "False", "false", "0"])
def test_a_bad_answer_of_a_table_is_left_out(workplace, label):
    good = {"prompt": "在吗", "completion": "在的", "label": 1}
    said, notes = read("a.jsonl", [good, good | {"completion": "走开", "label": label}])
    assert said == ["u 在吗 | a 在的"] and "'label' is false: the bad answer is left out" in notes
    said, notes = read("a.csv", f"prompt,completion,label\n在吗,在的,True\n在吗,走开,{label}\n")
    assert said == ["u 在吗 | a 在的"] and "'label' is false: the bad answer is left out" in notes


def test_what_stands_behind_the_last_answer_is_told_of(workplace):
    _, notes = read("a.jsonl", [{"messages": [ASK, REPLY, ASK]}, {"messages": [ASK, REPLY]}])
    assert notes == "messages after the last answer are left out (a.jsonl, line 1)"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", [{"question": None, "answer": "在的"}], "field 'question': the question is empty"),
        ("a.jsonl", [{"messages": [ASK, CALLING | {"tool_calls": [{"function": {"name": "a", "arguments": "{city: 北京}"}}]}]}],
         "line 1, field 'messages': message 2 has tool_calls that cannot be read; each needs a name, and arguments"),
        ("a.jsonl", [{"messages": [ASK, CALLING, RESULT | {"tool_call_id": "zz"}, REPLY]}], "line 1: message 3 names the call 'zz'"),
        ("a.jsonl", [{"messages": [ASK, REPLY, RESULT, REPLY]}], "line 1: message 3 is the result of a tool"),
        ("a.jsonl", [ASK, REPLY], "line 1: each row is a message, but no column says of which conversation"),
        ("a.jsonl", [ASK | {"id": 1}, REPLY | {"id": 2}], "'id' differs in every row"),
        ("a.jsonl", [{"id": 1, "parent_id": None, **ASK}, {"id": 1, "parent_id": "1", **REPLY}, {"id": 1, "parent_id": "1", **REPLY}],
         "field 'parent_id': several messages answer the same one"),
        ("a.csv", "标题,答复,备注\n在吗,在的,x\n", "There are 标题, 答复, 备注. Name two, such as --prompt-field 标题 --answer-field 答复"),
        ("a.csv", "id,role,content\n1,user,在吗\n1,,在的\n", "line 3, field 'role': the field is empty"),
        ("a.jsonl", [{"data": [{"question": "在吗", "answer": "在的"}]}], "line 1: expected messages"),
        ("a.txt", "在吗\n客服：在的\n", "line 1: expected a speaker, such as '客户：'"),
        ("a.txt", "客户：在吗\n\n客户：有人吗\n客服：在的\n", "line 1: there is no answer from the assistant"),
    ],
)  # fmt: skip
def test_what_could_mean_two_things_is_refused(workplace, name, content, says):
    with pytest.raises(XinyeError) as error:
        read(name, content)
    assert says in str(error.value)


def test_a_template_that_leaves_out_a_role_is_told_of(workplace):
    from xinye.data.tokenizer import Tokenizer

    calling, tool = CALLING | {"content": "在的"}, {"role": "tool", "content": "九十"}
    Path("a.jsonl").write_text(json.dumps({"messages": [ASK, calling, tool, REPLY]}), "utf-8")
    records = Chat.read(["a.jsonl"])
    tokenizer = Tokenizer.train(["在吗的九十 userassistanttool\n"], kind="char")
    assert list(Chat.token_findings(tokenizer, tokenizer, records, [])) == []
    deaf = str(tokenizer.chat_template).replace(
        "messages %}", "messages if message.role != 'tool' %}"
    )
    [finding] = Chat.token_findings(tokenizer.with_template(deaf), tokenizer, records, [])
    assert (
        finding
        == "the model's chat template leaves out messages of the role 'tool': first a.jsonl, line 1"
    )


@pytest.mark.parametrize(
    ("name", "content", "said", "noted"),
    [
        ("a.txt", "客户：在吗\n客服小李: 在的\n客服电话：1\n", ["u 在吗 | a 在的\n客服电话：1"], "'客服小李' is read as 'assistant'"),
        ("a.txt", "Customer 7: hi\nAgent Kim: yes\n", ["u hi | a yes"], "'Agent Kim' is read as"),
        ("a.txt", "坐席001：您好\n客户-王：在吗\n", ["a 您好 | u 在吗"], "'客户-王' is read as 'user'"),
        ("a.csv", "会话,发送人,内容\n1,买家,在吗\n1,客服小李,在的\n", ["u 在吗 | a 在的"], "'客服小李' is read as"),
    ],
)  # fmt: skip
def test_a_name_beside_the_role(workplace, name, content, said, noted):
    found, notes = read(name, content)
    assert found == said and noted in notes


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "客户：在吗\n小李：在的\n客户：好\n小李：嗯\n"),
        ("b.txt", "小李：您好\n张三：在吗\n小李：在的\n张三：好\n"),
        ("a.csv", "会话,发送人,内容\n1,张三,在吗\n1,小李,在的\n1,小李,请说\n"),
    ],
)
def test_who_answers_is_said_by_name(workplace, name, content):
    with pytest.raises(XinyeError, match=r"'小李' \(2\).*--assistant-name"):
        read(name, content)
    found, _ = read(name, content, assistant_name="小李")
    assert "u 在吗 | a 在的" in found[0]


def test_nothing_is_lost_where_no_record_is_left(xinye, workplace):
    Path("a.txt").write_text("客户：在吗\n小李：在的\n", "utf-8")
    assert "who is '小李' (1)?" in xinye("data", "check", "a.txt", "--task", "chat").complaint

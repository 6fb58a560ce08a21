"""Conversations as programs of help desks and chats export them."""

import json

import pytest

from tasks.test_conversations import read
from xinye.errors import XinyeError

JANE, ANN = {"type": "user", "name": "Jane"}, {"type": "admin", "name": "Ann"}


def node(parent, children, role, text):
    message = role and {"author": {"role": role}, "content": {"parts": [text]}}
    return {"parent": parent, "children": children, "message": message}


CHATGPT = {
    "title": "Open",
    "current_node": "d",
    "mapping": {
        "a": node(None, ["b"], "", ""),
        "b": node("a", ["c", "d"], "user", "Open?"),
        "c": node("b", [], "assistant", "No."),
        "d": node("b", [], "assistant", "Yes."),
    },
}
CLAUDE = {
    "uuid": "1",
    "chat_messages": [
        {"sender": "human", "text": "Open?"},
        {"sender": "assistant", "text": "Yes."},
    ],
}
INTERCOM = {
    "source": {"body": "<p>Open?</p>", "author": JANE},
    "conversation_parts": {
        "conversation_parts": [
            {"part_type": "note", "body": "<p>a friend</p>", "author": ANN},
            {"part_type": "comment", "body": "<p>Yes.</p>", "author": ANN},
            {"part_type": "close", "body": None, "author": ANN},
        ]
    },
}
ZENDESK = {
    "id": 1,
    "requester_id": 7,
    "comments": [
        {"author_id": 7, "body": "Open?", "public": True},
        {"author_id": 9, "body": "a friend", "public": False},
        {"author_id": 9, "body": "Yes.", "public": True},
    ],
}


@pytest.mark.parametrize(
    ("export", "noted"),
    [
        (CHATGPT, "a conversation has several versions: the one shown last is read"),
        (CLAUDE, ""),
        (INTERCOM, "internal notes, which the customer does not see, are left out"),
        (ZENDESK, "internal notes, which the customer does not see, are left out"),
    ],
    ids=["ChatGPT", "Claude", "Intercom", "Zendesk"],
)
def test_an_export_in_json(workplace, export, noted):
    for name, rows in (("a.jsonl", [export]), ("a.json", json.dumps([export, export]))):
        said, notes = read(name, rows)
        assert set(said) == {"u Open? | a Yes."} and noted in notes


@pytest.mark.parametrize(
    "odd",
    [
        {"mapping": {"a": 1}},
        {"mapping": {"a": {"message": 1}}},
        {"conversation_parts": {"conversation_parts": [1]}},
        {"comments": [1], "requester_id": 1},
    ],
)
def test_what_only_looks_like_one_is_refused_in_a_line(workplace, odd):
    with pytest.raises(XinyeError, match=r"a.jsonl, line 1"):
        read("a.jsonl", [odd])


@pytest.mark.parametrize("name", ["通话内容", "聊天记录", "Transcript"])
def test_a_conversation_in_a_cell(workplace, name):
    said, _ = read(
        "a.csv", f'编号,{name}\n1,"客户：在吗\n客服：在的"\n2,"客户：白茶呢\n客服：九十"\n'
    )
    assert said == ["u 在吗 | a 在的", "u 白茶呢 | a 九十"]
    named = f'编号,{name}\n1,"张三：在吗\n小李：在的"\n'
    assert read("b.csv", named, assistant_name="小李")[0] == ["u 在吗 | a 在的"]
    with pytest.raises(XinyeError, match=r"see --assistant-name"):
        read("b.csv", named)


@pytest.mark.parametrize(
    ("content", "noted"),
    [
        ("Type,IsSender,CreateTime,StrContent,TalkerId\n1,0,1700000000,在吗,5\n3,0,1700000001,<img/>,5\n1,1,1700000002,在的,5\n",
         ["the 'IsSender' 1 is read as 'assistant'", "messages with 'Type' '3', which are not text, are left out"]),
        ("type_name,is_sender,room_name,msg\n文本,0,x,在吗\n图片,0,x,a.jpg\n文本,1,x,在的\n",
         ["messages with 'type_name' '图片', which are not text, are left out"]),
        ("ticket_id,author_role,body,public\n1,end-user,在吗,true\n1,agent,内部,false\n1,agent,在的,true\n",
         ["messages with 'public' false, which the customer does not see, are left out"]),
        ("会话ID,发送方,消息类型,消息内容\n1,访客,文本,在吗\n1,访客,图片,a.jpg\n1,客服,文本,在的\n",
         ["messages with '消息类型' '图片', which are not text, are left out"]),
    ],
    ids=["WeChat", "WeChat by PyWxDump", "Zendesk's comments", "客服系统"],
)  # fmt: skip
def test_a_log_in_a_table(workplace, content, noted):
    said, notes = read("a.csv", content)
    assert said == ["u 在吗 | a 在的"]
    assert all(note in notes for note in noted)

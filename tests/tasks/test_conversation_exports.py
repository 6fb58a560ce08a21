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
         ["the value 1 of 'IsSender' is read as 'assistant'", "messages with 'Type' '3', which are not text, are left out"]),
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


def message(role, **content):
    return {"author": {"role": role}, "content": content}


def chatgpt(**nodes):
    """An export of nodes, each of which answers the one before."""
    names = [*nodes]
    tree = {
        name: {
            "message": nodes[name],
            "parent": names[at - 1] if at else None,
            "children": names[at + 1 : at + 2],
        }
        for at, name in enumerate(names)
    }
    return {"mapping": tree, "current_node": names[-1]}


ASKED = message("user", parts=["hi"])
ANSWERED = message("assistant", parts=["a cup"])
FILES = "pictures and other files in messages are not read"


@pytest.mark.parametrize(
    ("export", "noted"),
    [
        (chatgpt(a=ASKED, b=message("user", content_type="code", text="what is it?"), c=ANSWERED),
         "messages without text, such as tool calls, are left out"),
        (chatgpt(a=ASKED | {"metadata": {"attachments": [{"name": "a.pdf"}]}}, c=ANSWERED), FILES),
        ({"source": {"body": "<p>hi</p>", "author": {"type": "user"}}, "conversation_parts": {"conversation_parts": [
            {"body": "<img src='a.png'>", "author": {"type": "user"}},
            {"body": "a cup", "author": {"type": "admin"}}]}}, FILES),
        ({"requester_id": 7, "comments": [
            {"author_id": 7, "body": "hi", "attachments": [{"file": "a.png"}]},
            {"author_id": 9, "body": "a cup"}]}, FILES),
        ({"requester_id": 7, "subject": "Cup", "comments": [
            {"author_id": 7, "body": "hi"}, {"author_id": 9, "body": "a cup"}]},
         "the field 'subject' is not read"),
    ],
    ids=["no text", "file in ChatGPT", "Intercom", "Zendesk", "subject"],
)  # fmt: skip
def test_what_an_answer_is_about_is_noted_where_it_is_not_read(workplace, export, noted):
    said, notes = read("a.json", json.dumps([export]))
    assert said == ["u hi | a a cup"]
    assert noted in notes


def test_a_hidden_message_and_a_circle_in_an_export(workplace):
    hidden = message("system", parts=["rules"]) | {
        "metadata": {"is_visually_hidden_from_conversation": True}
    }
    export = chatgpt(a=ASKED, b=hidden, c=ANSWERED)
    assert read("a.json", json.dumps([export]))[0] == ["u hi | a a cup"]
    export["mapping"]["a"]["parent"] = "c"
    assert read("a.json", json.dumps([export]))[0] == ["u hi | a a cup"]


@pytest.mark.parametrize(
    "head",
    ["id,chat", "编号,通话记录", "工单,客户与客服对话内容", "no,customer_agent_text"],
)
def test_a_column_of_conversations_with_another_name(workplace, head):
    said, _ = read("a.csv", f'{head}\n1,"客户：在吗\n客服：在的"\n2,"客户：白茶呢\n客服：九十"\n')
    assert said == ["u 在吗 | a 在的", "u 白茶呢 | a 九十"]


@pytest.mark.parametrize(
    "text", ["id,chat\n1,hello there\n2,how are you\n", "n,user_ai_message\n1,hello\n2,hi\n",
             "ticket,dialog_text\nT-1,hello\nT-2,hi\n"],
)  # fmt: skip
def test_an_id_is_no_question_and_no_text_its_own_answer(workplace, text):
    with pytest.raises(XinyeError, match="which columns hold the question"):
        read("a.csv", text)


def test_a_speaker_with_the_words_of_two_roles_is_asked_for(workplace):
    text = "session_id,speaker,text\n1,客户小王,在吗\n1,医生助理,在的\n"
    assert read("a.csv", text)[0] == ["u 在吗 | a 在的"]
    with pytest.raises(XinyeError, match="who is '客户转客服'"):
        read("a.csv", text.replace("医生助理", "客户转客服"))

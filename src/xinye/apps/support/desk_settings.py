"""The settings of a desk that a person edits, `desk.toml`, and the models of its roles,
`models.toml`."""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from xinye.apps.models_file import comment, commented, read_as
from xinye.data.scripts import HAN
from xinye.retrieval.format import Format
from xinye.runs.words import Both

KIND, VERSION = "xinye desk", 1
SETTINGS = "desk.toml"
ROLES = {  # each with what it does
    "intents": Both("says what a question is about", "判断问题的意图"),
    "answer": Both("quotes the answer from a passage", "从段落中摘出答案"),
    "relations": Both(
        "finds what a question asks of the knowledge graph", "判断问题问的是知识图谱中的哪种关系"
    ),
    "mood": Both("notices angry customers", "识别情绪激动的顾客"),
    "entities": Both("finds names and addresses, to mask them", "找出姓名和地址，以便脱敏"),
    "chat": Both("writes answers from passages", "根据段落写出答案"),
}
# People edit a desk, so it is not to be replaced as a whole because one of its files is damaged.
AGAIN = (
    "copy the folder of the desk, to lose nothing; then correct this file, or take that of a "
    "backup or of a new desk: xinye support prepare LOGS -o NEW"
)

FORMAT = Format(
    KIND, VERSION, "this is not the settings of a desk (kind is not 'xinye desk')", AGAIN
)


class DeskSettings(BaseModel):
    """What a person decides about a desk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = KIND
    version: int = VERSION
    company: str = ""
    bot: str = ""
    languages: tuple[Literal["zh", "en"], ...] = Field(("zh", "en"), min_length=1)
    precision: float = Field(0.95, ge=0.5, le=0.99)
    precision_documents: float = Field(0.95, ge=0.5, le=0.99)
    misses: int = Field(2, ge=1, le=10)
    forbidden: tuple[str, ...] = ()
    person_words: tuple[str, ...] = ()
    angry: tuple[str, ...] = ("anger", "angry", "愤怒", "生气")
    graph: str = ""
    claim_minutes: float = Field(10, gt=0)
    retention_days: int = Field(180, ge=1)

    def bot_is(self, language: str) -> str:
        """Who the bot is, as it says behind "I am"."""
        known = _BOT_OF if self.company else _BOT
        what = getattr(known, language).replace("{company}", self.company)
        if language == "zh":
            return _BETWEEN_SCRIPTS.sub(" ", what + self.bot)
        return f"{self.bot}, {what}" if self.bot else what


_BOT = Both("an automatic assistant", "智能客服")
_BOT_OF = Both("the automatic assistant of {company}", "{company}的智能客服")
_BETWEEN_SCRIPTS = re.compile(rf"(?<=[!-~])(?=[{HAN}])|(?<=[{HAN}])(?=[!-~])")
TITLE = Both(
    "The settings of this desk. A server that runs reads changes within a second.",
    "客服台的设置。运行中的服务会在一秒左右读取修改。",
)
COMMENTS = {
    "company": Both("name of the company, as customers read it", "公司名称，顾客会看到"),
    "bot": Both("name of the bot", "智能客服的名字"),
    "languages": Both(
        "languages of the pages, the first is the default", "页面语言，第一个是默认语言"
    ),
    "precision": Both(
        "share of the bot's answers that must be right", "智能客服的答案中，正确的比例至少是多少"
    ),
    "precision_documents": Both(
        "the same, of the answers that quote documents", "引用文档的答案，正确的比例至少是多少"
    ),
    "misses": Both(
        "questions without an answer until a person takes over", "连续几次答不上来就转人工"
    ),
    "forbidden": Both(
        "topics that the bot leaves to a person: words of a question",
        "智能客服不回答、直接转人工的话题：问题里的词",
    ),
    "person_words": Both("more words that ask for a person", "还有哪些说法表示要转人工"),
    "angry": Both(
        "labels of the mood model that mean an angry customer",
        "情绪模型的哪些标签表示顾客生气",
    ),
    "graph": Both(
        "file of triples to answer from, relative to this folder",
        "用来回答问题的三元组文件，相对于本目录",
    ),
    "claim_minutes": Both(
        "minutes until an operator's silence gives a conversation back",
        "客服多少分钟没有回复，会话就转回排队",
    ),
    "retention_days": Both("days until messages are deleted", "消息保留多少天后删除"),
}


def write_settings(path: Path, settings: DeskSettings) -> None:
    """Write the settings, each below what it means."""
    values = settings.model_dump(mode="json")
    lines = [*comment(TITLE), "", *commented(values, COMMENTS), ""]
    path.write_text("\n".join(lines), "utf-8", "backslashreplace")


def read_settings(path: Path) -> DeskSettings:
    """The settings in a file. Raises `XinyeError` that names the line or the key that is wrong."""
    return read_as(path, DeskSettings, FORMAT)

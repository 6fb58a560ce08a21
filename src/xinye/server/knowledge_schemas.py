"""The fields of requests and answers about knowledge bases and graphs, and of the task `answer`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from xinye.retrieval.search import LONGEST_QUESTION
from xinye.server.bodies import Body
from xinye.server.messages import Message
from xinye.server.schemas import NonEmpty, Request, Several

MOST_FOUND = 50  # passages that a search returns
MOST_READ = 20  # passages that are read for an answer
MOST_EARLIER = 20_000  # characters of the messages before a question


def not_blank(question: str) -> str:
    """The question. Raises `ValueError` if there is only space in it."""
    if not question.strip():
        raise ValueError("the question is empty")
    return question


Question = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST_QUESTION),
    AfterValidator(not_blank),
]
SomePassages = Field(min_length=1, max_length=MOST_READ, fail_fast=True)
KNOWLEDGE = (
    "name of a knowledge base, as /v1/knowledge lists it; may be left out if there is only one"
)


# -- requests ----------------------------------------------------------------------------------


class SearchRequest(Body):
    """Either `query` or `question`."""

    knowledge: str | None = Field(None, description=KNOWLEDGE)
    query: Question | None = None
    question: Question | None = Field(None, description="another name of query")
    n: int | None = Field(None, ge=1, le=MOST_FOUND, description="passages at most (5)")


class AnswerRequest(Request):
    """Answers come from `passage` if it is given, else from a knowledge base. A model that finds
    the relations of questions answers from the server's graph."""

    input: Question | Annotated[list[Question], Several] = Field(
        description="a question, or several"
    )
    passage: NonEmpty | Annotated[list[NonEmpty], SomePassages] | None = Field(
        None, description="a text that answers, or several; not together with knowledge"
    )
    knowledge: str | None = Field(None, description=KNOWLEDGE)
    n: int | None = Field(
        None,
        ge=1,
        le=MOST_READ,
        description="passages of the knowledge base to find for each question (5)",
    )
    earlier: Annotated[list[Message], Field(max_length=50, fail_fast=True)] | None = Field(
        None,
        description="messages before the question, of which the entity may be meant; only for a "
        "graph",
    )


# -- answers -----------------------------------------------------------------------------------


class Knowledge(BaseModel):
    name: str
    object: Literal["knowledge"] = "knowledge"
    documents: int = Field(description="documents that can answer")
    passages: int = Field(description="their passages")


class KnowledgeList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Knowledge]


class Passage(BaseModel):
    text: str
    score: float = Field(description="compares the passages of one question; it is no probability")
    file: str = Field(
        description="its path below the folder that all files of the knowledge base share"
    )
    title: str = Field(description="of the document")
    section: str = Field(description="the headings above the passage, or the article of a law")
    line: int | None = Field(description="of the file; null if the file has no lines")
    offset: int = Field(description="where the passage begins in the document, in characters")


class SearchAnswer(BaseModel):
    object: Literal["list"] = "list"
    knowledge: str
    data: list[Passage] = Field(description="the best first")


class QuestionAnswer(BaseModel):
    question: str
    text: str = Field(description="words of the passage; empty if there is no answer")
    sentence: str = Field(description="the sentence of the passage that has them")
    confidence: float = Field(description="from 0 to 1")
    refused: str = Field(description="why there is no answer; empty if there is one")
    source: Passage | None = Field(description="the passage that answers")
    found: list[Passage] = Field(description="the passages that were found, the best first")
    left_out: int = Field(
        description="tokens at the end of a long question that the model did not read"
    )


class GraphFact(BaseModel):
    head: str
    relation: str
    tail: str
    file: str = Field(description="its path below the folder of the graph")
    line: int


class GraphRequest(BaseModel):
    entity: str
    relation: str
    value: str = Field(description="what a question asks about; empty if it asks for all values")
    facts: list[GraphFact] = Field(description="the triples that answer")


class GraphQuestionAnswer(BaseModel):
    question: str
    text: str = Field(description="in the language of the question; empty if there is no answer")
    requests: list[GraphRequest] = Field(description="what the question asks for")
    probabilities: list[float] = Field(description="of the relations that the model found")
    refused: str = Field(description="why there is no answer; empty if there is one")


class AnswerList(BaseModel):
    object: Literal["list"] = "list"
    model: str
    task: Literal["answer"] = "answer"
    data: list[QuestionAnswer | GraphQuestionAnswer] = Field(description="one for each question")

"""The bodies of requests to a desk's server."""

from pydantic import Field

from xinye.server.bodies import Body

MOST = 100_000  # characters of any text; the store has lower limits of its own
OPERATOR = 64  # characters of an operator's name


class BeginRequest(Body):
    """A new conversation. `account` is that of a customer who has one. Only the shop's own server
    may give it, with the operator key."""

    account: str = Field("", max_length=MOST)


class MessageRequest(Body):
    """A message of a customer. It is written once for each `client_id`."""

    text: str = Field(max_length=MOST)
    client_id: str = Field("", max_length=MOST)


class FeedbackRequest(Body):
    """A thumb for the answer with this number, and perhaps the right text."""

    message: int = Field(ge=1, lt=2**53)
    good: bool
    text: str = Field("", max_length=MOST)
    operator: str = Field("", max_length=OPERATOR)


class OperatorRequest(Body):
    """Something that an operator does, by name."""

    operator: str = Field(min_length=1, max_length=OPERATOR)


class CloseRequest(Body):
    """An operator gives a name; a customer does not."""

    operator: str = Field("", max_length=OPERATOR)


class ReplyRequest(OperatorRequest):
    """A reply of an operator. `suggestion` is the suggested text that was sent or edited."""

    text: str = Field(max_length=MOST)
    suggestion: str = Field("", max_length=MOST)
    client_id: str = Field("", max_length=MOST)


class ApproveRequest(OperatorRequest):
    """`text` is the right answer, if it is another one."""

    text: str = Field("", max_length=MOST)


class DocumentRequest(Body):
    """A document in Markdown."""

    text: str

"""`Limits`: how much a customer may send, and for how long things are kept."""

from dataclasses import asdict, dataclass

from xinye.errors import XinyeError


@dataclass(frozen=True)
class Limits:
    """The limits of a desk. Raises `XinyeError` for one that is not above zero."""

    message_characters: int = 2_000
    reply_characters: int = 20_000  # of the bot and of operators
    id_characters: int = 200  # of what others give: accounts, ids of messages, names of operators
    messages: int = 200  # in a conversation, after which the customer begins another
    open_conversations: int = 10_000
    open_per_account: int = 20
    page: int = 200  # messages, conversations or entries of the log in one answer
    turns: int = 20  # messages that the bot sees
    claim_minutes: float = 10.0  # without a reply, until a conversation waits again
    answer_seconds: float = 120.0  # until another worker tries to answer
    answer_tries: int = 3  # until a person is asked instead
    empty_hours: float = 1.0  # until a conversation that nobody has written in is closed
    idle_hours: float = 72.0  # until a conversation without messages is closed
    retention_days: float = 180.0  # until a conversation without messages is deleted

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise XinyeError(f"{name}: {value} is too small; use more than 0")

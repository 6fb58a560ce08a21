"""The task `text`: more text, which is what pretraining does; so it has no records, and its
settings become those."""

from xinye.errors import XinyeError
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.runs.words import TaskWords
from xinye.tasks.task import Task


class MoreText(Task):
    """Going on with pretraining."""

    verb = "text"
    writes = True
    continues_text = True
    figures = ()  # pretraining has its own
    words = TaskWords(unit="tokens", command='xinye generate {folder} "…"')
    columns = ("text_field",)
    unused_settings = ("attention", "augment", "validation")

    @classmethod
    def check_settings(cls, settings: FinetuneSettings) -> None:
        super().check_settings(settings)
        if settings.method != "full":
            raise XinyeError(
                f"the task text trains all weights; the method {settings.method} is for the other "
                f"tasks"
            )

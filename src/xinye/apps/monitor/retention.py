"""`Retention`: what is older than it may be."""

from dataclasses import dataclass

from xinye.apps.monitor.archive import Archive
from xinye.apps.monitor.documents import DAY

AT_ONCE = 1_000  # documents in a transaction, so that nobody waits for long


@dataclass(frozen=True)
class Tidied:
    """What `Retention.tidy` did: of how many documents it deleted the texts."""

    documents: int


class Retention:
    """Deletes texts. What was counted stays counted: the labels of a document stay, too, and its
    key, so that it does not come again."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def tidy(self) -> Tidied:
        """Delete the title, text and link of documents that were fetched more than
        `Limits.retention_days` ago, and what alerts and sent messages quote of them. A server calls
        this once a day.

        Their bytes are overwritten (`secure_delete`), except copies that SQLite left when it moved
        rows between pages: `Store.scrub` removes these, but rewrites the whole file."""
        documents = 0
        while some := self._tidy_some():
            documents += some
        return Tidied(documents)

    def _tidy_some(self) -> int:
        with self._archive.writing() as (transaction, now):
            before = now - self._archive.limits.retention_days * DAY
            erased = transaction.execute(
                "UPDATE documents SET title = '', text = '', url = '', erased = ?1 WHERE number IN "
                "(SELECT number FROM documents WHERE erased IS NULL AND fetched < ?2 LIMIT ?3)",
                now, before, AT_ONCE,
            )  # fmt: skip
            transaction.execute(
                "UPDATE alerts SET summary = '' WHERE opened < ? AND summary <> ''", before
            )
            transaction.execute(
                "DELETE FROM deliveries WHERE state <> 'waiting' AND begun < ?", before
            )
            transaction.execute("DELETE FROM mutes WHERE until < ?", now)
        return erased

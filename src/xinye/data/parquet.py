"""Reads records from Parquet files."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from xinye.data.archives import archive_of
from xinye.data.columns import HEAD_RECORDS, choose_field
from xinye.data.files import check_libraries, check_regular, open_regular
from xinye.data.notes import RecordNumber
from xinye.data.records import Records
from xinye.errors import XinyeError


def parquet_records(path: Path, columns: Sequence[str] | None = None) -> Records:
    """The rows of a Parquet file, each with its number.

    Without `columns` a row has all columns; otherwise it has those of these names that exist. For
    an empty list, the column of text is found and read. Raises XinyeError for a damaged file.
    """
    check_libraries([path])
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with _opened(path) as source, pyarrow.parquet.ParquetFile(source) as file:
            if columns == [] and file.metadata.num_rows:
                head = next(file.iter_batches(HEAD_RECORDS)).to_pylist()
                columns = [choose_field(path, head)]
            # If no name exists, all columns are read, and a later error lists their names.
            known = [name for name in columns or () if name in file.schema_arrow.names] or None
            for batch in file.iter_batches(1024, columns=known):
                for record in batch.to_pylist():
                    number += 1
                    yield RecordNumber(number), record
    except UnicodeDecodeError as error:
        raise XinyeError(
            f"{path}, record {number + 1} or later: a text is not UTF-8 ({error.reason})"
        ) from None
    except (pyarrow.ArrowException, OSError) as error:
        problem = str(error).splitlines()[0]
        raise XinyeError(f"{path}: not a complete Parquet file ({problem})") from None


@contextmanager
def _opened(path: Path) -> Iterator[Path | BinaryIO]:
    """Something pyarrow can seek in: the file itself, or a temporary unnamed copy of an archive's
    member.
    """
    if not archive_of(path):
        check_regular(path)
        yield path
        return
    with open_regular(path) as file, TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield copy

"""Records out of Parquet files."""

from pathlib import Path

from xinye.data.columns import HEAD_RECORDS, choose_field
from xinye.data.files import check_libraries, check_regular
from xinye.data.records import Records
from xinye.errors import XinyeError


def parquet_records(path: Path, field: str | None) -> Records:
    """The rows of a Parquet file with their numbers; where it is known, only the column of the text
    is read.
    """
    check_libraries([path])
    import pyarrow
    import pyarrow.parquet

    number = 0
    check_regular(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if field is None and file.metadata.num_rows:
                field = choose_field(path, next(file.iter_batches(HEAD_RECORDS)).to_pylist())
            # A name that is not there goes on to the error that lists the others.
            columns = [field] if field in file.schema_arrow.names else None
            for batch in file.iter_batches(1024, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except UnicodeDecodeError as error:
        raise XinyeError(
            f"{path}, record {number + 1} or behind it: a text is not UTF-8 ({error.reason})"
        ) from None
    except (pyarrow.ArrowException, OSError) as error:
        problem = str(error).splitlines()[0]
        raise XinyeError(f"{path}: not a whole Parquet file ({problem})") from None

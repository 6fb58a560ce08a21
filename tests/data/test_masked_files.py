"""Cells of a table are replaced where they are written."""

import csv
import io
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.data.tables import TableForm

CELLS = st.text(st.sampled_from('ab 新",;\n\t'), max_size=5)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=4), st.booleans())
def test_cells_are_replaced_in_place(rows: list[tuple[str, ...]], quote_all: bool) -> None:
    form = TableForm(",", partial(csv.reader, delimiter=",", strict=True))
    for row in rows:
        line = io.StringIO()
        quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
        csv.writer(line, quoting=quoting).writerow(row)
        text = line.getvalue()
        assert form.with_cells(text, row, row) == text
        others = [cell.replace("a", "[1]") for cell in row]
        read = next(csv.reader(io.StringIO(form.with_cells(text, row, others), newline="")))
        assert read == others

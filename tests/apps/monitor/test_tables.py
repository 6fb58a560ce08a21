"""Documents as a table."""

import csv
import io

import pytest

from apps.monitor.conftest import documents_of, post
from xinye.apps.monitor.documents import Incoming
from xinye.apps.monitor.ingest import Ingest
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.queries import Filter
from xinye.apps.monitor.tables import COLUMNS, csv_lines


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t=", "  =", "＝"])
def test_no_cell_is_a_formula(monitor: Monitor, ingest: Ingest, sign: str) -> None:
    ingest.add([Incoming(f"{sign}source", "1", f"{sign}HYPERLINK(1)", f'{sign}"a",\nb')])
    text = "".join(csv_lines(documents_of(monitor)))
    assert text.startswith("\ufeff" + ",".join(COLUMNS))
    _, row = csv.reader(io.StringIO(text))
    for cell in row[2:5]:
        assert cell[0] == "'" and cell[1:].strip().strip("'")[0] in "=+-@＝"


def test_a_table_divided_at_semicolons_has_no_formula(monitor: Monitor, ingest: Ingest) -> None:
    ingest.add([Incoming("微博", "1", "x; =HYPERLINK(1)", "甲\n@SUM(1)\n- 乙")])
    for row in csv.reader(io.StringIO("".join(csv_lines(documents_of(monitor)))), delimiter=";"):
        assert not any(cell.strip()[:1] in ("=", "+", "-", "@") for cell in row if cell)


def test_words_are_found_page_by_page(monitor: Monitor, ingest: Ingest) -> None:
    ingest.add([post(number, "50%_Off" if number % 7 == 3 else "50 off") for number in range(40)])
    object.__setattr__(monitor.limits, "searched", 5)
    wanted = Filter(words="50%_oFF")
    found = [each.text.split()[-1] for each in documents_of(monitor, wanted)]
    assert sorted(map(int, found)) == [*range(3, 40, 7)]
    page = monitor.documents.page(wanted, count=50)
    assert len(page.documents) <= 1 and page.last is not None

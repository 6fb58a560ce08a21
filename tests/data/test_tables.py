"""Tables of all kinds: what parts their columns, and spreadsheets as people really have them."""

from datetime import datetime
from zipfile import ZipFile

import openpyxl
import pytest

from xinye.data import spreadsheets
from xinye.data.notes import Notes
from xinye.data.sources import find_files, read_pieces, read_records
from xinye.errors import XinyeError


def rows(path, **named):
    return [row for _, row in read_records(path, **named)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text;label\ngood, cheap;1\nbad, dear;0\n"),
        ("a.csv", "text|label\ngood, cheap|1\nbad, dear|0\n"),
        ("a.csv", "text\tlabel\ngood, cheap\t1\nbad, dear\t0\n"),
        ("a.tsv", 'text,label\n"good, cheap",1\n"bad, dear",0\n'),
        ("a.csv", '\ufeffsep=;\r\n"text";"label"\r\ngood, cheap;1\r\nbad, dear;0\r\n'),
        ("a.csv", 'text,label,,\n"good, cheap",1,,\n,,,\n"bad, dear",0,,\n,,,\n'),
    ],
)
def test_what_parts_the_columns(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, "utf-8", newline="")
    assert rows(path) == [
        {"text": "good, cheap", "label": "1"},
        {"text": "bad, dear", "label": "0"},
    ]


def test_a_comma_in_a_text_without_a_header_parts_nothing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("fast, hot;1\nslow, cold, dear;0\n", "utf-8")
    assert rows(path) == [
        {"1": "fast, hot", "2": "1"},
        {"1": "slow, cold, dear", "2": "0"},
    ]


def test_columns_without_a_name_are_kept(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(",,text\n1,a,so\n", "utf-8")
    assert rows(path) == [{"column 1": "1", "column 2": "a", "text": "so"}]


def spreadsheet(path, *lines):
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    book.save(path)
    return path


def test_a_spreadsheet(tmp_path):
    path, notes = tmp_path / "a.xlsx", Notes()
    book = openpyxl.Workbook()  # its first sheet stays empty
    sheet = book.create_sheet("评论")
    sheet.append(["2026 年的评论"])
    sheet.merge_cells("A1:C1")
    sheet.append(["text", "label", "on", "share"])
    sheet.append(["很好_x000D_\n真的", 1.0, datetime(2026, 5, 1), 0.1 + 0.2])
    sheet.append(["太慢", None, datetime(2026, 5, 1, 12, 30)])
    sheet.merge_cells("B3:B4")
    sheet.append(["=A1", True])
    sheet.append([])
    sheet.append(["还行", True])
    sheet["F20"].font = openpyxl.styles.Font(bold=True)  # which is no data
    book.create_sheet("more").append(["x"])
    book.create_sheet("hidden").append(["x"])
    book["hidden"].sheet_state = "hidden"
    book.save(path)

    bad = []
    records = list(read_records(path, lambda *problem: bad.append(problem), notes=notes))
    assert records == [
        (3, {"text": "很好\n真的", "label": "1", "on": "2026-05-01", "share": "0.3"}),
        (4, {"text": "太慢", "label": "1", "on": "2026-05-01 12:30:00", "share": ""}),
        (7, {"text": "还行", "label": "true", "on": "", "share": ""}),
    ]
    [(_, line, problem)] = bad
    assert line == 5 and "cell A5 holds a formula without a value" in problem
    said = " ".join(notes.sentences())
    assert "of 3 sheets only '评论', the first table, is read; to read another, save it" in said
    assert "'more', 'hidden' (hidden)" in said
    assert "the title '2026 年的评论' above the table is left out" in said
    assert "merged over several rows" in said and "line 4" in said


def test_a_spreadsheet_is_text_to_learn_from(tmp_path, xinye):
    path = spreadsheet(tmp_path / "a.xlsx", ["id", "内容"], [1, "很快"], [2, "太慢"])
    assert [piece.text for piece in read_pieces(find_files([path]))] == ["很快", "太慢"]
    assert "2 documents" in xinye("data", "check", path).out


def test_every_task_reads_spreadsheets(tmp_path, xinye):
    asked = spreadsheet(tmp_path / "a.xlsx", ["Prompt", "response"], ["open?", "yes"])
    told = xinye("data", "check", asked, "--task", "chat")
    assert told.code == 0 and "1 record" in told.out, told.err
    rated = spreadsheet(
        tmp_path / "b.xlsx", ["评价", "评分"], ["汤很热，送得也快", 5], ["太慢了，汤也凉了", 1]
    )
    assert "label in '评分'" in xinye("data", "check", rated, "--task", "classify").out


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.xls", b"\xd0\xcf\x11\xe0", r"save it as \.xlsx in Excel, WPS"),
        ("a.ods", b"PK\x03\x04", r"save it as \.xlsx in Excel, WPS"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0", r"an old \.xls file, or one with a password; save it"),
        ("a.xlsx", b"PK\x03\x04 damaged", r"not a complete \.xlsx file"),
        ("a.xlsx", "评,价\n".encode("gb18030"), r"a text table named \.xlsx: rename it to \.csv"),
        ("a.xls", b"a\tb\n1\t2\n", r"a text table named \.xls: rename it to \.tsv"),
        ("a.xls", b"<html><table></table></html>", r"an HTML page named \.xls: open it in Excel"),
    ],
)
def test_other_spreadsheets_are_refused_with_what_to_do(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(XinyeError, match=says):
        rows(find_files([path])[0])


def test_bombs(tmp_path, monkeypatch):
    path = tmp_path / "a.xlsx"
    spreadsheet(path, ["text"], ["a"])
    with ZipFile(path, "a") as archive:
        archive.writestr("xl/media/large.xml", b" " * 200_000)
    monkeypatch.setattr(spreadsheets, "LARGEST_PART", 100_000)
    with pytest.raises(XinyeError, match=r"the part \S*large\.xml has .* save the table as CSV"):
        rows(path)
    book = openpyxl.Workbook()
    book.active["XFD1"] = book.active["A1048576"] = "far"
    book.save(path)
    with pytest.raises(XinyeError, match=r"line 1: the sheet 'Sheet' has 16,384 columns, and only"):
        rows(path)


def with_sheet(path, rows, before=""):
    """A workbook whose first sheet is this XML."""
    openpyxl.Workbook().save(path)
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    with ZipFile(path, "w") as archive:
        for name, content in parts.items():
            xml = f'<worksheet xmlns="{space}">{before}<sheetData>{rows}</sheetData></worksheet>'
            archive.writestr(name, xml if "worksheets/" in name else content)
    return path


def cell(text, kind="str"):
    return f'<c t="{kind}"><v>{text}</v></c>'


HEAD = f"<row>{cell('text')}{cell('label')}</row>"


def test_errors_are_empty_cells_and_what_is_hidden_is_told(tmp_path):
    lines = [
        f"<row>{cell('good')}{cell('#REF!', 'e')}</row>",
        f'<row r="7" hidden="1">{cell("bad")}{cell("#DIV/0!", "e")}</row>',
        f'<row r="1048576">{cell("#N/A", "e")}</row>',
    ]
    columns = '<cols><col min="2" max="16384" hidden="1"/></cols>'
    path, notes = with_sheet(tmp_path / "a.xlsx", HEAD + "".join(lines), columns), Notes()
    assert list(read_records(path, notes=notes)) == [
        (2, {"text": "good", "label": ""}),
        (7, {"text": "bad", "label": ""}),
    ]
    assert notes.sentences() == [
        f"the cell holds the error #REF! of a spreadsheet: read as empty ({path}, line 2)",
        f"the row is hidden in the workbook, perhaps by a filter, but is read ({path}, line 7)",
        f"the cell holds the error #DIV/0! of a spreadsheet: read as empty ({path}, line 7)",
        f"the cell holds the error #N/A of a spreadsheet: read as empty ({path}, line 1048576)",
        f"the column is hidden in the workbook, but is read ({path}, column B)",
    ]


def test_errors_of_a_spreadsheet_in_csv(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\ngood,#REF!\n#1 place,a\n")
    expected = [{"text": "good", "label": ""}, {"text": "#1 place", "label": "a"}]
    assert rows(tmp_path / "a.csv") == expected


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            f"<row>{cell(-1, 's')}</row>",
            "line 2, cell A2: the cell refers to text -1 of the workbook",
        ),
        (
            f"<row>{cell(5, 's')}</row>",
            "line 2, cell A2: the cell refers to text 5 of the workbook",
        ),
        ("<row/>" * (1 << 20), "'Sheet' has more than 1,048,576 rows"),
        ('<row r="1"/>', "row 1 comes after row 1"),
        ('<row r="NaN"/>', "sheet 'Sheet': what follows row 1: r='NaN' is not a whole number"),
        ('<row><c s="x"/></row>', "row 2, cell A2: s='x' is not a whole number"),
        ('<row><c r="A2"/><c r="A2"/></row>', "row 2, cell A2, comes after cell A2"),
        ('<row><c><is><c r="A2"/></is></c></row>', "row 2: cell A2"),
        (f"<row>{cell('NaN', 'n')}</row>", "line 2: cell A2: 'NaN' is not a number"),
        (f"<row>{cell('1_000', 'n')}</row>", "line 2: cell A2: '1_000' is not a number"),
        (f"<row>{cell('x', 's')}</row>", "line 2: cell A2: 'x' is not the number of a text"),
        (f"<row>{cell(7, 'b')}</row>", "cell A2: '7' is neither true .1. nor false .0."),
        (f"<row>{cell('soon', 'd')}</row>", "cell A2: 'soon' is not a date"),
    ],
)
def test_damaged_sheets(tmp_path, lines, says):
    with pytest.raises(XinyeError, match=says):
        rows(with_sheet(tmp_path / "a.xlsx", HEAD + lines))


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("<cols><col/></cols>", "sheet 'Sheet': columns: min='' is not a whole number"),
        ('<mergeCell ref="A:2"/>', "merged cells in 'A:2', which is not a range such as A1:B2"),
        ("<mergeCell/>", "merged cells in '', which is not a range"),
    ],
)
def test_damage_above_the_rows(tmp_path, before, says):
    with pytest.raises(XinyeError, match=says):
        rows(with_sheet(tmp_path / "a.xlsx", HEAD, before))


def test_a_dtd_is_refused(tmp_path):
    """Its entities would be missing in the text."""
    path = with_sheet(tmp_path / "a.xlsx", HEAD + f"<row>{cell('x')}</row>")
    with ZipFile(path) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    for part in ("xl/worksheets/sheet1.xml", "xl/workbook.xml"):
        with ZipFile(path, "w") as archive:
            for name, content in parts.items():
                dtd = '<!DOCTYPE x [<!ENTITY a "b">]>' if name == part else ""
                archive.writestr(name, dtd + content if dtd else content)
        with pytest.raises(XinyeError, match="it has a DTD, which no spreadsheet program writes"):
            rows(path)


def test_booleans_and_a_part_that_no_cell_needs(tmp_path):
    """A workbook names its table of texts, which is not there."""
    path = with_sheet(tmp_path / "a.xlsx", HEAD + f"<row>{cell('x')}{cell('true', 'b')}</row>")
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(path, "w") as archive:
        for name, content in parts.items():
            if "sharedStrings" not in name:
                archive.writestr(name, content)
    assert rows(path) == [{"text": "x", "label": "true"}]


def test_the_only_sheet_is_hidden(tmp_path):
    path, notes = spreadsheet(tmp_path / "a.xlsx", ["text", "label"], ["good", "a"]), Notes()
    book = openpyxl.load_workbook(path)
    book.create_sheet("empty")
    book["Sheet"].sheet_state = "hidden"
    book.save(path)
    assert list(read_records(path, notes=notes)) == [(2, {"text": "good", "label": "a"})]
    assert "the sheet 'Sheet' is hidden in the workbook" in notes.sentences()[0]


def test_a_cover_stands_before_the_table(tmp_path, xinye):
    path = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    book.active.title = "说明"
    book.active.append(["本表为评论"])
    only_cover = book.create_sheet("更多说明")
    only_cover.append(["同上"])
    book.save(path)
    for task in ([], ["--task", "classify"]):
        assert "'更多说明'" in xinye("data", "check", path, *task).err
    sheet = book.create_sheet("数据")
    for line in (["评论内容", "满意度"], ["很快", "好"], ["太慢", "差"]):
        sheet.append(line)
    book.save(path)
    told = xinye("data", "check", path, "--task", "classify")
    assert "text in '评论内容', label in '满意度'" in told.out, told.err
    assert "of 3 sheets only '数据', the first table, is read" in told.out
    assert "2 documents" in xinye("data", "check", path).out


TITLED = [["2026 年评论"], ["导出：系统"], ["text", "label"], ["good", "a"], ["bad", "b"]]


@pytest.mark.parametrize("form", ["a.xlsx", "a.csv", "padded.csv", ";", "\t"])
def test_a_title_above_the_table_is_left_out(tmp_path, form):
    path, notes = tmp_path / (form if "." in form else "b.csv"), Notes()
    if form == "a.xlsx":
        spreadsheet(path, *TITLED)
    elif form in ";\t":
        lines = ['"' + f'"{form}"'.join(line) + '"' for line in TITLED]
        path.write_text("\n".join(lines), "utf-8")
    else:
        padding = "," * (form == "padded.csv")
        lines = [",".join(line) + padding * (len(line) == 1) for line in TITLED]
        path.write_text("\n".join(lines), "utf-8")
    records = list(read_records(path, notes=notes))
    assert records == [(4, {"text": "good", "label": "a"}), (5, {"text": "bad", "label": "b"})]
    assert "the title '2026 年评论' above the table is left out" in notes.counts


@pytest.mark.parametrize(
    "content", ["text\ngood,cheap\nbad,dear\n", "Words\ngood, cheap\nbad, dear\n"]
)
def test_a_header_of_one_column_is_no_title(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_text(content, "utf-8")
    with pytest.raises(
        XinyeError, match=r"line 2: 2 columns, but the header line has 1; .*line 1: '"
    ):
        rows(path)


def test_a_header_in_two_rows_is_told(tmp_path, xinye):
    path = spreadsheet(
        tmp_path / "a.xlsx", ["甲", None, "乙"], ["号", "写的", "好坏"], [1, "很快", "好"]
    )
    told = xinye("data", "check", path, "--task", "classify")
    assert told.code == 2 and "(line 1: '甲', '', '乙') have no name" in told.err, told.err
    assert "delete the rows above it" in told.err


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv"])
def test_what_is_told_between_title_and_header_is_left_out(tmp_path, name):
    lines = [
        ["评价汇总", "", "", ""],
        ["制表人：小王", "", "单位：条", ""],
        ["序号", "门店", "评价", "结果"],
        *([str(n), "朝阳店", f"很好{n}", "好"] for n in range(5)),
    ]
    if name == "a.xlsx":
        path = spreadsheet(tmp_path / name, *lines)
    else:
        path = tmp_path / name
        path.write_text("\n".join(map(",".join, lines)), "utf-8")
    notes = Notes()
    records = list(read_records(path, notes=notes))
    assert records[0] == (4, {"序号": "0", "门店": "朝阳店", "评价": "很好0", "结果": "好"})
    assert "the title '制表人：小王 单位：条' above the table is left out" in notes.counts


def test_a_header_in_two_merged_rows_is_refused(tmp_path):
    path = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (
        ["序号", "评价", None],
        [None, "内容", "等级"],
        *([n, f"很好{n}", "好"] for n in "123"),
    ):
        sheet.append(row)
    sheet.merge_cells("A1:A2")
    sheet.merge_cells("B1:C1")
    book.save(path)
    with pytest.raises(XinyeError, match="lines 1 and 2: the header spans two rows"):
        rows(path)


def test_a_row_that_is_too_wide_does_not_blame_the_header(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"fine, I say",a\nbad, I say,b\n"good",a\n', "utf-8")
    with pytest.raises(
        XinyeError,
        match=r"line 3: 3 columns, but the header line has 2; put quotes around text that holds the delimiter$",
    ):
        rows(path)


def test_a_header_with_few_names_is_refused(tmp_path, xinye):
    lines = ["小王,,,条", *(f"{n},朝阳店,很好{n},好" for n in range(5))]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines), "utf-8")
    done = xinye("data", "check", path)
    assert done.code == 2 and "read as the header is line 1: '小王'" in done.complaint

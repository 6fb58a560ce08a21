"""Documents out of every format: the text a reader reads is there, and nothing else is."""

import bz2
import gzip
import io
import zipfile
from email.header import Header
from email.message import EmailMessage
from pathlib import Path

import pytest

from xinye.data.encodings import decode
from xinye.data.extract import LARGEST_PAGE, Document, find_format, read_documents
from xinye.data.html import all_text, main_text
from xinye.data.mediawiki import plain_text
from xinye.data.pdf import paragraphs, without_margins
from xinye.errors import XinyeError

DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="zh">
<siteinfo><namespaces><namespace key="0"/><namespace key="1">Talk</namespace></namespaces></siteinfo>
<page><title>新叶</title><ns>0</ns><id>7</id>
  <revision><id>1</id><text>旧的文字。</text></revision>
  <revision><id>2</id><text>{{Infobox|名字=新叶|{{嵌套}}}}'''新叶'''是[[树|树木]]在-{zh-hans:春天里; zh-hant:春天裡}-长出的叶子（{{lang|en|leaf}}）。&lt;ref&gt;《植物学》&lt;/ref&gt;
== 结构 ==
* 叶片
* [[叶柄]]
{| class="wikitable"
| 表格 || 不要
|}
== 参考 ==
{{reflist}}
[[File:leaf.jpg|thumb|一片[[叶]]]]
[[分类:植物]]</text></revision></page>
<page><title>嫩叶</title><ns>0</ns><id>8</id><redirect title="新叶"/>
  <revision><text>#重定向 [[新叶]]</text></revision></page>
<page><title>Talk:新叶</title><ns>1</ns><id>9</id><revision><text>讨论的话</text></revision></page>
<page><title>Leaf</title><ns>0</ns><id>10</id>
  <revision><text>A '''leaf''' is an [[organ (biology)|organ]] of a [[plant]].&lt;!-- hidden --&gt;

== See also ==
=== Kinds ===
[[:Category:Trees]] have them, &amp;amp; so do ferns.
__NOTOC__</text></revision></page>
</mediawiki>"""
MENU = '<nav><a href="/">首页</a> <a href="/n">新闻</a></nav><ul><li><a>体育新闻</a><li><a>Business</a></ul>'
FOOTER = "<footer>版权所有 All rights reserved</footer><script>alert('代码')</script>"
SPRING = "春天来了，新的叶子在树上长出来，小鸟在枝头唱歌，孩子们在草地上放风筝。"
ENGLISH = "The new leaves came out in the night, and by the morning the whole hill was green again."


def read(path: Path, content: bytes) -> list[Document]:
    path.write_bytes(content)
    with path.open("rb") as raw:
        return list(read_documents(path, find_format(path), raw))


def refusal(path: Path, content: bytes) -> str:
    with pytest.raises(XinyeError) as caught:
        read(path, content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def page(title: str, paragraph: str, charset: str = "utf-8") -> str:
    body = "".join(f"<p>{paragraph}{number}</p>" for number in range(4))
    return (
        f'<html><head><meta charset="{charset}"><title>{title}_新叶网</title></head>'
        f"<body>{MENU}<article><h1>{title}</h1>{body}</article>{FOOTER}</body></html>"
    )


@pytest.mark.parametrize(
    "suffix, pack", [("", bytes), (".bz2", bz2.compress), (".gz", gzip.compress)]
)
def test_articles_of_a_dump(tmp_path, suffix, pack):
    path = tmp_path / f"wiki.xml{suffix}"
    chinese, english = read(path, pack(DUMP.encode()))
    assert chinese == Document(
        "新叶\n\n新叶是树木在春天里长出的叶子（leaf）。\n\n结构\n\n- 叶片\n- 叶柄",
        f"{path}:7",
        title="新叶",
    )
    assert english.title == "Leaf"
    assert english.text == (
        "Leaf\n\nA leaf is an organ of a plant.\n\nSee also\n\nKinds\n\nCategory:Trees have them, "
        "& so do ferns."
    )


@pytest.mark.parametrize(
    "wikitext, text",
    [
        ("-{T|zh:新叶}--{叶}-子", "叶子"),
        ("-{zh-tw:葉; zh-hk:葉子}-", "葉"),
        ("<gallery>\nA.jpg|字\n</gallery><math>x^2</math>叶<br>子", "叶\n子"),
        ("[[en:Leaf]]{{link-en|机器学习|Machine learning}}（{{Zh-hk}}，Leaf）", "机器学习（Leaf）"),
        ("''Il'' [http://a.org sito] &copy; http://b.org", "Il sito © http://b.org"),
        ("== 空 ==\n=== 也空 ===\n", ""),
        ("{{" * 500 + "[[" * 500, None),
    ],
)
def test_wikitext(wikitext, text):
    found = plain_text(wikitext)
    assert text is None or found == text


def test_a_cut_dump_gives_what_is_whole(tmp_path):
    path = tmp_path / "wiki.xml"
    path.write_text(DUMP[: DUMP.index("<page><title>Talk")], "utf-8")
    found = []
    with pytest.raises(XinyeError, match="cut short"), path.open("rb") as raw:
        found.extend(document.title for document in read_documents(path, "mediawiki", raw))
        # `extend` keeps what came before the error
    assert found == ["新叶"]


@pytest.mark.parametrize("form", ["mediawiki", "rss"])
def test_entities_are_refused(tmp_path, form):
    bomb = '<!ENTITY a "新叶新叶">' + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 20}">' for a, b in zip("abcdef", "bcdefg", strict=True)
    )
    feed = "<channel><item><title>&g;</title></item></channel>"
    wiki = "<page><title>&g;</title><ns>0</ns><revision><text>&g;</text></revision></page>"
    body = wiki if form == "mediawiki" else feed
    assert "entities" in refusal(
        tmp_path / "a.xml", f"<!DOCTYPE {form} [{bomb}]><{form}>{body}</{form}>".encode()
    )


def test_other_xml_is_named(tmp_path):
    assert "'config'" in refusal(tmp_path / "a.xml", b"<?xml version='1.0'?><config/>")


@pytest.mark.parametrize(
    "title, paragraph, charset",
    [("春天来了", SPRING, "gb2312"), ("Spring", ENGLISH, "utf-8"), ("朱镕基", SPRING, "gb2312")],
)
def test_main_text_of_a_web_page(tmp_path, title, paragraph, charset):
    # 镕 is not in GB 2312, which such pages declare
    encoding = "gb18030" if charset == "gb2312" else charset
    (document,) = read(tmp_path / "a.html", page(title, paragraph, charset).encode(encoding))
    assert document.title == title
    assert (
        document.text.split()
        == f"{title} ".split() + " ".join(f"{paragraph}{n}" for n in range(4)).split()
    )


@pytest.mark.parametrize(
    "body, text",
    [("<h1>春</h1><p>新叶。</p>", "春 新叶。"), ("<p>One line.", "One line."), ("", "")],
)
def test_a_short_page_is_read_whole_without_its_menu(body, text):
    assert " ".join(main_text(f"<html><body>{MENU}{body}{FOOTER}</body></html>")[1].split()) == text


def test_all_text_of_a_fragment():
    html = (
        "<p>新的\n叶子 A new\nleaf<br>x</p><ul><li>一<li>two</ul><pre>if a:\n    "
        "b</pre><table><tr><td>1<td>2</table>尾"
    )
    lines = [line.rstrip() for line in all_text(html).split("\n") if line.strip()]
    assert lines == ["新的叶子 A new leaf", "x", "- 一", "- two", "if a:", "    b", "1\t2", "尾"]
    assert all_text("<div>" * 50_000 + "叶").strip() in ("", "叶")  # deep nesting ends in no error
    assert all_text("") == all_text("<!-- -->") == ""


def test_encodings_that_lie():
    assert decode("新的叶子在树上长出来了。".encode(), "gb2312") == "新的叶子在树上长出来了。"
    assert (
        decode("新的叶子在树上长出来了。".encode("gb18030"), "utf-8") == "新的叶子在树上长出来了。"
    )
    assert decode("\ufeff新叶".encode("utf-16-le"), None) == "新叶"
    assert decode("新叶".encode(), "no-such-charset") == "新叶"
    with pytest.raises(XinyeError, match="convert it to UTF-8"):
        decode("新的叶子".encode() * 9 + b"\xff\xff\xff" + "长出来".encode() * 9)


def epub(path: Path, chapters: dict[str, str], spine: list[str], nav: str = "") -> bytes:
    items = "".join(
        f'<item id="i{number}" href="text/{name}" properties="{"nav" * (name == nav)}"/>'
        for number, name in enumerate(chapters)
    )
    order = "".join(f'<itemref idref="i{list(chapters).index(name)}"/>' for name in spine)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OPS/book.opf"/></rootfiles></container>',
        )
        archive.writestr(
            "OPS/book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
            f"<dc:title>新叶集</dc:title></metadata><manifest>{items}</manifest><spine>{order}</spine></package>",
        )
        for name, body in chapters.items():
            archive.writestr(
                f"OPS/text/{name}",
                f'<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>不读</title></head><body>{body}</body></html>',
            )
    return path.read_bytes()


def test_a_book_in_the_order_of_its_spine(tmp_path):
    chapters = {
        "two.xhtml": "<h1>第二章</h1><p>秋天。</p>",
        "one.xhtml": "<h1>第一章</h1><p>春<ruby>叶<rt>yè</rt></ruby>。</p><p>Spring.</p>",
        "nav.xhtml": "<ol><li>目录</li></ol>",
    }
    path = tmp_path / "book.epub"
    (document,) = read(
        path, epub(path, chapters, ["nav.xhtml", "one.xhtml", "two.xhtml"], "nav.xhtml")
    )
    assert document.title == "新叶集"
    assert document.text.split() == ["新叶集", "第一章", "春叶。", "Spring.", "第二章", "秋天。"]


def test_books_that_cannot_be_read(tmp_path):
    path = tmp_path / "book.epub"
    whole = epub(path, {"a.xhtml": "<p>叶</p>"}, ["a.xhtml"])
    assert "not a complete EPUB" in refusal(path, whole[: len(whole) // 2])
    assert "not a complete EPUB" in refusal(path, b"PK\x03\x04")
    bomb = epub(path, {"a.xhtml": " " * (LARGEST_PAGE + 1)}, ["a.xhtml"])
    assert len(bomb) < 1 << 20 and "too large" in refusal(path, bomb)


def pdf(pages: list[list[str]], title: str = "") -> bytes:
    """A PDF by hand: every character is a glyph of its own code, which a ToUnicode map turns
    back."""
    characters = sorted({character for page in pages for line in page for character in line})
    code = {character: f"{number:04X}" for number, character in enumerate(characters, 1)}
    table = "\n".join(f"<{code[each]}> <{each.encode('utf-16-be').hex()}>" for each in characters)
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType "
        f"2 def 1 begincodespacerange <0000> <FFFF> endcodespacerange {len(characters)} beginbfchar\n"
        f"{table}\nendbfchar endcmap end end"
    )
    font = (
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /DW 1000 "
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "
        "/FontDescriptor << /Type /FontDescriptor /FontName /X /Flags 4 /FontBBox [0 0 1000 1000] "
        "/Ascent 900 /Descent -100 /CapHeight 900 /StemV 80 /ItalicAngle 0 >> >>"
    )
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    objects.append(
        "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H "
        f"/DescendantFonts [{font}] /ToUnicode 4 0 R >>"
    )
    objects.append(f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream")
    kids = []
    for lines in pages:
        show = " ".join(f"<{''.join(code[each] for each in line)}> Tj 0 -20 Td" for line in lines)
        content = f"BT /F 12 Tf 50 750 Td {show} ET"
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
        kids.append(len(objects) + 1)
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 900 800] "
            f"/Resources << /Font << /F 3 0 R >> >> /Contents {len(objects)} 0 R >>"
        )
    objects[1] = (
        f"<< /Type /Pages /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] /Count {len(kids)} >>"
    )
    file, offsets = io.BytesIO(b"%PDF-1.4\n"), []
    file.seek(0, 2)
    for number, text in enumerate(objects, 1):
        offsets.append(file.tell())
        file.write(f"{number} 0 obj\n{text}\nendobj\n".encode())
    start = file.tell()
    rows = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}"
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF"
    file.write((table + trailer).encode())
    return file.getvalue()


def test_a_chinese_pdf(tmp_path):
    first = ["新叶集", SPRING[:25], SPRING[25:], "1"]
    second = [SPRING[5:30], SPRING[:12], "2"]
    (document,) = read(tmp_path / "a.pdf", pdf([first, second]))
    assert document.text.split("\n") == ["新叶集", SPRING, SPRING[5:30] + SPRING[:12]]


def test_an_english_pdf(tmp_path):
    lines = [
        "The new leaves came out in the night, and by the mor-",
        "ning the whole hill was green again, so that all of us",
        "went up.",
        "• one",
        "Spring",
    ]
    (document,) = read(tmp_path / "a.pdf", pdf([lines]))
    joined = (
        "The new leaves came out in the night, and by the morning the whole hill was green again, "
        "so that all of us"
    )
    assert document.text.split("\n") == [f"{joined} went up.", "• one", "Spring"]


def test_pdfs_that_cannot_be_read(tmp_path):
    assert "OCR" in refusal(tmp_path / "scan.pdf", pdf([[""]]))
    assert "not a complete PDF" in refusal(tmp_path / "cut.pdf", b"%PDF-1.4\n1 0 obj")


def test_printed_lines_become_paragraphs():
    assert without_margins([["书名 1", "一"], ["书名 2", "二", "12"], ["书名 3"]]) == [
        ["一"],
        ["二"],
        [],
    ]
    assert paragraphs(["state-of-the\ufffeart hyphe\ufffenation"]) == "state-of-the-art hyphenation"
    assert paragraphs(["床前明月光，", "疑是地上霜。"]) == "床前明月光，\n疑是地上霜。"
    assert paragraphs([]) == ""


MARKDOWN = """---
title: "新叶"
tags: [a]
---
# 春天

新的
叶子，[链接](http://a.org)和**粗体**。

- one
- two

```python
if a:
    b
```

| a | b |
|---|---|
| 1 | 2 |
"""


def test_markdown(tmp_path):
    (document,) = read(tmp_path / "a.md", MARKDOWN.encode("utf-8-sig"))
    assert document.title == "新叶"
    (untitled,) = read(tmp_path / "b.md", MARKDOWN[MARKDOWN.index("# ") :].encode())
    assert untitled.title == "春天" and untitled.text.startswith("春天\n")
    lines = [line.rstrip() for line in document.text.split("\n") if line.strip()]
    assert lines == [
        "新叶",
        "春天",
        "新的叶子，链接和粗体。",
        "- one",
        "- two",
        "if a:",
        "    b",
        "a\tb",
        "1\t2",
    ]


def mbox(*mails: bytes) -> bytes:
    return b"".join(b"From a@b.org Mon Jan  1 00:00:00 2024\n" + mail + b"\n\n" for mail in mails)


MAIL = b"""Subject: Green hills
From: a@b.org

From the hill:
>From here it is green.

On Monday, Pip wrote:
> old words
> more

Yes.
--\x20
Pip, gardener"""


def test_mail(tmp_path):
    subject = Header("朱镕基与新叶", "gb18030").encode().replace("gb18030", "gb2312")
    chinese = f"Subject: {subject}\nContent-Type: text/plain; charset=gb2312\nContent-Transfer-Encoding: 8bit\n\n".encode()
    chinese += "你好，朱镕基。\n\n在 2024年1月1日，豆豆写道：\n> 旧的话\n\n-----原始邮件-----\n发件人: 豆豆".encode(
        "gb18030"
    )
    both = EmailMessage()
    both["Subject"] = "春"
    both.set_content("")
    both.add_alternative("<p>新的<b>叶子</b></p>", subtype="html")
    both.add_attachment("附件".encode(), maintype="text", subtype="plain")
    raw = "Subject: 新的叶子在树上长出来\n\n好".encode("gb18030")
    found = read(tmp_path / "a.mbox", mbox(MAIL, chinese, both.as_bytes(), raw))
    assert [document.title for document in found] == [
        "Green hills",
        "朱镕基与新叶",
        "春",
        "新的叶子在树上长出来",
    ]
    assert [line for line in found[0].text.split("\n") if line] == [
        "Green hills", "From the hill:", "From here it is green.", "Yes.",
    ]  # fmt: skip
    assert [document.text.split("\n\n")[1:] for document in found[1:3]] == [
        ["你好，朱镕基。"],
        ["新的叶子"],
    ]
    assert found[3].source == f"{tmp_path / 'a.mbox'}:4"
    (first, second) = read(
        tmp_path / "c.mbox", mbox(b"Subject: a\n\n" + "新的".encode() * 9 + b"\xff" * 9, MAIL)
    )
    assert "convert it to UTF-8" in first.problem and second.title == "Green hills"
    assert "not an mbox" in refusal(tmp_path / "b.mbox", b"hello")


RSS = """<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>F</title>
<item><title>新叶 &amp;amp; 树</title><description>&lt;p&gt;短&lt;/p&gt;</description>
<content:encoded>&lt;p&gt;春天&lt;br&gt;来了&lt;/p&gt;</content:encoded></item>
<item><title>Leaf</title><description>Green.</description></item></channel></rss>"""
ATOM = """<?xml version="1.0" encoding="gb2312"?><feed xmlns="http://www.w3.org/2005/Atom"><title>F</title>
<entry><title>新叶 &amp; 树</title><summary>短</summary>
<content type="html">&lt;p&gt;春天&lt;br&gt;来了&lt;/p&gt;</content></entry>
<entry><title>Leaf</title><summary>Green.</summary></entry></feed>"""


@pytest.mark.parametrize("name, feed", [("a.rss", RSS), ("a.atom", ATOM), ("a.xml", ATOM)])
def test_feeds(tmp_path, name, feed):
    found = read(tmp_path / name, feed.encode("gb18030" if "gb2312" in feed else "utf-8"))
    assert [(each.title, each.text) for each in found] == [
        ("新叶 & 树", "新叶 & 树\n\n春天\n来了"),
        ("Leaf", "Leaf\n\nGreen."),
    ]
    assert found[1].source.endswith(f"{name}:2")
    assert "not a complete feed" in refusal(tmp_path / name, b"<rss><channel")

"""Reads lists of feeds in OPML, which feed readers export."""

from pathlib import Path

from xinye.apps.monitor.web_addresses import Refused, checked_url
from xinye.data.feeds import read_xml
from xinye.data.files import check_file, open_regular
from xinye.data.notes import Notes
from xinye.errors import XinyeError

LARGEST = 10_000_000  # bytes
MOST_FEEDS = 10_000


def read_opml(path: Path, notes: Notes | None = None) -> dict[str, str]:
    """The addresses of the feeds in an OPML file, in order, each with its title. `notes` report
    addresses that cannot be fetched. Raises XinyeError if the file has none."""
    notes = notes or Notes()
    check_file(path)
    with open_regular(path) as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise XinyeError(f"{path}: it is larger than {LARGEST // 10**6} MB, too large for OPML")
    try:
        root, broken = read_xml(data)
    except XinyeError as error:
        raise XinyeError(f"{path}: {error}") from None
    if root.tag != "opml":
        raise XinyeError(f"{path}: not OPML; its root element is {str(root.tag)!r}")
    if broken:
        notes.add(str(path), "the XML is broken and was repaired")
    found: dict[str, str] = {}
    for outline in root.iter("outline"):
        values = {name.lower(): value for name, value in outline.attrib.items()}
        url = values.get("xmlurl", "")
        if not url.strip():
            continue  # a folder of feeds
        try:
            title = values.get("title") or values.get("text") or ""
            found.setdefault(checked_url(url).geturl(), " ".join(title.split()))
        except Refused as error:
            notes.add(f"{path}, line {outline.sourceline}", str(error))
    if not found:
        raise XinyeError(f"{path}: there is no feed in it: no outline with an xmlUrl")
    if len(found) > MOST_FEEDS:
        raise XinyeError(f"{path}: it has more than {MOST_FEEDS:,} feeds; divide it")
    return found

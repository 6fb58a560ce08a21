"""The report in a real browser: whatever a run wrote, nothing is wider than the page, and nothing
lies over something else."""

import pytest

from runs.test_report import LOSSES, MEASURED, VALIDATIONS, judged_at, taught
from server.browser import CHROMIUM, browsing
from xinye.runs.report import write_report
from xinye.runs.saved import read_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to look at the report")
UNBROKEN = ["。" * 900, "a" * 900]
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# What sticks out of the page, unless it stands in what scrolls, and pairs that lie over each other.
FAULTS = """(() => {
  const page = document.documentElement.clientWidth, faults = [];
  const seen = [...document.querySelectorAll("article, table, figure, .text, .findings, pre, dl")];
  const boxes = seen.map(each => [each, each.getBoundingClientRect()]);
  const shown = boxes.filter(([each, box]) => box.width && box.height);
  for (const [each, box] of shown) {
    if (each.tagName === "ARTICLE" && box.width > Math.min(page, 260)) faults.push("wide article");
    if (!each.closest(".strip, .wide, pre") && box.right > page + 1) faults.push(each.outerHTML);
    if (each.tagName === "ARTICLE" && each.scrollWidth > each.clientWidth + 1)
      faults.push("sticks out of its card");
  }
  for (const [one, a] of shown) for (const [other, b] of shown) {
    if (one === other || one.contains(other) || other.contains(one)) continue;
    if (one.closest(".strip") && other.closest(".strip") !== one.closest(".strip")) continue;
    if (other.closest(".strip") && one.closest(".strip") !== other.closest(".strip")) continue;
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && high > 1) faults.push(one.outerHTML.slice(0, 99) + other.outerHTML.slice(0, 99));
  }
  return faults;
})()"""


def test_nothing_is_wider_than_the_page_or_lies_over_another(make_run, tmp_path):
    long = "标签" * 40
    measured = MEASURED | {"confusion": {"labels": [long, "差评"], "counts": [[19, 1], [3, 17]]}}
    baseline = {"name": "TF-IDF", "accuracy": 0.8, "macro_f1": 0.8}
    tagged = taught(make_run, "classify", measured=measured, baseline=baseline)
    judged_at(tagged, *((step, 0.9, 0.5) for step in range(5, 60, 5)))
    pages = [tagged]
    for number, text in enumerate(UNBROKEN):
        run = make_run(
            f"run{number}", losses=LOSSES, validations=VALIDATIONS, sample=text,
            result={"texts": [text]}, settings={"files": [f"{'长' * 150}.txt"], "prompt": text},
        )  # fmt: skip
        pages.append(run)
    with browsing(tmp_path / "browser") as page:
        for run in pages:
            write_report(read_run(run))
            page.call("Page.navigate", url=(run / "report.html").as_uri())
            page.until(
                "document.readyState === 'complete' && document.querySelector('h1') !== null"
            )
            for width in (1280, 390):
                size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                page.call("Emulation.setDeviceMetricsOverride", **size)
                for language in ("en", "zh"):
                    page.run(f"document.getElementById('{language}').checked = true")
                    assert page.run(WIDE) <= 0, (run, width)
                    assert page.run(FAULTS) == [], (run, width)

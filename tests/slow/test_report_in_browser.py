"""The report in a real browser: on a phone, a laptop and on paper, it fits, can be read, and asks for nothing."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.evaluation.html_report import write_report
from tests.evaluation.test_html_report import HOSTILE, make_metrics, make_pictures, make_report

pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = (390, 768, 1440)

CONTRAST = 4.5
"""What WCAG 2 asks for at level AA of text of ordinary size."""

# Looks from outside into frames that are as wide as a phone, a tablet and a laptop: the page itself runs no script.
LOOK = """
const number = (text) => text.match(/[\\d.]+/g).map(Number);
const light = (text) => {
  const [r, g, b] = number(text).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (node, view) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = view.getComputedStyle(at).backgroundColor;
    if (number(colour)[3] !== 0) return colour;
  }
  return "rgb(255, 255, 255)";
};
const look = (frame) => {
  const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
  const inside = (node) => node.closest(".scroll, .skip");
  const wide = [...page.body.querySelectorAll("*")].filter((node) =>
    !inside(node) && node.getBoundingClientRect().right > root.clientWidth + 1);
  const texts = [...page.body.querySelectorAll("*")].filter((node) =>
    [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()));
  const contrast = texts.map((node) => {
    const [a, b] = [light(view.getComputedStyle(node).color), light(ground(node, view))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
  const sizes = texts.map((node) => parseFloat(view.getComputedStyle(node).fontSize));
  return {
    width: root.clientWidth, scroll: root.scrollWidth, height: root.scrollHeight,
    wide: wide.map((node) => node.outerHTML.slice(0, 120)),
    images: [...page.images].map((image) => image.complete && image.naturalWidth > 0),
    fetched: view.performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 40))
      .filter((name) => !name.startsWith("data:")),
    contrast: Math.min(...contrast), small: Math.min(...sizes), ran: "ran" in window,
  };
};
window.addEventListener("load", () => {
  document.getElementById("seen").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(look));
});
"""


def chromium(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the browser once, with a profile of its own; without one the test is skipped."""
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"SKIPPED: no browser here ({', '.join(NAMES)}); nobody looked at the report in this run")
    command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *arguments]
    command.append("--disable-dev-shm-usage")  # in containers it is often too small
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)


@pytest.fixture(scope="module", params=["few classes", "many classes, hostile names"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report as it is, and one at its worst."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    if request.param == "few classes":
        write_report(path, make_report(make_metrics(), make_pictures(6)), "air, test")
        return path
    attack = '<img src=x onerror="parent.ran = 1">'
    names = [attack, *HOSTILE, *(f"Genus species {number}" for number in range(22))]
    metrics = make_metrics(names, names[:3])
    metrics["per_group"] = dict.fromkeys(names, metrics["per_group"]["farm 1"])
    write_report(path, make_report(metrics, make_pictures(8, names[5], "slide" * 60)), attack)
    return path


@pytest.fixture(scope="module")
def seen(report: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What a browser sees at each width."""
    folder = tmp_path_factory.mktemp("browser")
    page = html.escape(report.read_text(encoding="utf-8"))
    frames = "".join(
        f'<iframe width="{width}" height="900" style="border:0" srcdoc="{page}"></iframe>' for width in WIDTHS
    )
    outside = folder / "frames.html"
    outside.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><script>{LOOK}</script>{frames}<pre id="seen"></pre>', encoding="utf-8"
    )
    done = chromium(folder / "profile", "--dump-dom", outside.as_uri())
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    looks: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    assert [look["width"] for look in looks] == [pytest.approx(width, abs=16) for width in WIDTHS]
    return looks


def test_nothing_hangs_over_the_edge(seen: list[dict[str, Any]]) -> None:
    for look in seen:
        assert look["scroll"] == look["width"], look
        assert look["wide"] == []


def test_every_picture_is_there_and_nothing_was_fetched(seen: list[dict[str, Any]]) -> None:
    for look in seen:
        assert len(look["images"]) > 10
        assert all(look["images"])
        assert look["fetched"] == []
        assert not look["ran"]


def test_it_can_be_read(seen: list[dict[str, Any]]) -> None:
    for look in seen:
        assert look["contrast"] >= CONTRAST
        assert look["small"] >= 11


def test_it_can_be_printed(report: Path, tmp_path: Path) -> None:
    paper = tmp_path / "report.pdf"
    chromium(tmp_path / "profile", f"--print-to-pdf={paper}", "--no-pdf-header-footer", report.as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    pages = re.findall(rb"/Type\s*/Page\b", content)
    assert 3 <= len(pages) <= 60
    # A4, in points.
    boxes = {
        tuple(round(float(side)) for side in box.split()) for box in re.findall(rb"/MediaBox\s*\[([^\]]+)\]", content)
    }
    assert boxes == {(0, 0, 595, 842)}

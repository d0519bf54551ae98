"""The page: everything in one file, whoever made the rows; a browser sorts, filters, folds and copies it."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from rows import ROW

from genbench.cli import main
from genbench.errors import ResultsError
from genbench.leaderboard import boards, page, views
from genbench.plugins.cards import ModelCard, Published
from genbench.storage import results

COLUMNS = {
    "fid": {"title": "FID", "better": "lower", "place": 0},
    "kid": {"title": "KID", "better": "lower", "place": 1},
    "precision": {"title": "precision", "better": "higher", "place": 2},
    "memorization": {"title": "memorization", "better": "zero", "place": 3},
    "strange": {"title": "strange", "better": "lower", "place": 4},
}
VALUES = {
    "real": (0.5, 0.1, 0.95, 0.0, 1.0),
    "vae": (30.0, 3.0, 0.6, -3.0, 2.0),
    "dcgan": (8.0, 0.9, 0.7, 1.0, 3.0),
    "biggan": (4.0, 0.4, 0.9, 2.0, None),
    "<b>bad</b>": (400.0, 90.0, 0.1, 9.0, 4.0),
}
CARDS = {
    "vae": ModelCard("vae", "m:f", "a VAE", "vae", "Kingma", 2013, deviations=("it is <i>narrow</i>",)),
    "dcgan": ModelCard("dcgan", "m:f", "a GAN", "gan"),
}
RECORDS = {"vae": {"digits": {"command": "genbench train vae", "seconds": 12.0, "figures": {"loss": 80.5}}}}
CURVE = {"step": [1, 2, 3], "loss": [3.0, 1.0, 2.0], "validation": [None, 5.0, 4.0]}


@pytest.fixture
def folder(tmp_path):
    rows = []
    protocol = {"metric": "fid", "n": 1000}
    key = results.fingerprint(protocol)
    for model, values in VALUES.items():
        for (column, about), value in zip(COLUMNS.items(), values, strict=True):
            status, stderr = ("unsupported", None) if value is None else ("ok", 0.05 * abs(value) + 0.001)
            numbers = {"value": value, "stderr": stderr, "status": status, "protocol": key}
            rows.append(replace(ROW, model=model, column=column, **about, **numbers))
    results.append(tmp_path / "results.jsonl", rows)
    results.note_protocols(tmp_path / "results.jsonl", {key: protocol})
    (tmp_path / "samples").mkdir()
    Image.new("RGB", (40, 40), (200, 30, 30)).save(tmp_path / "samples" / "vae.png")
    (tmp_path / "tradeoff-vae.png").write_bytes((tmp_path / "samples" / "vae.png").read_bytes())
    (tmp_path / "tradeoff-vae.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>')
    return tmp_path


def parts_of(folder):
    return [page.Part("digits", board, [folder]) for board in boards.boards([folder])]


def written(folder, records=None):
    return page.render(parts_of(folder), CARDS, records or RECORDS)


class Outline(HTMLParser):
    """Which tags are open, that each is closed, and every address in the page."""

    VOID = frozenset({"meta", "input", "img", "br", "link"})

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "data", "poster")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_holds_everything(folder):
    text = written(folder)
    outline = Outline()
    outline.feed(text)
    assert not outline.open
    assert all(address.startswith(("#", "data:image/")) for address in outline.addresses)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://", text), "nothing is asked of a network"
    assert outline.tags.count("img") == 2, "a grid of samples, and the curve once, as SVG"
    assert text.count("data:image/svg+xml") == 1
    assert "it is &lt;i&gt;narrow&lt;/i&gt;" in text
    assert "<b>bad</b>" not in text
    assert "genbench train vae" in text
    assert results.fingerprint({"metric": "fid", "n": 1000}) in text
    assert "genbench=0.1.0" in text


def test_columns_stand_in_groups_and_strangers_last(folder):
    board = boards.boards([folder])[0]
    groups = views.grouped(board)
    assert [(name, [column.name for column in columns]) for name, columns in groups] == [
        ("distance", ["fid", "kid"]),
        ("quality and variety", ["precision"]),
        ("copies", ["memorization"]),
        ("others", ["strange"]),
    ]
    assert {head.name for head in views.heads(groups) if head.main} == {"fid", "precision", "memorization", "strange"}


def test_bars_stand_where_the_numbers_are_and_anchors_do_not_stretch_the_scale(folder):
    board = boards.boards([folder])[0]
    heads = views.heads(views.grouped(board))
    cells = {line.model: line.cells[0] for line in views.lines(board, heads)}
    places = [cells[name].bar for name in ("biggan", "dcgan", "vae", "<b>bad</b>")]
    assert all(low <= at <= high for low, at, high in places)
    assert [at for _, at, _ in places] == sorted(at for _, at, _ in places)
    assert cells["real"].bar == (0.0, 0.0, 0.0), "beyond the ranked models, at the edge"
    assert places[-1][2] == 100.0
    assert places[1][1] > 10, "a logarithmic scale leaves the small ones apart"
    assert cells["dcgan"].ranks == (2, 2)
    assert cells["real"].ranks is None
    absent = next(line for line in views.lines(board, heads) if line.model == "biggan").cells[-1]
    assert (absent.bar, absent.value, absent.status) == (None, None, "unsupported")


def test_an_interval_of_its_own_is_drawn_in_place_of_two_errors():
    assert views.ends_of(replace(ROW, value=10.0, stderr=1.0)) == (8.0, 12.0)
    assert views.ends_of(replace(ROW, value=10.0, stderr=1.0, low=9.5, high=13.0)) == (9.5, 13.0)
    assert views.ends_of(replace(ROW, value=10.0, stderr=None)) == (10.0, 10.0)


def test_loss_curves_are_lines_in_their_box():
    (phase,) = page.loss_curves({"curve": [CURVE]})
    name, points, low, high = phase[0]
    assert (name, low, high) == ("loss", 1.0, 3.0)
    assert points == "33.3,2.0 66.7,38.0 100.0,20.0"
    assert phase[1][1].startswith("66.7,"), "steps without a number are left out"
    assert page.loss_curves({}) == []
    assert page.loss_curves({"curve": [{"step": [1], "loss": [2.0]}]}) == [], "one point is no curve"


def test_the_fragment_is_the_table_of_the_page(folder):
    (part,) = parts_of(folder)
    whole, table = written(folder), part.board.to_html()
    rows = re.findall(r"<td.*?</td>", table, re.DOTALL)
    assert len(rows) == len(VALUES) * (len(COLUMNS) + 1)
    assert re.findall(r"<td.*?</td>", whole, re.DOTALL) == rows
    assert "<script" not in table


def test_pages_need_no_torch(folder):
    code = "import sys; from pathlib import Path; from genbench.leaderboard import boards, page\n"
    code += f"f = Path({str(folder)!r}); page.render([page.Part('d', boards.boards([f])[0], [f])], {{}})\n"
    code += "assert not {'torch', 'zoo', 'genbench.metrics'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_published_numbers_stand_below_their_board(folder):
    published = Published("digits", 5.5, "Ours et al. (2020)", "a day", "fid")
    claims = {"vae": replace(CARDS["vae"], published=(published,))}
    text = page.render(parts_of(folder), claims)
    assert "what papers report (1)" in text
    assert "<td>5.50</td><td>+24.50</td>" in text


def test_a_picture_that_is_none_is_named(folder):
    (folder / "samples" / "vae.png").write_text("no picture")
    with pytest.raises(ResultsError, match=r"cannot embed .*vae\.png"):
        written(folder)


def test_the_command_writes_the_page(folder, tmp_path):
    target = tmp_path / "out" / "page.html"
    done = CliRunner().invoke(main, ["report", str(folder), "-o", str(target), "--title", "our <models>"])
    assert done.exit_code == 0, done.output
    assert "1 board, 5 models" in done.output
    assert "<h1>our &lt;models&gt;</h1>" in target.read_text()
    empty = tmp_path / "empty"
    empty.mkdir()
    assert CliRunner().invoke(main, ["report", str(empty), "-o", str(target)]).exit_code == 1


# In a browser


def browser_path():
    """A Chromium: that of GENBENCH_TEST_BROWSER, one on the path, or None for the one that playwright has installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return os.environ.get("GENBENCH_TEST_BROWSER") or next(
        (path for name in names if (path := shutil.which(name))), None
    )


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as run:
        path = browser_path()
        if path is None and not Path(run.chromium.executable_path).exists():
            pytest.skip("no Chromium on this machine: install one, or name it in GENBENCH_TEST_BROWSER")
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        shell = run.chromium.launch(executable_path=path, args=[*options, "--headless"])
        yield shell
        shell.close()


@pytest.fixture
def opened(browser, folder):
    """The page in a browser of 1,400 pixels; it may neither complain nor ask anything of a network."""
    target = folder / "report.html"
    target.write_text(written(folder, {"vae": {"digits": {"curve": [CURVE]}}}))
    faults = []
    tab = browser.new_page(viewport={"width": 1400, "height": 900})
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("request", lambda r: faults.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    tab.goto(target.as_uri())
    yield tab
    tab.close()
    assert faults == []


def models(tab):
    return tab.eval_on_selector_all(".board tbody tr:not([hidden])", "rows => rows.map(row => row.dataset.model)")


def test_it_sorts_by_any_column_with_the_ranks_of_that_column(opened):
    assert models(opened) == ["real", "biggan", "dcgan", "vae", "<b>bad</b>"]
    head = opened.locator('th[data-column="precision"]')
    head.locator("button").click()
    assert models(opened) == ["real", "biggan", "dcgan", "vae", "<b>bad</b>"]
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").click()
    assert models(opened) == ["<b>bad</b>", "vae", "dcgan", "biggan", "real"]
    assert opened.locator("tbody tr").first.locator("td.rank").inner_text() == "4"
    opened.locator('th[data-column="memorization"] button').click()
    assert models(opened) == ["real", "dcgan", "biggan", "vae", "<b>bad</b>"], "by their distance from 0"
    for _ in range(2):
        opened.locator('th[data-column="strange"] button').click()
        assert models(opened)[-1] == "biggan", "what has no number is last either way"
    opened.locator('th[data-column="model"] button').click()
    assert models(opened) == sorted(VALUES)


def test_it_filters_models_by_words_and_by_family(opened):
    opened.fill("#filter", "gan")
    assert models(opened) == ["biggan", "dcgan"]
    assert opened.locator("#count").inner_text() == "2 of 5 rows"
    opened.fill("#filter", "gan -big")
    assert models(opened) == ["dcgan"]
    opened.fill("#filter", "")
    opened.select_option("#family", "vae")
    assert models(opened) == ["vae"]


def test_it_folds_groups_to_their_main_columns(opened):
    kid = opened.locator('th[data-column="kid"]')
    assert not kid.is_visible(), "folded at first"
    fold = opened.locator("button.fold", has_text="distance")
    fold.click()
    assert kid.is_visible()
    assert fold.get_attribute("aria-expanded") == "true"
    assert opened.locator('tr.groups th[data-group="0"]').evaluate("th => th.colSpan") == 2
    fold.click()
    assert not kid.is_visible()
    assert opened.locator("tbody tr").first.locator("td:visible").count() == 5


def test_it_copies_what_is_seen(opened):
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened.fill("#filter", "gan bad")
    opened.locator('th[data-column="precision"] button').click()
    opened.click('[data-copy="csv"]')
    opened.locator("#said:has-text('CSV copied'), dialog[open] textarea").first.wait_for()
    read = "document.querySelector('dialog textarea')?.value ?? navigator.clipboard.readText()"
    table = list(csv.DictReader(io.StringIO(opened.evaluate(read))))
    assert [row["model"] for row in table] == ["biggan", "dcgan", "<b>bad</b>"]
    assert "kid" not in table[0]
    assert (table[1]["rank"], float(table[1]["fid"]), float(table[1]["fid_stderr"])) == ("2", 8.0, 0.401)
    assert table[0]["strange"] == ""
    opened.keyboard.press("Escape")
    opened.click('[data-copy="md"]')
    opened.locator("#said:has-text('Markdown copied'), dialog[open] textarea").first.wait_for()
    lines = opened.evaluate(read).splitlines()
    assert lines[0].startswith("| # | model | FID ↓ | precision ↑ |")
    assert lines[3].startswith("| 2 | dcgan | 8.00 ± 0.40 |")
    assert "&lt;b>bad&lt;/b>" in lines[4]


def test_the_keyboard_reaches_sorting_and_cards(opened):
    opened.locator('th[data-column="kid"] button, th[data-column="precision"] button').last.focus()
    opened.keyboard.press("Enter")
    opened.keyboard.press("Enter")
    assert models(opened)[0] == "<b>bad</b>"
    opened.locator("tbody th.name button", has_text="vae").focus()
    opened.keyboard.press("Enter")
    dialog = opened.locator("dialog")
    assert dialog.is_visible()
    shown = dialog.inner_text()
    assert "Kingma" in shown
    assert "it is <i>narrow</i>" in shown
    assert "rank 3 by FID" in shown
    assert dialog.locator("img").count() == 1
    assert dialog.locator("svg.loss polyline").count() == 2
    opened.keyboard.press("Escape")
    assert not dialog.is_visible()


@pytest.mark.parametrize("width", [1400, 400])
def test_it_fits_both_widths_and_both_themes(opened, width):
    opened.set_viewport_size({"width": width, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width, "the table scrolls, the page does not"
    grounds = []
    for theme in ("light", "dark"):
        opened.select_option("#theme", theme)
        grounds.append(opened.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 29)"]

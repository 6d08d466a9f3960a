"""The page says what the results say, offline, and no name in it can run."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.laws.coverage_answer import coverage_answer
from limbeck.plots import laws, points
from limbeck.report import build_report, write_report
from limbeck.report.answer import needs, target_gap
from limbeck.report.frame import Frame, gap_range, round_steps
from limbeck.report.ink import moment, parted, softened
from limbeck.report.nulls import worst_of_noise
from limbeck.testing.worlds import World
from planted import CONFIGURATIONS, PLANTED, planted_fits, planted_png, planted_results, planted_rows
from worlds import rows_of

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
HOSTILE = "</title></style><script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">'\"`{{7*7}}"


class Tags(HTMLParser):
    """Which elements and attributes a page has, as a browser's parser sees them, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def spoiled(value: Any) -> Any:
    """A hostile text in every place that holds text."""
    if isinstance(value, dict):
        return {HOSTILE if key == "limbeck" else key: spoiled(held) for key, held in value.items()}
    if isinstance(value, list):
        return [spoiled(held) for held in value]
    return value + HOSTILE if isinstance(value, str) and value not in ("", "reference") else value


def hostile_results() -> dict[str, Any]:
    return {**spoiled(planted_results()), "images": [{"method": HOSTILE, "caption": HOSTILE, "png": planted_png()}]}


def test_the_answer_stands_first_and_every_part_is_there() -> None:
    results = planted_results()
    page = build_report(results)
    text = " ".join(Tags(page).text.split())
    assert results["plan"]["sentence"] in text
    order = ["For a gap of 10 points", "Gap against k", "The samples themselves", "Mean gap by method", "The laws"]
    order += ["What was not found", "Before you believe a curve", "How to repeat it"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    for words in (
        "The loss left the finite range at step 12.",
        "More than 10 times the largest k.",
        "study run planted",
    ):
        assert words in text


def test_every_training_is_drawn_in_the_comparison_and_in_its_own_panel() -> None:
    results = planted_results()
    clouds = re.findall(r'class="m\d cloud" d="([^"]*)"', build_report(results))
    assert len(clouds) == 2 * len(CONFIGURATIONS) * len(PLANTED)
    assert sum(cloud.count("M") for cloud in clouds) == 2 * len(points(results["rows"]))


def test_points_are_drawn_where_their_k_and_gap_are() -> None:
    frame = Frame((10, 100, 1000), 0.0, 0.5, 1000)
    across, up = [frame.x(k) for k in (10, 100, 1000)], [frame.y(gap) for gap in (0.0, 0.25, 0.5)]
    np.testing.assert_allclose(np.diff(across), np.diff(across)[0])
    np.testing.assert_allclose(up, [frame.height - frame.bottom, frame.top + frame.inner_height / 2, frame.top])


def test_the_page_is_the_same_for_the_same_results() -> None:
    assert build_report(planted_results()) == build_report(planted_results())


@pytest.mark.parametrize("part", ["study", "plan", "rows", "fits", "images", "failures"])
def test_any_part_may_be_missing(part: str) -> None:
    page = build_report({key: value for key, value in planted_results().items() if key != part})
    assert "Before you believe a curve" in page


def test_a_page_of_nothing_says_so() -> None:
    assert "No result carries a number yet." in build_report({"title": "empty"})


def test_without_a_plan_the_answer_is_what_was_measured() -> None:
    rows = [
        {"method": name, "configuration": "a", "k": k, "set": 0, "seed": 0, "gap": gap}
        for name, k, gap in [("dm", 10, 0.3), ("dm", 50, 0.12), ("random", 50, 0.2), ("dc", 10, 0.01)]
    ]
    text = " ".join(Tags(build_report({"title": "t", "rows": rows})).text.split())
    assert "With 50 samples, dm comes closest to training on all data: a mean gap of 12.0 percentage points" in text


def test_refusals_and_unbounded_intervals_are_words_not_numbers() -> None:
    fits = [
        {"method": "a", "required_k": [{"gap": 0.1, "estimate": 50, "low": 40, "high": None}]},
        {"method": "b", "required_k": [{"gap": 0.1, "estimate": None, "low": 90, "high": None}]},
        {"method": "c", "required_k": [{"gap": 0.1, "estimate": None, "refusal": "below the floor"}]},
    ]
    found = {need.method: need.words for need in needs({}, laws(fits), target_gap({}, laws(fits)))}
    assert found == {"a": "50 [40, ∞)", "b": "at least 90", "c": "below the floor"}


def test_axis_steps_are_round_and_cover_the_range() -> None:
    for low, high in [(0, 0.07), (-0.013, 0.91), (0, 0.4), (0, 0.0101)]:
        steps = round_steps(low, high)
        assert 3 <= len(steps) <= 8
        assert low <= steps[0]
        assert steps[-1] <= high + 1e-12
        assert any(abs(step) < 1e-12 for step in steps)


def test_negative_gaps_stay_on_the_page() -> None:
    held = points([{"method": "dm", "configuration": "a", "k": 10, "gap": -0.05}])
    low, high = gap_range(held)
    assert low < -0.05 < 0 < high


def test_noise_alone_gives_the_worst_of_many_a_straight_line() -> None:
    found = worst_of_noise(12, worlds=60, seed=3)
    draws = np.random.default_rng(3).standard_normal((60, 12))
    chosen = np.random.default_rng(0)
    # Monte Carlo over random subsets is the oracle of the exact expectation, in the first world.
    world, log_m = draws[0], np.log(np.arange(1, 13))
    orders = np.array([chosen.permutation(12) for _ in range(20_000)])
    worst = np.maximum.accumulate(world[orders], axis=1).mean(axis=0)
    assert worst_of_noise(12, worlds=1, seed=3).median == pytest.approx(np.corrcoef(log_m, worst)[0, 1] ** 2, abs=0.01)
    assert 0.8 < found.low <= found.median <= found.high <= 1


def test_nothing_is_fetched_and_nothing_can_run() -> None:
    found = Tags(build_report(hostile_results())).found
    names = {tag for tag, _ in found}
    assert not names & {"script", "iframe", "object", "embed", "link", "base", "form", "foreignobject", "a", "use"}
    for tag, attributes in found:
        assert not [name for name in attributes if name.startswith("on") or name in ("href", "xlink:href", "srcdoc")]
        assert tag != "img" or str(attributes["src"]).startswith("data:image/png;base64,")
    assert sum(tag == "style" for tag, _ in found) == 1
    policy = next(str(a["content"]) for _, a in found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")


@pytest.mark.parametrize("make", [planted_results, hostile_results])
def test_no_address_and_no_fetching_style_is_in_the_page(make: Any) -> None:
    page = re.sub(r"data:image/png;base64,[^\"]*", "", build_report(make()))
    assert not re.search(r"https?://|//[a-z]|url\(|@import", page, re.IGNORECASE)


def test_pictures_that_are_no_png_are_named_not_shown() -> None:
    svg = base64.b64encode(b"<svg onload='alert(1)'/>").decode()
    images = [{"method": "a", "png": svg}, {"method": "b", "png": "not base64!"}, {"method": "c"}]
    page = build_report({"title": "t", "images": [*images, {"method": "d", "png": planted_png()}]})
    assert page.count("<img") == 1
    assert "3 pictures could not be shown" in page


def test_huge_names_and_broken_characters_do_not_break_the_page(tmp_path: Path) -> None:
    row = {"method": "m" * 100_000, "configuration": "\ud800\x00\u202e" + "c" * 50_000, "k": 1e300, "gap": 0.1}
    page = write_report({"title": "t" * 99_999, "rows": [row, {**row, "k": 1e-300}]}, tmp_path / "report.html")
    assert page.stat().st_size < 100_000


def test_reports_and_figures_never_import_torch() -> None:
    code = "import sys, limbeck.report, limbeck.plots; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def covered() -> dict[str, Any]:
    """A coverage law's answer on a planted world: 12 configurations in 6 clusters."""
    runs, _, _ = World(clusters=6, copies=2, levels=(10, 50, 200)).draw(0)
    return coverage_answer(rows_of(runs, "random"), 0.1)


def test_the_coverage_law_is_drawn_as_it_was_answered(covered: dict[str, Any]) -> None:
    page = build_report({"title": "t", "coverage": covered})
    text = " ".join(Tags(page).text.split())
    assert covered["sentence"] in text
    (method,), family = covered["methods"], covered["family"]
    assert all(name in text for name in family["cover"]["names"])
    assert f"n = {method['trainings']} trainings (12 configurations, 2 sets, 2 seeds)" in text
    assert "log M = 2.48" in text
    last = method["whole_family"]["worst"][-1]
    assert f"{100 * last['split']:.1f}" in text
    assert f"{100 * last['low']:.1f}".replace("-", "−") in text
    assert last["set_by"] in text
    assert "pure noise follows log M with R² 0.98" in text
    assert "Random selection follows the same law" in text
    beyond = sum(one["censored"] for one in method["families"])
    clouds = re.findall(r'class="m0 cloud" d="([^"]*)"/><path class="m0 arrow" d="([^"]*)"', page)
    assert len(clouds) == 2  # against H, against log M
    for cloud, arrows in clouds:
        assert (cloud.count("M"), arrows.count("M")) == (len(method["families"]) - beyond, beyond)
    assert all(note["message"] in text for note in [*covered["notes"], *method["notes"]])
    assert "this study has no random" not in text.lower()


def test_families_out_of_reach_are_arrows_and_a_missing_law_is_its_reason(covered: dict[str, Any]) -> None:
    far = json.loads(json.dumps(covered).replace('"censored": false', '"censored": true'))
    far["methods"][0]["needs"] = {"H": {"refusal": "only 0 of 9 values are known"}}
    text = Tags(page := build_report({"title": "t", "coverage": far})).text
    families = len(far["methods"][0]["families"])
    assert f"{families} of them (arrows)" in text
    assert "only 0 of 9 values are known" in text
    assert max(arrows.count("M") for arrows in re.findall(r'arrow" d="([^"]*)"', page)) == families
    refused = Tags(build_report({"title": "t", "coverage": {"refusal": "3 configurations are too few."}})).text
    assert "No coverage law: 3 configurations are too few." in refused
    assert "All configurations at once" not in Tags(build_report({"title": "t"})).text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium here: install Debian's chromium to look at the page")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield opened
        opened.close()


def look(browser: Any, path: Path, results: dict[str, Any], width: int, scheme: str = "light") -> tuple[Any, list[str]]:
    """The page open in a fresh context, and everything it asked for or complained about."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, events = context.new_page(), []
    page.on("console", lambda message: events.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: events.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (events.append("dialog"), dialog.dismiss()))
    address = write_report(results, path / "report.html").as_uri()
    page.on("request", lambda asked: events.append(asked.url) if asked.url.partition(":")[0] != "data" else None)
    page.goto(address)
    assert events.pop(0) == address
    return page, events


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light")])
def test_the_page_reads_in_a_browser(
    browser: Any, tmp_path: Path, covered: dict[str, Any], width: int, scheme: str
) -> None:
    results = planted_results() | {"coverage": covered}
    page, events = look(browser, tmp_path, results, width, scheme)
    assert events == []
    heading = page.locator("h1")
    assert heading.is_visible()
    assert heading.inner_text() == results["plan"]["sentence"]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('.chart text')].map(t => t.getBoundingClientRect().height))"
    )
    assert smallest >= 10  # pixels of line height: about 9 of type, on the phone as well
    shades = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    ground, ink = (sum(json.loads("[" + re.sub(r"[^\d,]", "", shade) + "]")) for shade in shades)
    assert (ground < ink) == (scheme == "dark")
    assert abs(ground - ink) > 400
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


@pytest.mark.parametrize("width", [1280, 360])
def test_hostile_names_are_inert_in_a_browser(
    browser: Any, tmp_path: Path, covered: dict[str, Any], width: int
) -> None:
    results = {**hostile_results(), "coverage": spoiled(covered)}
    page, events = look(browser, tmp_path, results, width)
    assert events == []
    assert page.title() != "ran"
    assert page.evaluate("document.scripts.length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert "{{7*7}}" in page.locator("h1").inner_text()


def test_laws_without_configurations_or_seeds_still_make_a_page(browser: Any, tmp_path: Path) -> None:
    rows = [{"method": row["method"], "k": row["k"], "gap": 0.1} for row in planted_rows(1, 1) if row["k"]]
    fits = [{**fit, "configuration": None} for fit in planted_fits()[: len(PLANTED)]]
    page, events = look(browser, tmp_path, {"title": "bare", "rows": rows, "fits": fits}, 360)
    assert events == []
    assert page.locator(".chart").count() == 1 + len(PLANTED)


def test_intervals_alone_stand_back_in_the_sentence() -> None:
    said = softened("k-means needs 23.4 [1, \u221e) samples; dm(steps=30) 1,170 [57, 1,170]; a[b] (-\u221e, 3].")
    assert re.findall(r'<span class="aside">(.*?)</span>', said) == ["[1, \u221e)", "[57, 1,170]"]


def test_settings_of_methods_and_the_time_are_written_for_people() -> None:
    long = "dm(steps=150, batch_real=<64>)"
    assert parted(long) == 'dm<span class="settings">(steps=150, batch_real=&lt;64&gt;)</span>'
    assert parted("k-means") == "k-means"
    said = softened(f"k-means needs 23 [1, 30] samples; {long} 117.", [long, "k-means"])
    assert said.count('class="settings"') == 1
    assert Tags(str(said)).text == f"k-means needs 23 [1, 30] samples; {long} 117."
    assert moment("2026-11-24T13:44:00+00:00") == "2026-11-24 13:44 UTC"
    assert moment("yesterday, To be sure") == "yesterday, To be sure"


def test_numbers_beside_long_names_stay_in_one_line_on_a_phone(browser: Any, tmp_path: Path) -> None:
    results = planted_results()
    text = json.dumps({key: held for key, held in results.items() if key != "images"})
    long = json.loads(text.replace('"dm"', '"dm(steps=150, batch_real=64, clip=true)"'))
    page, _ = look(browser, tmp_path, long, 360)
    assert page.locator(".together text.name", has_text="dm").first.text_content() == "dm"
    heights = page.evaluate("[...document.querySelectorAll('.forest .number')].map(cell => cell.offsetHeight)")
    assert len(heights) > 4
    assert max(heights) < 40  # pixels: a line or, for a refusal, two
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_printed_page_holds_all_and_nothing_runs_over_its_edge(browser: Any, tmp_path: Path) -> None:
    """What a screen folds away, a sheet of paper can't unfold."""
    results = planted_results()
    text = json.dumps({key: held for key, held in results.items() if key != "images"})
    long = json.loads(text.replace('"dm"', '"dm(steps=150, batch_real=64, clip=true)"'))
    page, _ = look(browser, tmp_path, long, 720)
    folded = "[...document.querySelectorAll('details:not([open]) > :not(summary)')].map(held => held.offsetHeight)"
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") == 720
    assert all(page.evaluate(folded))


def test_samples_needed_stand_in_the_order_of_the_configurations_below() -> None:
    fitted = laws(planted_fits())
    seen = list(dict.fromkeys(law.configuration for law in fitted))[::-1]
    found = needs({}, fitted, target_gap({}, fitted), seen)
    assert list(dict.fromkeys(need.configuration for need in found)) == seen

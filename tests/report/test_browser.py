"""The page in headless Chromium: drawn, quiet, offline, light and dark, narrow and wide."""

import shutil
from types import SimpleNamespace

import pytest
from neural_run import write_neural_run

from tinbergen.report import write_report

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed; apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open a page; what it logs and asks for is kept."""
    contexts = []

    def open_page(path, width=1440, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        seen = SimpleNamespace(page=page, messages=[], requests=[], errors=[])
        page.on("console", lambda message: seen.messages.append(message.text))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.goto(path.as_uri())
        return seen

    yield open_page
    for context in contexts:
        context.close()


def assert_quiet(seen, path):
    assert seen.errors == []
    assert seen.messages == []
    elsewhere = [url for url in seen.requests if not url.startswith("data:")]
    assert elsewhere == [path.as_uri()]


def wait_until(page, condition, seconds=20):
    for _ in range(seconds * 20):
        if condition():
            return
        page.wait_for_timeout(50)
    raise TimeoutError("the page did not get there")


@pytest.fixture(scope="module")
def page_path(run):
    return write_report(run)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_every_figure_is_drawn(visit, page_path, colours, width):
    seen = visit(page_path, width, color_scheme=colours)
    places = seen.page.locator("[data-figure]")
    assert places.count() > 15
    for i in range(places.count()):
        drawing = places.nth(i).locator("> svg")
        assert int(drawing.get_attribute("data-marks")) > 0
        assert drawing.get_attribute("aria-label")
        box = drawing.bounding_box()
        assert box["height"] > 40
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert drawing.locator("path, rect, circle, line").count() >= 2
        assert "NaN" not in drawing.evaluate("node => node.innerHTML")
    assert seen.page.evaluate("document.documentElement.scrollWidth") == width
    pictures = seen.page.locator(".example img")
    assert pictures.count() == 18
    assert pictures.evaluate_all("all => all.every((node) => node.naturalWidth > 0)")
    assert_quiet(seen, page_path)


@pytest.fixture(scope="module")
def neural_path(tmp_path_factory):
    return write_report(write_neural_run(tmp_path_factory.mktemp("runs") / "spikes"))


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_figures_of_neurons_are_drawn(visit, neural_path, colours, width):
    seen = visit(neural_path, width, color_scheme=colours)
    places = seen.page.locator("[data-figure]")
    assert places.count() > 20
    for i in range(places.count()):
        drawing = places.nth(i).locator("> svg")
        assert int(drawing.get_attribute("data-marks")) > 0
        assert drawing.get_attribute("aria-label")
        box = drawing.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert drawing.locator("path, rect, circle, line").count() >= 2
        shapes = drawing.evaluate('node => node.innerHTML.replace(/href="[^"]*"/g, \'\')')
        assert "NaN" not in shapes
        assert "undefined" not in shapes
    assert seen.page.evaluate("document.documentElement.scrollWidth") == width
    pictures = seen.page.locator("#rates svg image")
    assert pictures.count() == 2 * (2 + 4 + 1)  # conditions, single neurons, the population
    assert_quiet(seen, neural_path)


def test_a_picture_shows_what_was_recorded_and_predicted(visit, neural_path):
    page = visit(neural_path).page
    picture = page.locator("#rates svg:has(image)").last
    colours = picture.locator("image").first.evaluate(PIXELS)
    assert len({tuple(colour) for colour in colours}) > 20
    assert [0, 0, 0, 0] in colours  # the gap in the data is no colour
    picture.focus()
    page.keyboard.press("ArrowRight")
    tip = page.locator("#tip").inner_text()
    assert "recorded" in tip
    assert "predicted" in tip
    assert "812.0" in tip
    assert picture.locator(".cell[visibility=visible]").count() == 2
    dark = page.locator("#rates svg:has(image) image").first.get_attribute("href")
    page.click("#theme")
    assert page.locator("#rates svg:has(image) image").first.get_attribute("href") != dark


PIXELS = """async (node) => {
  const image = new Image();
  image.src = node.getAttribute("href");
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, image.width, image.height).data;
  return Array.from({ length: data.length / 4 }, (_, i) => [...data.slice(4 * i, 4 * i + 4)]);
}"""


def test_hovering_a_neuron_names_it(visit, neural_path):
    page = visit(neural_path).page
    panel = page.locator("#neurons [data-figure] > svg").first
    panel.focus()
    page.keyboard.press("ArrowRight")
    assert "bits/spike" in page.locator("#tip").inner_text()
    assert panel.locator(".ring[visibility=visible]").count() == 1
    page.locator("#neurons .legend").first.locator("button").nth(1).click()
    page.mouse.move(0, 0)
    assert panel.locator(".cloud.dim").count() == panel.locator(".cloud").count() - 1


def test_hovering_decoded_behaviour_gives_the_time_of_the_recording(visit, neural_path):
    page = visit(neural_path).page
    page.locator("#decoding [data-figure] > svg").first.focus()
    page.keyboard.press("ArrowLeft")  # from the end
    assert page.locator("#tip").inner_text().startswith("1205.96 s")


def test_hostile_names_of_neurons_do_nothing(visit, tmp_path):
    name = "m{} <img src=x onerror=window.hacked=1>"
    path = write_report(write_neural_run(tmp_path / "run", units=12, trials=8, name=name))
    seen = visit(path)
    for figure in seen.page.locator("[data-figure] > svg[tabindex]").all():
        figure.focus()
        seen.page.keyboard.press("ArrowRight")
    assert seen.page.evaluate("window.hacked") is None
    assert_quiet(seen, path)


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_text_stands_out_from_the_page(visit, page_path, colours):
    page = visit(page_path, color_scheme=colours).page
    contrasts = page.evaluate(CONTRASTS)
    assert min(contrasts.values()) >= 4.5, contrasts  # WCAG AA


CONTRASTS = """() => {
  const luminance = (text) => {
    const parts = text.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255);
    const [r, g, b] = parts.map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const page = luminance(getComputedStyle(document.body).backgroundColor);
  const result = {};
  for (const name of ["ink", "soft", "muted", "good", "fair", "poor"]) {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.appendChild(probe);
    const own = luminance(getComputedStyle(probe).color);
    result[name] = (Math.max(own, page) + 0.05) / (Math.min(own, page) + 0.05);
  }
  return result;
}"""


def test_the_switch_changes_light_to_dark(visit, page_path):
    seen = visit(page_path, color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = seen.page.evaluate(background)
    seen.page.click("#theme")
    assert seen.page.evaluate(background) != light
    assert seen.page.locator("#theme").inner_text() == "Light"
    assert_quiet(seen, page_path)


def test_the_clip_plays_pauses_and_follows(visit, page_path):
    page = visit(page_path).page
    page.wait_for_selector("#clip-player[data-ready]")
    canvas, slider = page.locator("#clip-player canvas"), page.locator("#clip-player input")
    cursor = page.locator("#clip-player svg .cursor")

    def state():
        pixels = canvas.evaluate("node => node.toDataURL()")
        return canvas.get_attribute("data-frame"), cursor.get_attribute("x1"), pixels

    frame, at, pixels = state()
    assert frame == "0"
    page.click(".play")
    wait_until(page, lambda: int(state()[0]) > 8)
    page.click(".play")
    later, later_at, later_pixels = state()
    assert float(later_at) > float(at)
    assert later_pixels != pixels
    page.wait_for_timeout(200)
    assert state()[0] == later  # paused
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert state()[0] == str(int(later) + 1)
    page.locator("#clip-player figure svg").click(position={"x": 500, "y": 40})
    assert int(state()[0]) > int(later)
    page.keyboard.press("Tab")
    slider.focus()
    page.keyboard.press("End")
    assert page.locator("#clip-player output").inner_text() == "17.93 s"


def test_the_clip_ends_by_itself(visit, page_path):
    page = visit(page_path).page
    page.wait_for_selector("#clip-player[data-ready]")
    page.locator("#clip-player input").focus()
    for key in ("End", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    page.click(".play")
    wait_until(page, lambda: "Play" in page.locator(".play").inner_text())
    assert page.locator("#clip-player canvas").get_attribute("data-frame") == "89"


def test_hovering_the_map_marks_the_frame_in_each_panel(visit, page_path):
    page = visit(page_path).page
    panels = page.locator("#embedding [data-figure] > svg")
    panels.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").is_visible()
    assert "mouse" in page.locator("#tip").inner_text()
    rings = page.locator("#embedding .ring[visibility=visible]")
    assert rings.count() == panels.count() == 4
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    panels.nth(1).scroll_into_view_if_needed()
    centre = panels.nth(1).bounding_box()
    for dx in range(0, 200, 10):  # a pointer that crosses the clouds meets a point
        page.mouse.move(centre["x"] + 100 + dx, centre["y"] + centre["height"] / 2)
        if rings.count():
            break
    assert rings.count() == 4


def test_a_legend_entry_highlights_its_group(visit, page_path):
    page = visit(page_path).page
    legend = page.locator("#embedding .legend").nth(0)
    legend.locator("button").nth(1).click()
    page.mouse.move(0, 0)
    panel = page.locator("#embedding [data-figure] > svg").nth(1)
    assert panel.locator(".cloud.dim").count() == panel.locator(".cloud").count() - 1
    assert legend.locator("[aria-pressed=true]").count() == 1
    legend.locator("button").nth(1).click()
    page.mouse.move(0, 0)
    assert panel.locator(".cloud.dim").count() == 0


def test_tables_sort(visit, page_path):
    page = visit(page_path).page
    head = page.locator("#videos th button").nth(3)  # corrupt
    head.click()
    corrupt = page.locator("#videos tbody td:nth-child(4)").all_inner_texts()
    assert corrupt == sorted(corrupt, key=float)
    head.click()
    assert page.locator("#videos tbody td:nth-child(4)").first.inner_text() == "20"


def test_a_table_can_be_downloaded(visit, run, page_path):
    page = visit(page_path).page
    with page.expect_download() as waiting:
        page.click("a[download='scores.csv']")
    with open(waiting.value.path(), "rb") as file:
        assert file.read() == (run / "scores.csv").read_bytes()


def test_hostile_names_do_nothing(visit, hostile_run):
    path = write_report(hostile_run)
    seen = visit(path)
    panels = seen.page.locator("#embedding [data-figure] > svg")
    panels.first.focus()
    seen.page.keyboard.press("ArrowRight")
    assert "<script>" in seen.page.locator("#tip").inner_text()
    assert seen.page.evaluate("window.hacked") is None
    assert seen.page.locator("[onerror], #tip img").count() == 0
    assert_quiet(seen, path)


def test_injected_script_is_refused_by_the_policy(visit, page_path):
    page = visit(page_path).page
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.hacked = 1';"
        " document.body.appendChild(s); }"
    )
    assert page.evaluate("window.hacked") is None


def test_print_fits_the_paper(visit, page_path):
    page = visit(page_path, color_scheme="dark").page
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    background = "getComputedStyle(document.body).backgroundColor"
    page.evaluate(f"addEventListener('beforeprint', () => {{ window.printed = {background}; }})")
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert page.evaluate("window.printed") == "rgb(255, 255, 255)"
    page.emulate_media(media="screen", color_scheme="dark")
    assert page.evaluate(background) != "rgb(255, 255, 255)"

import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from tinbergen.errors import DataError, MissingFileError, OutputError
from tinbergen.metrics import Score
from tinbergen.report import sections, write_report

VOID = {"meta", "link", "img", "input", "br"}


class _Outline(HTMLParser):
    """Checks that elements nest, and collects anchors, addresses and attributes."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "section":
            self.sections.append(values["id"] or "")
        self.addresses += [values[key] or "" for key in ("src", "href") if key in values]
        self.handlers += [key for key in values if key.startswith("on")]
        if tag not in VOID and not tag.startswith(("path", "circle", "rect")):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(page) -> _Outline:
    parsed = _Outline()
    parsed.feed(page.read_text(encoding="utf-8"))
    assert parsed.open == []
    return parsed


def test_a_whole_run_gets_every_section(run):
    page = write_report(run)
    assert page == run / "report.html"
    assert outline(page).sections == [
        *("quality", "scores", "embedding", "clip", "reconstructions", "details"),
        *("training", "videos", "provenance"),
    ]
    assert page.stat().st_size < 5_000_000


def test_nothing_comes_from_elsewhere(run):
    addresses = outline(write_report(run)).addresses
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)


def test_hostile_names_stay_text(hostile_run):
    page = write_report(hostile_run)
    parsed = outline(page)
    assert parsed.handlers == []
    assert "<script>window.hacked" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("end", ["", "."])
def test_a_method_is_a_sentence_of_its_own(end):
    score = Score("error", 1.0, "px", "lower", method=f"distance to the label{end}")
    assert sections._score_caption(score) == "distance to the label. Lower is better."


def test_a_run_that_has_only_begun(tmp_path):
    (tmp_path / "status.json").write_text('{"state": "running", "seed": 0}')
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert outline(write_report(tmp_path)).sections == ["training", "provenance"]


def test_writing_twice_gives_the_same_page(run):
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_inputs_stay_as_they_are(run):
    def content():
        files = [p for p in sorted(run.rglob("*")) if p.is_file() and p.name != "report.html"]
        return {path: path.read_bytes() for path in files}

    before = content()
    write_report(run)
    assert content() == before


@pytest.mark.parametrize("exists", [False, True])
def test_no_run_at_the_path(tmp_path, exists):
    folder = tmp_path / "nothing"
    if exists:
        folder.mkdir()
    with pytest.raises(MissingFileError, match="nothing"):
        write_report(folder)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:100])


def _floats(path):
    np.save(path, np.zeros((2, 3, 4, 4)))


def _no_header(path):
    path.write_text("\n".join(path.read_text().split("\n")[1:]))


def _words_for_numbers(path):
    path.write_text(path.read_text().replace("1800", "many"))


def _wrong_direction(path):
    summary = json.loads(path.read_text())
    summary["headline"]["direction"] = "sideways"
    path.write_text(json.dumps(summary))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("summary.json", _truncate),
        ("summary.json", _wrong_direction),
        ("scores.csv", _no_header),
        ("videos.csv", _words_for_numbers),
        ("diagnostics/embedding_map.csv", _no_header),
        ("diagnostics/reconstructions.npy", _truncate),
        ("diagnostics/reconstructions.npy", _floats),
        ("diagnostics/clip.csv", _truncate),
        ("diagnostics/clip_frames.npy", lambda path: path.write_bytes(b"")),
    ],
)
def test_a_damaged_file_is_named(run, tmp_path, name, damage):
    copy = shutil.copytree(run, tmp_path / "copy")
    damage(copy / name)
    with pytest.raises(DataError, match=name.split("/")[-1].split(".")[0]):
        write_report(copy)
    assert not (copy / "report.html").exists() or (copy / "report.html").stat().st_size > 1000


def test_a_page_that_cannot_be_written(run, tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    copy = shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("report.html"))
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        write_report(copy)
    assert not (copy / "report.html").exists()


def test_names_that_look_like_numbers_stay_names(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    table = copy / "diagnostics/embedding_map.csv"
    table.write_text("x,y,recording,time\n0,0,007,0\n1,1,NA,1\n")
    page = write_report(copy).read_text(encoding="utf-8")
    assert '"names":["007","NA"]' in page

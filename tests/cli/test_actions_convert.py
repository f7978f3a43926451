"""``tinbergen actions convert`` by itself: what it says, writes and refuses."""

import contextlib
import io

import pytest
import typer

from tinbergen.cli.actions_convert import convert
from tinbergen.errors import ConfigError, DataError, OutputError
from tinbergen.recordings import Intervals, check_dataset, read_labels


@pytest.fixture
def run():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(convert)

    def call(*arguments):
        out, err = io.StringIO(), io.StringIO()
        code = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = app([str(a) for a in arguments], standalone_mode=False) or 0
        return code, out.getvalue(), err.getvalue()

    return call


@pytest.fixture
def boris(tmp_path):
    path = tmp_path / "b.tsv"
    header = "Observation id\tMedia duration (s)\tFPS (frame/s)\tSubject\tBehavior\t"
    rows = ["d1\t4.0\t10\tm1\twalk\tSTART\t1.0", "d1\t4.0\t10\tm1\twalk\tSTOP\t2.0"]
    path.write_text("\n".join([header + "Behavior type\tTime", *rows]))
    return path


def test_says_what_was_found_and_writes(run, boris, tmp_path):
    code, out, _ = run(boris)
    assert code == 0
    assert "boris tabular, 1 bouts of m1 of 1 classes, 1.0 s observed" in out
    assert "3.0 s without a label count as unlabelled" in out
    new = tmp_path / "new.csv"
    code, out, _ = run(boris, "-o", new, "--to", "one-hot", "--fps", 10, "--watched")
    assert code == 0
    assert new.read_text().splitlines()[:3] == [",background,walk", "0,0,0", "1,0,0"]
    again = read_labels(new, fps=10.0, individual="m1")
    assert again.intervals("walk", "m1") == Intervals([1.0], [2.0])
    assert again.observed == Intervals([0], [4])
    with pytest.raises(OutputError, match="already exists"):
        run(boris, "-o", new)
    code, _, err = run(new, "-o", tmp_path / "c.txt", "--to", "caltech", "--fps", 10)
    assert code == 3
    assert "lost: 30 frames that were watched" in err


def test_choices(run, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("rater,from,to,type\nA,1,1,walk\nB,2,4,walk\nB,5,5,rest\n")
    _, out, _ = run(
        table, "--where", "rater=B", "--frames", "--first-frame", 1, "--stop-included",
        "--fps", 1, "-o", tmp_path / "o.csv",
    )  # fmt: skip
    assert read_labels(tmp_path / "o.csv").intervals("walk") == Intervals([1.0], [4.0])
    with pytest.raises(DataError, match="line 4: 'rest' is not among the classes walk"):
        run(table, "--classes", "walk", "--frames", "--fps", 1, "--stop-included")
    with pytest.raises(ConfigError, match="expected column=value"):
        run(table, "--where", "rater")
    with pytest.raises(ConfigError, match="not both"):
        run(table, "--fps", 1, "--times", table)


def test_check_tells_about_labels(tmp_path, boris):
    (tmp_path / "dataset.yaml").write_text(
        "recordings:\n  d1:\n    streams:\n      behaviour: {kind: labels, file: b.tsv, "
        "observed: all, classes: [walk, rest], fps: 12}\n"
        "      other: {kind: labels, file: c.csv}\n"
    )
    (tmp_path / "c.csv").write_text("start,stop,label\n0,2,a\n1,3,b\n")
    first, second = check_dataset(tmp_path / "dataset.yaml")
    assert first.kind == "labels" and first.state == "ok"
    assert first.found == "1 bouts of 2 classes by m1, 1.0 s labelled, 4.0 s observed"
    assert any("never occur: rest" in problem for problem in first.problems)
    assert any("10 frames/s, the clock given here runs at 12" in p for p in first.problems)
    assert any("hold at once, 1.0 s in all" in problem for problem in second.problems)
    (tmp_path / "c.csv").write_text("start,stop,label\n3,2,a\n")
    second = check_dataset(tmp_path / "dataset.yaml")[1]
    assert second.state == "unusable"
    assert "c.csv, line 2: a must start before it stops" in second.problems[0]


def test_a_stream_is_chosen(run, tmp_path):
    path = tmp_path / "a.annot"
    path.write_text(
        "Caltech Behavior Annotator\nS1: start end type\n 1 5 walk\n"
        "S2: start end type\n 1 5 bite\n"
    )
    _, out, _ = run(path, "--fps", 10, "--where", "stream=S2")
    assert "bite" in out
    with pytest.raises(DataError, match="no stream 'S3'; it has S1, S2"):
        run(path, "--fps", 10, "--where", "stream=S3")
    with pytest.raises(DataError, match="expected one stream .where., found S1, S2"):
        run(path, "--fps", 10, "--where", "stream=S1,S2")

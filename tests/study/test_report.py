"""The page of a study, and what is said of its steps."""

import json
import re

from tinbergen.study import estimate, leftovers, study_status
from tinbergen.study.report import write_study_report
from tinbergen.study.status import last_error


def finish(step, summary=None, seconds=12.0):
    """Write what a step leaves behind."""
    for path in step.written():
        path.mkdir(parents=True)
    done = {"losses": False, "seconds": seconds, "memory_gb": 0.5, "disk_gb": 0.25}
    (step.folder / "done.json").write_text(json.dumps(done))
    step.log.write_text("said")
    if summary is not None:
        run = step.folder / "run"
        (run / "summary.json").write_text(json.dumps(summary))
        (run / "report.html").write_text("page")


def test_the_page_has_the_headlines_and_links_and_needs_nothing_else(small):
    plan = small.plan()
    score = {"name": "bits <b>", "value": 0.25, "null": 0.1, "interval": [0.2, 0.3]}
    finish(plan.steps["neurons"], {"headline": score})
    finish(plan.steps["features"])
    failed = plan.steps["wheel"]
    failed.folder.mkdir(parents=True)
    (failed.folder / "state.json").write_text(json.dumps({"state": "failed", "seconds": 1.0}))
    failed.log.write_text("working\nerror: no <wheel> here\n")
    page = write_study_report(plan).read_text(encoding="utf-8")
    assert "2 of 4 done" in page
    assert "bits &lt;b&gt;" in page and "0.200 to 0.300" in page and "0.100 (null)" in page
    assert "no &lt;wheel&gt; here" in page and "<wheel>" not in page
    links = re.findall(r'href="([^"#][^"]*)"', page)
    linked = [link for link in links if not link.startswith("data:")]
    assert all((plan.study.out / link).is_file() for link in linked)
    name = plan.steps["neurons"].folder.name
    assert f"neurons/{name}/run/report.html" in linked and f"neurons/{name}/log.txt" in linked
    assert "http" not in re.sub(
        r"<meta[^>]*>|<script.*?</script>|<pre>.*?</pre>", "", page, flags=re.S
    )


def test_earlier_results_are_stale_and_tell_how_long_it_takes(small):
    plan = small.plan()
    finish(plan.steps["wheel"], seconds=77.0)
    assert estimate(plan)["wheel"].source == "an earlier run"
    small.changed("wheel", bin=0.2)
    after = small.plan()
    states = {each.name: each.state for each in study_status(after)}
    assert states["wheel"] == "stale" and states["neurons"] == "waiting"
    found = estimate(after)["wheel"]
    assert (found.seconds, found.memory_gb, found.disk_gb) == (77.0, 0.5, 0.25)
    assert leftovers(after) == [plan.steps["wheel"].folder]


def test_the_status_as_json(cli, small):
    plan = small.plan()
    finish(plan.steps["wheel"], seconds=77.0)
    small.changed("wheel", bin=0.2)
    said = cli("study", "status", small.file, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert {each["name"]: each["state"] for each in found["steps"]} == {
        "features": "waiting", "embeddings": "waiting", "neurons": "waiting", "wheel": "stale"
    }  # fmt: skip
    assert found["leftovers"] == [str(plan.steps["wheel"].folder)]


def test_estimates_grow_with_what_there_is_to_do(small):
    few = estimate(small.plan())["features"]
    many = estimate(small.changed("features", steps=3000).plan())["features"]
    large = estimate(small.changed("features", steps=3000, size="b").plan())["features"]
    assert few.seconds < many.seconds < large.seconds
    assert "constants" in few.source


def test_the_last_error_of_a_log(tmp_path):
    log = tmp_path / "log.txt"
    assert last_error(log) == ""
    log.write_text("a\nerror: first\nerror: second\nbye\n")
    assert last_error(log) == "error: second"
    log.write_text("step 1\rstep 2\rstep 3")
    assert last_error(log) == "step 3"
    log.write_text("Traceback (most recent call last):\n  x\nValueError: bad\n")
    assert last_error(log) == "ValueError: bad"
    log.write_text("error: 2 of 2 cannot be used:\n  no 'sped' in a\n  nor in b\nRepair.\n")
    assert last_error(log) == "error: 2 of 2 cannot be used: no 'sped' in a"

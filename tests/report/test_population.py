"""The sections of a run that answers many questions: nothing invented, nothing broken."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from tinbergen.errors import DataError
from tinbergen.report import write_report

COLUMNS = ["score", "task", "method", "mean", "low", "high", "unit", "n", "recordings", "pooled"]
COLUMNS += ["difference", "difference_low", "difference_high", "p", "flipped"]
NAN = np.nan
HOSTILE = "<script>window.hacked=1</script>\"'&"


@pytest.fixture
def page_of(run, tmp_path):
    """Write the page of a run that has these tables too."""

    def write(tasks=None, transfer=None) -> str:
        folder = shutil.copytree(run, tmp_path / "run")
        for name, table in (("tasks", tasks), ("transfer", transfer)):
            if table is not None:
                table.to_csv(folder / "diagnostics" / f"{name}.csv", index=False)
        return write_report(folder).read_text("utf-8")

    return write


def section(page, anchor):
    return re.search(rf'<section id="{anchor}">.*?</section>', page, flags=re.S)


def text_of(html):
    return re.sub(r"<[^>]+>", "|", html)


def tasks(title="Co-smoothing"):
    rows = [
        (title, "t", "network", 0.25, 0.2, 0.3, "bits/spike", 80, 2, 0.21, NAN, NAN, NAN, NAN, ""),
        (title, "t", "ridge", 0.15, 0.1, 0.2, "bits/spike", 80, 2, 0.12, 0.1, 0.05, 0.15, 0.004,
         "units"),
        ("Decoding", "t", "network", 0.6, NAN, NAN, "", 2, 2, NAN, NAN, NAN, NAN, NAN, ""),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def test_all_methods_stand_in_one_table(page_of):
    found = section(page_of(tasks()), "tasks")
    assert found is not None
    said = text_of(found[0])
    for text in ("Co-smoothing (bits/spike)", "0.250", "0.200 to 0.300", "0.004 (units)", "0.100"):
        assert text in said, text
    assert re.findall(r"<strong>(\w+)</strong>", found[0]) == ["network", "network"]
    assert "nan" not in said.lower()


def test_names_are_escaped(page_of):
    page = page_of(tasks(HOSTILE))
    assert HOSTILE not in page


def test_regions_are_averaged_by_units(page_of):
    rows = [("a", "CA1", "LP", 0.1, 10), ("b", "CA1", "LP", 0.4, 20), ("a", "LP", "CA1", -0.2, 5)]
    table = pd.DataFrame(rows, columns=["recording", "source", "target", "value", "n"])
    found = section(page_of(transfer=table), "transfer")
    assert found is not None
    titles = dict(re.findall(r'title="(\w+ from \w+): ([^"]+)"', found[0]))
    assert titles == {"LP from CA1": "0.300, 30 units", "CA1 from LP": "-0.200, 5 units"}
    assert found[0].count("–") == 2  # the diagonal was not measured


def test_without_files_there_is_no_section(page_of):
    page = page_of()
    assert section(page, "tasks") is None
    assert section(page, "transfer") is None


def test_a_broken_table_is_named(page_of):
    with pytest.raises(DataError, match=r"tasks\.csv: expected the columns .* p missing"):
        page_of(tasks().drop(columns="p"))

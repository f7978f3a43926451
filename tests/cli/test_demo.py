"""``tinbergen demo`` where it cannot write; the whole of it is run by ``make demo``."""

from tinbergen.cli.demo import free_folder


def test_a_file_where_the_folder_should_be(cli, tmp_path):
    (tmp_path / "demo").write_text("precious")
    said = cli("demo", tmp_path / "demo")
    assert said.code == 1
    assert said.err.startswith("error: Expected a folder at") and "Traceback" not in said.err
    assert (tmp_path / "demo").read_text() == "precious"


def test_an_earlier_demo_is_not_overwritten(cli, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "dataset.yaml").write_text("precious")
    said = cli("demo", tmp_path)
    assert said.code == 1
    assert "error: " in said.err and "not empty" in said.err
    assert (tmp_path / "study" / "dataset.yaml").read_text() == "precious"


def test_a_second_demo_gets_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(free_folder("demo")) == "demo"
    for taken, free in (("demo", "demo-2"), ("demo-2", "demo-3")):
        (tmp_path / taken / "study").mkdir(parents=True)
        assert str(free_folder("demo")) == free

"""``tinbergen demo`` where it cannot write; the whole of it is run by ``make demo``."""


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

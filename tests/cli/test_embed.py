"""``tinbergen embed`` on good and on broken input."""

import shutil

import numpy as np
import pytest

from tinbergen.beast import open_embeddings


def files_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def assert_refused(said, code, *words):
    assert said.code == code, said
    assert "Traceback" not in said.err
    message = said.err[said.err.index("error: ") :]
    for word in words:
        assert word in message, message


@pytest.fixture(scope="module")
def embedded(cli, videos, trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("embedded") / "out"
    said = cli("embed", trained, videos, "--out", out, "--tokens", "cls,patch")
    assert said.code == 0, said.err
    return out


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_one_row_a_frame(embedded):
    found = open_embeddings(embedded)
    assert sorted(found) == ["v0", "v1"]
    for embedding in found.values():
        assert embedding.values("cls").shape == (120, 16)
        assert embedding.values("patch").shape == (120, 6, 8, 16)
        np.testing.assert_allclose(embedding.times, np.arange(120) / 30, atol=1e-4)
        assert np.isfinite(embedding.values("cls")).all() and not embedding.status.any()


def test_called_again_it_changes_nothing(cli, videos, trained, embedded):
    before = contents(embedded)
    said = cli("embed", trained, videos, "--out", embedded, "--tokens", "cls,patch")
    assert said.code == 0
    assert contents(embedded) == before


@pytest.mark.parametrize(
    "extra", [["--tokens", "cls"], ["--tokens", "cls,patch", "--dtype", "float32"]]
)
def test_finished_embeddings_of_other_settings_are_not_replaced(
    cli, videos, trained, embedded, extra
):
    before = contents(embedded)
    said = cli("embed", trained, videos, "--out", embedded, *extra)
    assert_refused(said, 1, "exists already", "--overwrite")
    assert contents(embedded) == before


def test_overwrite_replaces(cli, videos, trained, tmp_path):
    arguments = ["embed", trained, videos, "--out", tmp_path / "out"]
    assert cli(*arguments).code == 0
    assert cli(*arguments, "--dtype", "float32", "--overwrite").code == 0
    found = open_embeddings(tmp_path / "out")["v0"].values()
    assert found.dtype == np.float32


def test_nwb_is_written_once(cli, videos, trained, tmp_path):
    pytest.importorskip("pynwb")
    arguments = ["embed", trained, videos, "--out", tmp_path / "out", "--nwb"]
    assert cli(*arguments).code == 0
    assert (tmp_path / "out" / "v0" / "embedding.nwb").is_file()
    assert cli(*arguments).code == 0


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        (["--tokens", "cls,cat"], 2, ["cls, mean, grid, texture, patch", "cat"]),
        (["--tokens", ""], 2, ["tokens"]),
        (["--layers", "5"], 2, ["expected 1 to 1, found 5"]),
        (["--layers", "a"], 2, ["--layers", "'a'"]),
        (["--dtype", "float64"], 2, ["--dtype", "'float64'"]),
        (["--device", "tpu"], 2, ["device", "'tpu'"]),
        (["--precision", "fp8"], 2, ["precision", "'fp8'"]),
    ],
)
def test_wrong_settings(cli, videos, trained, tmp_path, extra, code, words):
    said = cli("embed", trained, videos, "--out", tmp_path / "out", *extra)
    assert_refused(said, code, *words)
    assert files_in(tmp_path) == []


def test_no_run(cli, videos, tmp_path):
    said = cli("embed", tmp_path / "nothing", videos, "--out", tmp_path / "out")
    assert_refused(said, 1, "Expected a run folder", "nothing")


def test_unfinished_run(cli, videos, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "weights.safetensors").unlink()
    assert_refused(cli("embed", run, videos, "--out", tmp_path / "out"), 1, "resume the run")


@pytest.mark.parametrize("kind", ["text", "zero-length", "truncated"])
def test_unreadable_videos(cli, videos, trained, tmp_path, kind):
    data, whole = tmp_path / "data", (videos / "v0.mp4").read_bytes()
    shutil.copytree(videos, data)
    broken = {"text": b"text\n" * 9, "zero-length": b"", "truncated": whole[: len(whole) // 2]}
    (data / "broken.mp4").write_bytes(broken[kind])
    arguments = ["embed", trained, data, "--out", tmp_path / "out"]
    assert_refused(cli(*arguments), 1, "broken.mp4", "--skip-bad")
    assert files_in(tmp_path / "out") == []
    said = cli(*arguments, "--skip-bad")
    assert said.code == 3
    assert "left out" in said.err
    assert sorted(open_embeddings(tmp_path / "out")) == ["v0", "v1"]


def test_damaged_frames_are_nan_with_a_status(cli, videos, clip, trained, tmp_path):
    data = bytearray(clip(tmp_path / "data" / "flip.mp4").read_bytes())
    for place in range(len(data) // 4, len(data) // 2, 97):
        data[place] ^= 0x24
    (tmp_path / "data" / "flip.mp4").write_bytes(bytes(data))
    said = cli("embed", trained, tmp_path / "data", "--out", tmp_path / "out")
    assert said.code == 3, said
    assert "could not be decoded (NaN)" in said.out
    embedding = open_embeddings(tmp_path / "out")["flip"]
    bad = embedding.status != 0
    assert len(embedding) == 120 and 0 < bad.sum() < 120
    values = embedding.values()
    assert np.isnan(values[bad]).all() and np.isfinite(values[~bad]).all()


def test_one_frame_and_one_name_in_two_folders(cli, clip, trained, tmp_path):
    data = tmp_path / "Daten 1"
    clip(data / "день" / "a b.mp4", 1)
    clip(data / "ü" / "a b.mp4", 20)
    said = cli("embed", trained, data, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    found = open_embeddings(tmp_path / "out")
    assert {name: len(e) for name, e in found.items()} == {"день/a b": 1, "ü/a b": 20}


def test_a_video_beside_a_folder_of_its_name(cli, clip, trained, tmp_path):
    """Replacing the one must not take along what lies in the other."""
    data = tmp_path / "data"
    clip(data / "day1.mp4", 20)
    clip(data / "day1" / "left.mp4", 20)
    arguments = ["embed", trained, data, "--out", tmp_path / "out"]
    for extra in ([], ["--overwrite"]):
        assert cli(*arguments, *extra).code == 0
        assert sorted(open_embeddings(tmp_path / "out")) == ["day1.mp4", "day1/left"]


def test_outputs_that_cannot_be(cli, videos, trained, tmp_path):
    (tmp_path / "out").write_text("precious")
    for where in ("out", "out/below"):
        said = cli("embed", trained, videos, "--out", tmp_path / where)
        assert_refused(said, 1, str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "precious"


def test_read_only_disk(cli, videos, trained, small_disk):
    disk = small_disk("size=1m,ro")
    assert_refused(cli("embed", trained, videos, "--out", disk / "out"), 1, "read-only")


def test_full_disk_then_gone_on_with(cli, videos, trained, embedded, small_disk):
    disk = small_disk("size=1m")
    fill = disk / "fill"
    fill.write_bytes(bytes(700_000))
    arguments = ["embed", trained, videos, "--out", disk / "out", "--tokens", "cls,patch"]
    said = cli(*arguments)
    assert_refused(said, 1, "free")
    fill.unlink()
    assert cli(*arguments).code == 0
    assert contents(disk / "out") == contents(embedded)


def test_no_room_for_nwb(cli, videos, trained, small_disk):
    pytest.importorskip("pynwb")
    disk = small_disk("size=3m")
    arguments = ["embed", trained, videos, "--out", disk / "out"]
    assert cli(*arguments).code == 0
    fill = disk / "fill"
    fill.write_bytes(bytes(2_900_000))
    said = cli(*arguments, "--nwb")
    assert said.code == 1, said
    assert "are free" in said.err and "Traceback" not in said.err
    assert not list(disk.rglob("*.nwb"))
    fill.unlink()
    assert cli(*arguments, "--nwb").code == 0

"""Labels and videos that are not as they should be, through the command line: one message each."""

import cv2
import numpy as np
import pytest
from spots import SMALL, picture, write_project

SETTINGS = [
    "--set", "longest=96", "--set", f"conv.widths={SMALL['conv']['widths']}",
    "--set", "conv.merged=16", "--set", "train.device=cpu", "--set", "train.tensorboard=false",
    "--set", "train.batch_size=8", "--steps", "4", "--no-report",
]  # fmt: skip


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path / "project", 12)


@pytest.fixture
def other_size(tmp_path):
    """A video that is square, where the labelled images are 80 x 60 px."""
    from tinbergen.recordings import write_video

    path = tmp_path / "square.mp4"
    write_video(path, np.zeros((12, 64, 64), np.uint8), np.arange(12) / 30)
    return path


def refused(said, *texts):
    assert said.code == 1, said
    assert "Traceback" not in said.err
    for text in texts:
        assert text in said.err


def without_a_label(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(lines[:3] + [",".join([*line.split(",")[:3], "", ""]) for line in lines[3:]])


@pytest.mark.parametrize(
    ("broken", "texts"),
    [
        (without_a_label, ["dot: labelled in none", "--keypoints spot"]),
        (lambda t: t.replace("bodyparts", "parts"), ["CollectedData.csv", "bodyparts"]),
        (lambda t: t.replace("coords,x,y", "coords,x,z"), ["CollectedData.csv", "x or y"]),
        (lambda t: "\n".join(t.splitlines()[:3]), ["CollectedData.csv", "only the header"]),
        (lambda t: t.replace("img003", "img993"), ["img993.png is not there", "--skip-bad"]),
    ],
    ids=["never labelled", "header level", "coordinates", "no rows", "no image"],
)
def test_tables_that_are_wrong(cli, project, tmp_path, broken, texts):
    table = project / "CollectedData.csv"
    table.write_text(broken(table.read_text()))
    refused(cli("pose", "train", project, "--out", tmp_path / "run", *SETTINGS), *texts)
    assert not (tmp_path / "run").exists()


def test_videos_of_another_size(cli, project, other_size, tmp_path):
    said = cli(
        "pose", "train", project, "--out", tmp_path / "no", "--videos", other_size, *SETTINGS
    )
    refused(said, "square.mp4", "expected frames like the labelled images, 80 x 60 px")
    said = cli("pose", "train", project, "--out", tmp_path / "no", "--videos", tmp_path / "x.mp4")
    refused(said, "x.mp4")
    assert not (tmp_path / "no").exists()
    assert cli("pose", "train", project, "--out", tmp_path / "run", *SETTINGS).code == 0
    arguments = ("pose", "predict", tmp_path / "run", other_size, "--out", tmp_path / "out")
    refused(cli(*arguments), "square.mp4", "found 64 x 64 px", "--any-size")
    assert cli(*arguments, "--any-size").code == 0


def test_images_of_mixed_sizes_and_runs_side_by_side(cli, project, tmp_path):
    places = np.array([[30.0, 40.0], [90.0, 80.0]])
    image = project / "labeled-data/video0/img003.png"
    cv2.imwrite(str(image), picture(places, (120, 160)))
    for name in ("a", "b"):
        said = cli("pose", "train", project, "--out", tmp_path / name, "--set",
                   f"train.seed={'ab'.index(name)}", *SETTINGS)  # fmt: skip
        assert said.code == 0, said
        assert "1 of 160 x 120 px (video0/img003.png)" in said.err
    said = cli("pose", "evaluate", tmp_path / "a", project, "--part", "all",
               "--against", tmp_path / "b")  # fmt: skip
    assert said.code == 0, said
    assert "negative: this run is better" in said.out
    assert said.out.count("px where the runs disagree") == 2

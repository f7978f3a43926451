"""Real recordings through the command line, with a network that is far too small for them."""

import json

import pytest

pytestmark = pytest.mark.slow


def tiny_frames(tiny):
    return tiny(frames__select="uniform", frames__per_video=20, train__steps=4)


def test_labels_of_a_deeplabcut_project_are_found(cli, tiny, real_data, tmp_path):
    project = real_data / "video" / "mouse_openfield_top_dlc"
    if not project.is_dir():
        pytest.skip(f"no {project}")
    said = cli("pretrain", project, "--out", tmp_path / "run", *tiny_frames(tiny))
    assert said.code == 0, said.err
    headline = json.loads((tmp_path / "run" / "summary.json").read_text())["headline"]
    assert headline["name"] == "Keypoint probe"
    assert "hand-labelled" in headline["n_name"]


def test_arrays_images_and_videos_of_several_rigs_together(cli, tiny, real_data, tmp_path):
    parts = [
        real_data / "video" / name
        for name in (
            "zebrafish_larva_stytra/fish_compressed.h5", "ibl_reference_frames",
            "mouse_eye_eyeloop", "dog_side_dlclive",
        )
    ]  # fmt: skip
    if missing := [part for part in parts if not part.exists()]:
        pytest.skip(f"no {missing[0]}")
    said = cli("pretrain", *parts, "--out", tmp_path / "run", *tiny_frames(tiny))
    assert said.code in (0, 3), said.err  # 3: some of the reference frames are of another size
    assert "Traceback" not in said.err
    assert len((tmp_path / "run" / "videos.csv").read_text().splitlines()) == 1 + len(parts)

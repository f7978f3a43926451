import threading
import time
import tracemalloc

import numpy as np
import pytest

from tinbergen.beast import embed_io
from tinbergen.beast.embed_io import EmbeddingWriter, embed_video
from tinbergen.beast.embedding import Embedding, open_embeddings, write_nwb
from tinbergen.errors import DataError, MissingFileError, OutputError
from tinbergen.recordings.reading_ahead import decode_ahead


def encode(frames):
    means = frames.astype(np.float32).mean((1, 2))
    patch = frames[:, :4, :6, :1].astype(np.float32)
    return {"cls": means, "patch": patch}


def expected(video, bad=()):
    rows = [encode(video.frame(i)[None]) if i not in bad else None for i in range(len(video))]
    nan = {"cls": np.full((1, 3), np.nan), "patch": np.full((1, 4, 6, 1), np.nan)}
    return {kind: np.concatenate([(row or nan)[kind] for row in rows]) for kind in nan}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("bad", [(), (0, 1, 2, 3, 4, 9, 10, 29)])
def test_rows_follow_the_frames(tmp_path, array_video, dtype, bad):
    video = array_video(30, bad=bad, times=np.arange(30) / 7 + 2)
    with EmbeddingWriter(tmp_path / "out/ü b", times=video.times, source={}, dtype=dtype) as w:
        embed_video(video, encode, w, batch_size=4)
    embedding = open_embeddings(tmp_path / "out")["ü b"]
    for kind, values in expected(video, bad).items():
        assert embedding.values(kind).dtype == dtype
        np.testing.assert_array_equal(embedding.values(kind), values.astype(dtype))
    assert np.array_equal(embedding.times, video.times)
    assert np.array_equal(np.flatnonzero(embedding.status), list(bad))
    assert embedding.meta["n_damaged"] == len(bad) and embedding.kinds == ["cls", "patch"]
    text = (embedding.path / "index.csv").read_text().splitlines()
    assert text[0] == "frame,time,status" and len(text) == 31
    series = embedding.series("patch")
    assert series.values.shape == (30, 24) and series.values.dtype == np.float32
    with pytest.raises(DataError, match="cls, patch"):
        embedding.values("mean")


@pytest.mark.parametrize("bad", [(), (0, 1, 2, 13)])
def test_killed_and_resumed_is_the_same_bytes(tmp_path, array_video, monkeypatch, bad):
    monkeypatch.setattr(embed_io, "_ROWS_PER_MARK", 8)
    video = array_video(50, bad=bad)
    straight = EmbeddingWriter(tmp_path / "straight", times=video.times, source={"run": "a"})
    with straight:
        embed_video(video, encode, straight, batch_size=4)
    calls = []

    def killed(frames):
        calls.append(len(frames))
        if len(calls) == 7:
            raise KeyboardInterrupt
        return encode(frames)

    first = EmbeddingWriter(tmp_path / "out", times=video.times, source={"run": "a"})
    with pytest.raises(KeyboardInterrupt), first:
        embed_video(video, killed, first, batch_size=4)
    assert not (tmp_path / "out").exists()
    second = EmbeddingWriter(tmp_path / "out", times=video.times, source={"run": "a"})
    assert second.rows in (16, 24)
    with second:
        embed_video(video, encode, second, batch_size=4)
    for name in ("cls.npy", "patch.npy", "index.csv", "meta.json"):
        assert (tmp_path / "out" / name).read_bytes() == (
            tmp_path / "straight" / name
        ).read_bytes()


def test_half_written_by_another_source_is_thrown_away(tmp_path, array_video, monkeypatch):
    monkeypatch.setattr(embed_io, "_ROWS_PER_MARK", 4)
    video = array_video(20)
    first = EmbeddingWriter(tmp_path / "out", times=video.times, source={"weights": 1})
    first.write(encode(video.frames(range(8)).frames), np.zeros(8))
    first.close()
    assert EmbeddingWriter(tmp_path / "out", times=video.times, source={"weights": 1}).rows == 8
    assert EmbeddingWriter(tmp_path / "out", times=video.times, source={"weights": 2}).rows == 0


def test_outputs_in_the_way(tmp_path, array_video):
    video = array_video(5)
    for overwrite in (False, True):
        with EmbeddingWriter(
            tmp_path / "out", times=video.times, source={}, overwrite=overwrite
        ) as writer:
            embed_video(video, encode, writer)
    with pytest.raises(OutputError, match="exists already"):
        EmbeddingWriter(tmp_path / "out", times=video.times, source={})
    with pytest.raises(MissingFileError):
        open_embeddings(tmp_path / "nothing")
    with pytest.raises(MissingFileError):
        Embedding(tmp_path)


def test_incomplete_or_wrong_rows(tmp_path):
    writer = EmbeddingWriter(tmp_path / "out", times=np.arange(4.0), source={})
    tokens = {"cls": np.zeros((2, 3), np.float32)}
    writer.write(tokens, np.zeros(2))
    with pytest.raises(DataError, match="expected 1 rows"):
        writer.write(tokens, np.array([0, 1]))
    with pytest.raises(DataError, match="5 rows for 4 frames"):
        writer.write(tokens, np.zeros(3))
    with pytest.raises(DataError, match="2 of 4 rows"):
        writer.finish()


def test_nothing_decodable(tmp_path, array_video):
    video = array_video(4, bad=range(4))
    writer = EmbeddingWriter(tmp_path / "out", times=video.times, source={})
    with pytest.raises(DataError, match="not one of 4"), writer:
        embed_video(video, encode, writer)


def test_disk_too_small(tmp_path, monkeypatch):
    writer = EmbeddingWriter(tmp_path / "out", times=np.arange(1000.0), source={})
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OutputError, match="GB"):
        writer.write({"cls": np.zeros((1, 8))}, np.zeros(1))


def test_decoding_overlaps_encoding_and_stops_with_it(array_video):
    video = array_video(64)
    decoded = []
    original = video.iterate

    def slow(*args, **kwargs):
        for batch in original(*args, **kwargs):
            time.sleep(0.02)
            decoded.append(batch.indices[0])
            yield batch

    video.iterate = slow
    start = time.perf_counter()
    for _ in decode_ahead(video, 0, 4):
        time.sleep(0.02)
    assert time.perf_counter() - start < 0.9 * 16 * 0.04
    decoded.clear()
    before = threading.active_count()
    stream = decode_ahead(video, 0, 4)
    next(stream)
    stream.close()
    assert threading.active_count() == before and len(decoded) <= 5


def test_errors_of_the_decoding_thread_arrive(array_video):
    video = array_video(8)
    video._pixels = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(decode_ahead(video, 0, 4))


def test_memory_does_not_grow_with_the_video(tmp_path, array_video):
    frame = np.zeros((1, 48, 48, 3), np.uint8)
    peaks = []
    for n in (200, 4000):
        video = array_video(frames=np.broadcast_to(frame, (n, 48, 48, 3)), name=f"{n}.npy")
        writer = EmbeddingWriter(tmp_path / str(n), times=video.times, source={})
        tracemalloc.start()
        embed_video(video, encode, writer)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        writer.finish()
    assert peaks[1] < 1.2 * peaks[0]


def test_nwb_is_read_back_by_pynwb(tmp_path, array_video):
    pynwb = pytest.importorskip("pynwb")
    video = array_video(30, bad=[4], times=np.arange(30) / 7 + 2)
    with EmbeddingWriter(tmp_path / "out", times=video.times, source={}) as writer:
        embed_video(video, encode, writer)
    embedding = Embedding(tmp_path / "out")
    write_nwb(embedding, tmp_path / "out.nwb")
    with pynwb.NWBHDF5IO(tmp_path / "out.nwb", "r") as file:
        behavior = file.read().processing["behavior"]
        for kind in ("cls", "patch"):
            series = behavior[f"embedding_{kind}"]
            np.testing.assert_array_equal(series.data[:], embedding.values(kind))
            np.testing.assert_array_equal(series.timestamps[:], video.times)
        assert behavior["frame_status"].data[4] == 1
    with pytest.raises(OutputError, match="exists"):
        write_nwb(embedding, tmp_path / "out.nwb")

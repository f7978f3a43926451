"""One self-contained, offline HTML page for a run.

:func:`write_report` reads what lies in a run folder and writes ``report.html`` beside it; a
section appears where its file lies, so every room that writes the files below gets a page. Nothing
here imports torch: results arrive as plain tables and arrays.

CSV files are UTF-8 with a header row, an empty cell is "not known"; JSON has no NaN (``null``);
arrays are ``.npy`` without pickles; times are float seconds on the recording's clock.

**In the run folder**

``config.yaml``, ``status.json``, ``splits.json``, ``metrics.jsonl``
    As :mod:`tinbergen.training` writes them. Every number of ``metrics.jsonl`` becomes a curve
    over ``step``. Keys that start with ``validation/``, ``validation_``, ``val/`` or ``val_`` are
    drawn on the panel of the same name without that prefix, ``x_chance`` on the panels of
    ``x_...``; ``data_s`` and ``compute_s`` (seconds a step) become the data/compute split.
``summary.json``
    ``schema_version`` (1), ``room``, ``title``, ``trained_on``, ``seconds``, ``headline`` (a
    score), ``scores`` (the other scores), ``alarms`` (``name``, ``raised``, ``text``) and
    ``notes`` (texts). A *score* has ``name``, ``value``, ``interval`` ([low, high] or null),
    ``interval_name``, ``null`` (the value without information: chance, train mean, shuffled),
    ``null_name``, ``unit`` ("" for a fraction), ``direction`` ("lower" or "higher" is better),
    ``baselines`` (``name``, ``value``, ``interval``), and optionally ``n``, ``n_name``, ``split``,
    ``method``, ``verdict``, ``text``; see :class:`tinbergen.metrics.Score`.
``scores.csv``
    A row a unit, class or keypoint, and recording: ``score, recording, kind, name, value, null,
    low, high, unit, direction, n``; further columns are allowed. An empty ``recording`` means all
    pooled.
``videos.csv``
    A row a video: ``recording, video, n_frames, ok, corrupt, missing, fps, duration, width,
    height, damaged_frames, damaged_times, message``. Duration in s; ``damaged_frames`` holds
    inclusive ranges (``12-15;88-88``), ``damaged_times`` the same in s since the first frame.

**In its folder diagnostics/**

``figures.json``
    Captions: a mapping with the optional keys ``embedding_map`` (``method``, ``x_label``,
    ``y_label``, ``units``, ``note``), ``reconstructions`` (``columns``, ``rows``, ``error_name``,
    ``note``) and ``clip`` (``recording``, ``units``, ``note``).
``embedding_map.csv``
    ``x, y, recording, time`` and further columns to colour by: numbers or names.
``reconstructions.npy``
    uint8 ``(row, column, height, width)`` or ``(..., 3)`` RGB: original, masked, reconstruction.
``clip_frames.npy`` and ``clip.csv``
    uint8 ``(time, height, width)`` or ``(..., 3)``, and one row a frame: ``time`` (s), numeric
    columns (traces) and text columns (drawn as an ethogram).
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

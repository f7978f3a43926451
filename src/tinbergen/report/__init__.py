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
    pooled. Of several ``features`` (a column that need not be there) the first ones are drawn.
``videos.csv``
    A row a video: ``recording, video, n_frames, ok, corrupt, missing, fps, duration, width,
    height, damaged_frames, damaged_times, message``. Duration in s; ``damaged_frames`` holds
    inclusive ranges (``12-15;88-88``), ``damaged_times`` the same in s since the first frame.

**In its folder diagnostics/**

``figures.json``
    Captions: a mapping with the optional keys ``embedding_map`` (``method``, ``x_label``,
    ``y_label``, ``units``, ``noun`` of a point, default "frame", ``note``), ``reconstructions``
    (``title``, ``columns``, ``rows``, ``error_name``, ``note``) and ``clip`` (``recording``,
    ``units``, ``note``).
``embedding_map.csv``
    ``x, y, recording, time`` and further columns to colour by: numbers or names. ``time`` may be
    empty.
``reconstructions.npy``
    uint8 ``(row, column, height, width)`` or ``(..., 3)`` RGB: original, masked, reconstruction.
``clip_frames.npy`` and ``clip.csv``
    uint8 ``(time, height, width)`` or ``(..., 3)``, and one row a frame: ``time`` (s), numeric
    columns (traces) and text columns (drawn as an ethogram).

**There too, of a run that predicts spikes or decodes them.** Recorded and predicted values share
an array, the recorded ones first; NaN is "no data". ``figures.json`` has a caption under the name
of each file; those of arrays are needed, and so are their entries that say so.

``units.csv``
    A row a neuron, predictor and score: ``recording, unit, region, depth, predictor, score, value,
    null, low, high``. Depth in µm. The first predictor (a feature set, a model) is the run's own,
    the others are what it is compared with. An empty ``value`` means that the neuron could not be
    scored; ``null`` is the mean of its null distribution. Caption: ``noun`` (what a row is about;
    "neuron", or "target" of what is decoded), ``unit`` (of each score), ``null_name``, ``note``.
``tasks.csv``
    A row a question and method, the run's own method first: ``score, task, method, mean, low,
    high, unit, n, recordings, difference, difference_low, difference_high, p, flipped`` (what a
    sign-flip test flipped), and optionally ``pooled``, ``against_test_mean``. Caption: ``note``.
``lineage.csv``
    A row a model of ``tasks.csv`` that is compared with others: ``method, animals, sessions`` that
    it was trained on before it met the sessions that are scored.
``transfer.csv``
    A row a recording and pair of regions: ``recording, source, target, value, n``: how well
    ``target`` is predicted from ``source`` alone, a mean over ``n`` units. Caption: ``unit``,
    ``note``.
``nulls.csv``
    A row a draw of a null distribution: ``recording, target, score, null, value``; an empty
    ``recording`` means pooled, an empty ``target`` spikes; ``null`` is its kind, such as "time
    shift". Caption: ``measured``, a list of ``recording, target, score, value, p``; ``note``.
``psth.npy``
    ``(condition, 2, unit, time)`` trial averages. Caption, needed: ``conditions``, ``units``,
    ``start`` and ``bin`` (s); ``align`` (the event at 0 s), ``regions`` and ``scores`` (one a
    unit), ``score_name``, ``recording``, ``unit`` (of the values), ``note``.
``single_trials.npy``
    ``(unit, 2, trial, time)`` of a few neurons. Caption, needed: ``units``, ``start``, ``bin``;
    ``conditions`` (one a trial), ``condition_mean_removed``, and as for ``psth.npy``.
``raster.npy``
    ``(2, unit, time)``, a stretch of time. Caption, needed: ``start`` and ``bin``; ``units``,
    ``recording``, ``unit``, ``note``.
``decoded.csv``
    ``recording, target, time, truth, prediction, segment``, and ``low, high`` for a band. Time in
    s; the line is broken between segments. Caption: ``units`` and ``scores`` (a text) of each
    target, ``note``.
``confusion.csv``
    ``recording, target, truth, prediction, n``. Caption: ``classes`` (in order) and ``scores`` (a
    text) of each target, ``note``.

**There too, of a run that names behaviours.** ``row`` is ``labels`` or ``predicted``; the classes
and their order are those of the caption of ``confusion``, target ``behaviour``.

``ethogram.csv``
    A row a bout: ``recording, row, label, start, stop`` (s).
``probabilities.csv``
    ``recording, time`` (s) and a column a class.
``precision_recall.csv``, ``reliability.csv``
    ``label, threshold, precision, recall, share``; ``confidence, accuracy, n``.
``bout_lengths.csv``, ``transitions.csv``
    ``row, label, seconds``; ``row, source, target, n``.
``onsets.csv``, ``onset_errors.csv``
    ``row, label, feature, lag`` (s), ``mean``; ``label, n, onset, offset, bias`` (s).
``movies.csv``
    ``label, file, bouts``: an ``.mp4`` in ``movies/`` beside it.
``label_density.csv``
    A row a draw of labels: ``frames`` (labelled, a class), ``draw``, ``macro_f1`` of the run's
    model trained on them alone.

**There too, of a run across animals.**

``across_actions.csv``
    A row a method, protocol (single, leave-one-out, strict) and share of the labels: ``method,
    protocol, fraction, balanced_accuracy, low, high, chance``, ``n_animals``, and optionally
    ``rolled, shuffled`` (the same with wrong labels).
``across_identity.csv``
    ``method, space, probe, accuracy, low, high, chance``: how often the animal is told.
``across_neighbours.csv``
    ``animal, cross, within``: distance to the nearest pose of another animal, and of its own.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

"""What the network may know: leaks, permutations, the make-up of a batch; the papers' numbers."""

import numpy as np
import pytest
import torch
from small import make_config, make_corpus, make_model, make_session, tensors

from tinbergen.population.asking import Asker
from tinbergen.population.config import population_config
from tinbergen.population.masks import SCHEMES, draw_masks, nothing_hidden
from tinbergen.population.model import PopulationModel
from tinbergen.population.task import PopulationTask, population_loss
from tinbergen.population.vocabulary import KnownSession, Vocabulary

LAYOUTS = {
    "tables": {},
    "no rotation": {"network": {"rotary": False}},
    "statics each bin": {"network": {"static_tokens": "each bin"}},
    "prompt": {"network": {"prompt": True}},
    "recent": {"units": {"recent": True}},
    "counts": {"units": {"transform": "counts", "linear_rank": 0}},
    "stitch": {"units": {"read": "stitch"}},
    "stitch-mtm": {"units": {"read": "stitch-mtm", "linear_rank": 0}},
    "patches": {"network": {"layout": "patches"}},
}


UNIT_TABLES = (
    *("tables.unit_in", "tables.unit_out", "tables.unit_bias"),
    *("tables.rate", "tables.root", "tables.region"),
    *("linear.linear_in", "linear.linear_out", "linear.linear_scale"),
    *("linear.direct_in", "linear.direct_out"),
    "calibration.unit_traits",
)


def prepared(sessions, layout="tables"):
    corpus = make_corpus(sessions, make_config(**LAYOUTS[layout]))
    return corpus, make_model(corpus)


def predict(model, corpus, windows, hide=None):
    batch = tensors(corpus.batch(np.asarray(windows)))
    hidden = nothing_hidden(batch)
    if hide is not None:
        hide(batch, hidden)
    with torch.no_grad():
        return batch, hidden, model(batch, hidden)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_hidden_input_never_changes_the_output(sessions, layout, scheme):
    corpus, model = prepared(sessions, layout)
    batch = tensors(corpus.batch(np.arange(0, len(corpus), 5)))
    generator = torch.Generator().manual_seed(3)
    hidden, _ = draw_masks(batch, {scheme: 1.0}, (0.3, 0.6), 3, generator)
    before = model(batch, hidden)
    visible, _ = hidden.counts(batch)
    batch.counts = torch.where(visible, batch.counts, 200)
    for name, value in batch.values.items():
        mask = hidden.values[name]
        other = 1 - value if name == "choice" else value + 100
        batch.values[name] = torch.where(
            mask[..., None] if value.ndim > mask.ndim else mask, other, value
        )
    after = model(batch, hidden)
    assert torch.equal(before.log_rates, after.log_rates)
    for name in before.values:
        assert torch.equal(before.values[name], after.values[name]), name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_visible_input_changes_the_output(sessions, layout):
    corpus, model = prepared(sessions, layout)
    batch, hidden, before = predict(model, corpus, np.arange(0, len(corpus), 5))
    batch.counts = batch.counts + batch.present[:, None, :].int()
    after = model(batch, hidden)
    assert not torch.allclose(before.log_rates, after.log_rates)
    assert not torch.allclose(before.values["choice"], after.values["choice"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_window_does_not_depend_on_those_beside_it(sessions, layout):
    corpus, model = prepared(sessions, layout)
    ask = Asker(model, corpus)
    everything = np.arange(len(corpus))
    batch, _, together = predict(model, corpus, everything)
    first = torch.as_tensor(corpus.vocabulary.first_block)
    within = (
        batch.block - first[batch.session[batch.sample[:: batch.per_row]]]
    ).repeat_interleave(batch.per_row)
    for window in (0, 13, 30):
        own, _, alone = predict(model, corpus, [window])
        name = corpus.vocabulary.sessions[corpus.session[window]].name
        single = ask._dense(alone.log_rates, own, name)[0]
        mine = torch.nonzero((batch.sample == window) & batch.present.any(dim=1))[:, 0]
        mine = mine[torch.argsort(within[mine])]
        mixed = torch.cat(list(together.log_rates[mine]), dim=1)[:, : single.shape[1]]
        np.testing.assert_allclose(mixed.detach(), single, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            together.values["wheel"][window].detach(),
            alone.values["wheel"][0],
            rtol=1e-4,
            atol=1e-5,
        )


def test_order_of_units_does_not_matter(sessions):
    corpus, model = prepared(sessions)
    order = np.random.default_rng(0).permutation(130)
    before = Asker(model, corpus).spikes("b1", np.arange(4), "co_smoothing", ["wheel"])
    session = sessions[2]
    shuffled = type(session).of_arrays(
        "b1", session.counts[..., order], regions=session.regions[order], values=session.values
    )
    again = make_corpus([*sessions[:2], shuffled], corpus.config)
    first = corpus.vocabulary.first_block[2]
    with torch.no_grad():
        state = model.state_dict()
        for name in UNIT_TABLES:
            flat = state[name][first:].flatten(0, 1)
            flat[: len(order)] = flat[: len(order)][order].clone()
    after = Asker(model, again).spikes("b1", np.arange(4), "co_smoothing", ["wheel"])
    np.testing.assert_allclose(after, before[..., order], rtol=1e-5)


def test_a_hidden_unit_and_an_absent_one_are_the_same_to_others(sessions):
    corpus, model = prepared(sessions)

    def hide(batch, hidden):
        hidden.units[:, 5] = batch.present[:, 5]

    batch, _, hidden = predict(model, corpus, [0, 1], hide)
    batch.present[:, 5] = False
    absent = model(batch, nothing_hidden(batch))
    rest = np.arange(64) != 5
    torch.testing.assert_close(hidden.log_rates[..., rest], absent.log_rates[..., rest])


@pytest.mark.parametrize("layout", ["tables", "recent", "counts", "statics each bin", "prompt"])
@pytest.mark.parametrize("task", ["co_smoothing", "intra_region"])
def test_leaving_one_out_is_hiding_it_alone(sessions, layout, task):
    corpus, model = prepared(sessions, layout)
    ask = Asker(model, corpus)
    exact = ask.spikes("b1", np.arange(3), task, ["pose"])
    one_each = ask.spikes("b1", np.arange(3), task, ["pose"], folds=130)
    np.testing.assert_allclose(exact, one_each, rtol=2e-4)


def test_loss_looks_at_hidden_targets_alone(sessions):
    corpus, model = prepared(sessions)
    batch = tensors(corpus.batch(np.arange(0, len(corpus), 4)))
    hidden, _ = draw_masks(batch, {"neuron": 1.0}, (0.3, 0.3), 2, torch.Generator().manual_seed(0))
    prediction = model(batch, hidden)
    before = population_loss(prediction, batch, hidden, corpus.config)["loss"]
    _, scored = hidden.counts(batch)
    batch.counts = torch.where(scored, batch.counts, 50)
    batch.values = {
        name: value + 1 for name, value in batch.values.items() if name != "choice"
    } | {"choice": 1 - batch.values["choice"]}
    assert population_loss(prediction, batch, hidden, corpus.config)["loss"] == before
    batch.counts = torch.where(scored, 50, batch.counts)
    assert population_loss(prediction, batch, hidden, corpus.config)["loss"] != before


def vocabulary(units, bins=100):
    known = tuple(
        KnownSession(str(i), "m", ("x",) * n, (0.1,) * n, (0.7,) * n) for i, n in enumerate(units)
    )
    widths = {"wheel": 1, "whisker": 1, "choice": 2, "block": 3}
    classes = {"choice": (0, 1), "block": (0, 1, 2)}
    return Vocabulary(known, bins, widths, classes)


NEDS = {
    "wheel": {},
    "whisker": {},
    "choice": {"kind": "categorical", "static": True},
    "block": {"kind": "categorical", "static": True},
}


def stitch_size(n, h):
    """Weights of NEDS' stitcher of n units at width h: two linear layers in, one out."""
    return 2 * n * n + 2 * n + 2 * n * h + h + h * n + n


def n_weights(module):
    return sum(p.numel() for p in module.parameters())


def test_sizes_of_the_papers():
    # specs of NEDS: 527,104 weights a layer at width 256 and hidden 512; 5 and 22 layers.
    config = population_config("neds", overrides={"modalities": NEDS})
    model = PopulationModel(config, vocabulary([300]))
    assert n_weights(model.blocks[0]) == 527_104
    assert n_weights(model.blocks) + n_weights(model.norm) == 2_636_032
    deep = population_config("neds", overrides={"modalities": NEDS, "network": {"depth": 22}})
    deep_model = PopulationModel(deep, vocabulary([300]))
    assert n_weights(deep_model.blocks) + n_weights(deep_model.norm) == 11_596_800
    for units, size in ((668, 1_407_732), (300, 411_556), (800, 1_897_056)):
        assert stitch_size(units, 256) == size
    assert n_weights(model.stitch) == stitch_size(300, 256)


@pytest.mark.parametrize(("statics", "tokens"), [("each bin", 500), ("one", 302)])
def test_tokens_of_the_papers(statics, tokens):
    overrides = {"modalities": NEDS, "network": {"static_tokens": statics, "depth": 1}}
    config = population_config("neds", overrides=overrides)
    model = PopulationModel(config, vocabulary([70]))
    seen = []
    model.norm.register_forward_hook(lambda m, i, out: seen.append(out.shape[1]))
    session = make_session("0", 70, windows=2, bins=100)
    values = {"wheel": session.values["wheel"], "choice": np.array(["0", "1"], object)}
    session = type(session).of_arrays("0", session.counts, values=values)
    corpus_config = config
    from tinbergen.population.corpus import Corpus

    corpus = Corpus([session], vocabulary([70]), corpus_config)
    batch = tensors(corpus.batch(np.arange(2)))
    model(batch, nothing_hidden(batch))
    assert seen == [tokens]


def test_training_learns_and_repeats_itself(sessions):
    from tinbergen.training import fit

    config = make_config(
        masks={"neuron": 1.0, "decoding": 1.0}, train={"steps": 40, "learning_rate": 3e-3}
    )
    corpus = make_corpus(sessions, config)
    rows = np.arange(len(corpus))
    results = [fit(PopulationTask(corpus, rows, rows[::3]), config.train) for _ in range(2)]
    one, other = (r.model.state_dict() for r in results)
    assert all(torch.equal(one[name], other[name]) for name in one)
    start = PopulationTask(corpus, rows, rows[::3])
    assert results[0].best_score is not None
    assert results[0].best_score < start.validate(start.build().eval())["validation_loss"]

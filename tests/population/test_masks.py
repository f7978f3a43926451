"""What each scheme hides and scores, sample by sample."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from small import make_config, make_corpus, make_session, tensors

from tinbergen.population.masks import SCHEMES, draw_masks

DYNAMIC, STATIC = ("wheel", "pose", "licks"), ("choice", "contrast")


def batch_of(bins=10, windows=12):
    sessions = [make_session("a", 21, windows, bins), make_session("b", 130, windows, bins)]
    corpus = make_corpus(sessions, make_config())
    return tensors(corpus.batch(np.arange(len(corpus))))


def drawn(scheme, ratio=(0.3, 0.3), bins=10, windows=12, future=2, seed=0):
    batch = batch_of(bins, windows)
    hidden, _ = draw_masks(
        batch, {scheme: 1.0}, ratio, future, torch.Generator().manual_seed(seed)
    )
    visible, scored = hidden.counts(batch)
    return batch, hidden, visible, scored


def per_sample(batch, mask):
    """Any over the units of each sample, ``(sample, time)``."""
    found = torch.zeros(batch.n_samples, mask.shape[1])
    return found.index_add(0, batch.sample, mask.any(dim=2).float()) > 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_scored_is_hidden_and_there(scheme):
    batch, hidden, visible, scored = drawn(scheme)
    assert not (visible & scored).any()
    assert not ((visible | scored) & ~batch.present[:, None]).any()
    for name, where in hidden.values_scored.items():
        assert not (where & ~hidden.values[name]).any()


def test_encoding_and_decoding_are_each_others_converse():
    batch, hidden, visible, scored = drawn("encoding")
    assert not visible.any()
    assert torch.equal(scored, batch.present[:, None].expand_as(scored))
    assert not any(v.any() for v in hidden.values_scored.values())
    shown = torch.stack([~hidden.values[n].reshape(24, -1).any(1) for n in (*DYNAMIC, *STATIC)])
    assert 0.3 < shown.float().mean() < 0.7  # a random part of the behaviours is visible
    batch, hidden, visible, scored = drawn("decoding")
    assert torch.equal(visible, batch.present[:, None].expand_as(visible))
    assert not scored.any()
    assert all(v.all() for v in hidden.values.values())
    assert all(v.all() for v in hidden.values_scored.values())


def test_cross_hides_the_same_bins_of_everything_and_self_behavior_others():
    batch, hidden, visible, scored = drawn("cross", bins=100)
    bins = per_sample(batch, scored)
    for name in DYNAMIC:
        assert torch.equal(hidden.values_scored[name], bins), name
    _, hidden, visible, scored = drawn("self_behavior", bins=100)
    assert not scored.any()
    assert not torch.equal(hidden.values["wheel"], hidden.values["licks"])


@pytest.mark.parametrize("scheme", ["self_spikes", "cross", "temporal", "self_behavior"])
def test_share_of_hidden_bins(scheme):
    _, hidden, _, _ = drawn(scheme, bins=100, windows=60)
    bins = hidden.values["wheel"] if scheme == "self_behavior" else hidden.bins
    n = bins.numel()
    assert abs(bins.float().mean() - 0.3) < 3 * np.sqrt(0.3 * 0.7 / n)


def test_samples_of_one_scheme_have_masks_of_their_own():
    for scheme in ("self_spikes", "cross", "temporal"):
        _, hidden, _, _ = drawn(scheme, bins=100)
        assert len({tuple(row.tolist()) for row in hidden.bins}) == len(hidden.bins)
    batch, hidden, _, _ = drawn("neuron", windows=6)
    chosen = {}
    for slot, sample in enumerate(batch.sample.tolist()):
        chosen.setdefault(sample, []).append(tuple(hidden.units[slot].tolist()))
    long = [tuple(v) for k, v in chosen.items() if batch.session[k] == 1]
    assert len(set(long)) == len(long)


def test_neurons_are_hidden_for_the_whole_window():
    _, _, visible, scored = drawn("neuron")
    assert (visible.all(dim=1) == visible.any(dim=1)).all()
    assert (scored.all(dim=1) == scored.any(dim=1)).all()


@pytest.mark.parametrize("seed", range(5))
def test_regions(seed):
    batch, hidden, visible, scored = drawn("inter_region", seed=seed)
    for sample in range(batch.n_samples):
        mine = batch.sample == sample
        there = batch.present[mine]
        region = batch.region[mine]
        wanted = scored[mine].any(dim=1)
        names = region[wanted].unique()
        assert len(names) == 1  # exactly all units of one region
        assert torch.equal(wanted, there & (region == names))
        assert not visible[mine].any(dim=1)[wanted].any()
    batch, hidden, visible, scored = drawn("intra_region", seed=seed)
    for sample in range(batch.n_samples):
        mine = batch.sample == sample
        wanted, seen = scored[mine].any(dim=1), visible[mine].any(dim=1)
        names = batch.region[mine][wanted].unique()
        assert len(names) == 1
        assert not (seen & (batch.region[mine] != names)).any()
        whole = batch.present[mine] & (batch.region[mine] == names)
        assert torch.equal(wanted | seen, whole)


def test_future_is_the_last_bins_of_everything():
    batch, hidden, visible, scored = drawn("future", bins=100, future=10)
    bins = hidden.bins.float()
    length = bins.sum(dim=1)
    assert length.min() >= 1 and length.max() <= 10 and len(length.unique()) > 3
    assert (bins.diff(dim=1) >= 0).all()  # once hidden, hidden to the end
    for name in DYNAMIC:
        assert (hidden.values[name] | ~hidden.bins).all()
    for name in STATIC:
        assert hidden.values[name].all()  # a label of the window would tell its end


def test_block_is_in_one_piece():
    _, hidden, _, _ = drawn("block", bins=50, ratio=(0.1, 0.6), windows=40)
    edges = torch.nn.functional.pad(hidden.bins.float(), (1, 1)).diff(dim=1).abs().sum(dim=1)
    assert (edges == 2).all()


@given(
    st.dictionaries(st.sampled_from(list(SCHEMES)), st.floats(0.1, 3.0), min_size=1),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=40)
def test_any_mixture_is_sound_and_repeats_itself(weights, seed):
    batch = batch_of(windows=3)
    draws = [
        draw_masks(batch, weights, (0.1, 0.5), 3, torch.Generator().manual_seed(seed))
        for _ in range(2)
    ]
    (one, scheme), (other, again) = draws
    assert torch.equal(scheme, again)
    assert torch.equal(one.units, other.units) and torch.equal(one.bins, other.bins)
    visible, scored = one.counts(batch)
    assert not (visible & scored).any()
    assert {list(SCHEMES)[i] for i in scheme.tolist()} <= set(weights)


def test_schemes_are_as_frequent_as_their_weights():
    batch = batch_of(windows=200)
    weights = {"neuron": 1.0, "cross": 2.0, "future": 1.0}
    _, scheme = draw_masks(batch, weights, (0.1, 0.1), 1, torch.Generator().manual_seed(0))
    found = [(scheme == list(SCHEMES).index(name)).sum().item() for name in weights]
    assert chisquare(found, np.array([0.25, 0.5, 0.25]) * sum(found)).pvalue > 0.01


def test_each_sample_scores_at_least_one_unit():
    batch, _, _, scored = drawn("neuron", ratio=(0.001, 0.001))
    assert per_sample(batch, scored).all()

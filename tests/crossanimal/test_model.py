"""The estimator: what it may see, what it must not depend on, what it keeps."""

from typing import Any

import numpy as np
import pytest
import torch
from small_animals import FAST, make_animals

from tinbergen.configuration import merge
from tinbergen.crossanimal import Animal, CrossAnimal
from tinbergen.crossanimal.syllables import Syllables
from tinbergen.crossanimal.tables import Tables
from tinbergen.crossanimal.task import CrossAnimalTask
from tinbergen.errors import ConfigError, DataError, NotFittedError, OutputError
from tinbergen.recordings import Recording, Series
from tinbergen.training import RunFolder
from tinbergen.training.loop import Loop


def model(objective: Any = "contrast", **settings):
    return CrossAnimal(objective, settings=merge(FAST, settings), random_state=3)


@pytest.fixture(scope="module")
def animals():
    return make_animals(3, neurons=9)[0]


@pytest.fixture(scope="module")
def fitted(animals):
    return model().fit(animals)


OBJECTIVES = ["contrast", "simclr", "regression", "syllables"]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("domain", ["none", "mmd", "reversal"])
def test_every_objective_with_every_domain_loss(animals, objective, domain):
    made = model(objective, domain={"kind": domain}, train={"steps": 4}).fit(animals)
    for space in ("h", "z"):
        values = made.transform(animals[1], space)
        assert values.shape == (200, 8)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert values.std(axis=0).min() > 0


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("swap", [{"pose": 0.5}, {"neural": 0.5}, {"pose": 1.0, "half_width": 2}])
def test_every_objective_swaps(animals, objective, swap):
    if "pose" in swap and objective != "contrast":
        with pytest.raises(ConfigError, match=r"swap\.pose"):
            model(objective, swap=swap).fit(animals)
        return
    made = model(objective, swap=swap, train={"steps": 3}).fit(animals)
    assert made.neighbours_ is not None
    assert np.isfinite(made.transform(animals[0])).all()


@pytest.mark.parametrize("temporal", ["linear", "perceptron", "convolution", "recurrent"])
@pytest.mark.parametrize("pose", ["perceptron", "attention"])
def test_every_encoder(animals, temporal, pose):
    network = {"temporal": temporal, "pose": pose, "members": 2}
    made = model(network=network, whiten=3, train={"steps": 4}).fit(animals)
    assert made.transform(animals[0]).shape == (200, 16)


def test_every_augmentation_at_once(animals):
    how = {"neuron_dropout": 0.2, "neural_noise": 0.1, "gain": 0.2, "calcium": 0.5,
           "pose_noise": 0.1, "pose_scale": 0.1, "pose_mask": 2}  # fmt: skip
    assert np.isfinite(
        model(augment=how, train={"steps": 4}).fit(animals).transform(animals[0])
    ).all()
    with pytest.raises(ConfigError, match="keypoints"):
        model(augment={"pose_rotation": 10.0}).fit(animals)
    with pytest.raises(ConfigError, match="shift moves images"):
        model(augment={"shift": 2}).fit(animals)
    with pytest.raises(ConfigError, match="of poses alone"):
        model("regression", augment={"pose_noise": 0.1}).fit(animals)


def test_learns(animals):
    losses = []
    for steps in (2, 150):
        made = model(train={"steps": steps}).fit(animals, validation=animals)
        task_loss = made.metrics_["validation_loss"]
        losses.append(task_loss)
    assert losses[1] < losses[0] - 0.5


def test_same_seed_same_features(animals, fitted):
    again = model().fit(animals)
    np.testing.assert_array_equal(again.transform(animals[0]), fitted.transform(animals[0]))
    other = CrossAnimal(settings=FAST, random_state=4).fit(animals)
    assert not np.array_equal(other.transform(animals[0]), fitted.transform(animals[0]))


def test_order_of_animals_does_not_matter(animals, fitted):
    again = model().fit(animals[::-1])
    np.testing.assert_array_equal(again.transform(animals[0]), fitted.transform(animals[0]))


def test_features_are_of_one_animal_alone(animals, fitted):
    alone = fitted.transform(animals[1])
    fitted.transform(animals[0])
    np.testing.assert_array_equal(fitted.transform(animals[1]), alone)
    stranger = Animal(animals[1].name, animals[1].neural, animals[1].times)  # no pose
    np.testing.assert_array_equal(fitted.transform(stranger), alone)


def test_order_of_neurons_does_not_matter_once_trained(animals, fitted):
    order = np.random.default_rng(0).permutation(9)
    net = fitted._net
    i = net.shape.names.index(animals[0].name)
    weight = net.members[0].neural.input.weight
    kept = weight.detach().clone(), net.mean.clone(), net.scale.clone()
    before = fitted.transform(animals[0])
    with torch.no_grad():
        weight[i], net.mean[i], net.scale[i] = (
            kept[0][i, order], kept[1][i, order], kept[2][i, order],
        )  # fmt: skip
        shuffled = Animal(animals[0].name, animals[0].neural[:, order], animals[0].times)
        found = fitted.transform(shuffled)
        weight[:], net.mean[:], net.scale[:] = kept
    np.testing.assert_allclose(found, before, atol=1e-5)


def test_nothing_outside_the_training_frames_is_seen(animals):
    cut = [a.between(0, 120) for a in animals]
    clean = model().fit(cut).transform(cut[0])
    poisoned = []
    for a in animals:
        neural, pose = a.neural.copy(), a.pose.copy()
        neural[120:], pose[120:] = 1e6, -1e6
        poisoned.append(Animal(a.name, neural, a.times, pose, a.times).between(0, 120))
    np.testing.assert_array_equal(model().fit(poisoned).transform(cut[0]), clean)


def test_features_near_a_border_do_not_look_across(animals, fitted):
    segment = np.repeat([0, 1], 100)
    one = Animal(animals[0].name, animals[0].neural, animals[0].times, segment=segment)
    changed = animals[0].neural.copy()
    changed[100:] += 50
    two = Animal(animals[0].name, changed, animals[0].times, segment=segment)
    np.testing.assert_array_equal(fitted.transform(one)[:100], fitted.transform(two)[:100])
    unused = Animal(animals[0].name, changed, animals[0].times, segment=np.repeat([0, -1], 100))
    values = fitted.transform(unused)
    assert np.isnan(values[100:]).all()
    np.testing.assert_array_equal(values[:100], fitted.transform(one)[:100])


@pytest.mark.filterwarnings("ignore:The nearest pose")
def test_missing_values_are_borne(animals):
    rng = np.random.default_rng(0)
    holed = []
    for a in animals:
        neural, pose = a.neural.copy(), a.pose.copy()
        neural[rng.random(neural.shape) < 0.1] = np.nan
        pose[rng.random(pose.shape) < 0.1] = np.nan
        pose[20:30] = np.nan
        holed.append(Animal(a.name, neural, a.times, pose, a.times))
    each: Any
    for each in ({}, {"whiten": 2}, {"swap": {"pose": 0.5}},
                     {"network": {"pose": "attention"}}):  # fmt: skip
        made = model(train={"steps": 4}, **each).fit(holed)
        assert np.isfinite(made.transform(holed[0])).all()
    for objective in ("regression", "syllables"):
        made = model(objective, train={"steps": 4}).fit(holed)
        assert np.isfinite(made.transform(holed[0])).all()


@pytest.mark.parametrize(
    ("objective", "settings"), [("contrast", {}), ("syllables", {"domain": {"kind": "reversal"}})]
)
def test_adapting_changes_the_newcomer_alone(animals, objective, settings, tmp_path):
    known, new = animals[:2], make_animals(3, neurons=14, seed=1)[0][2]
    base = model(objective, **settings).fit(known)
    with pytest.raises(DataError, match="adapt"):
        base.transform(new)
    wider = base.adapt(new)
    assert wider.animals_ == (*base.animals_, new.name)
    assert base.animals_ == tuple(a.name for a in known)
    np.testing.assert_allclose(wider.transform(known[0]), base.transform(known[0]), atol=1e-6)
    assert np.isfinite(wider.transform(new)).all()
    old, now = base._net.state_dict(), wider._net.state_dict()
    for name, value in old.items():
        if ".domain." not in name and value.shape == now[name].shape:
            assert torch.equal(value, now[name]), name
    with pytest.raises(DataError, match="already"):
        wider.adapt(new)
    with pytest.raises(ConfigError, match="network"):
        base.adapt(new, settings={"network": {"hidden": 8}})
    again = CrossAnimal.load(wider.save(tmp_path / "wider"))
    np.testing.assert_array_equal(again.transform(new), wider.transform(new))
    assert again.metrics_ == base.metrics_


def test_syllables_are_kept_with_the_model(animals, tmp_path):
    base = model("syllables", train={"steps": 2}).fit(animals)
    kept = CrossAnimal.load(base.save(tmp_path / "run"))._net.syllables
    tables = Tables.of(animals, base._net.scaling)
    found = Syllables.fit(*tables.poses(), base.config_.syllables, seed=3)
    agree = kept.predict(*tables.poses()) == found.predict(*tables.poses())
    assert agree.mean() > 0.99  # float32 against float64


def test_a_discriminator_has_no_say_in_the_choice_of_weights(animals):
    made = model(domain={"kind": "reversal"}, train={"steps": 2}).fit(animals, validation=animals)
    net, cut = made._net, [a.between(0, 100) for a in animals]
    task = CrossAnimalTask(made.config_, net.shape, animals, net.scaling, validation=cut)
    before = task.validate(net)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if ".domain." in name:
                value.add_(10 * torch.randn_like(value))
    assert task.validate(net) == before


class Killed(Exception):
    """Stands for a machine that goes down."""


@pytest.mark.parametrize(
    ("objective", "settings"),
    [
        ("contrast", {"swap": {"pose": 0.5, "neural": 0.3}, "network": {"members": 2}}),
        ("simclr", {"domain": {"kind": "reversal"}, "augment": {"calcium": 0.3}}),
    ],
)
def test_resumed_equals_uninterrupted(animals, tmp_path, monkeypatch, objective, settings):
    """Train until step 17, die without saving, go on from the checkpoint at 10: same bytes."""
    settings = merge(settings, {"train": {"steps": 24, "checkpoint_every": 10}})

    def run(name, **how):
        made = CrossAnimal(objective, settings=merge(FAST, settings), out=tmp_path / name)
        return made.fit(animals, validation=animals, **how)

    update = Loop._update

    def die(self, step, batch):
        if step == 17:
            raise Killed
        update(self, step, batch)

    straight = run("straight")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Loop, "_update", die)
        run("killed")
    resumed = run("killed", resume=True)
    runs = [RunFolder.open(tmp_path / name) for name in ("straight", "killed")]
    assert runs[0].weights_path.read_bytes() == runs[1].weights_path.read_bytes()
    np.testing.assert_array_equal(resumed.transform(animals[0]), straight.transform(animals[0]))


def test_windows_of_no_pose_at_all_are_no_pairs(animals):
    pose = animals[0].pose.copy()
    pose[50:100] = np.nan
    holed = Animal("a", animals[0].neural, animals[0].times, pose, animals[0].times)
    made = model(train={"steps": 2}).fit([holed])
    task = CrossAnimalTask(made.config_, made._net.shape, [holed], made._net.scaling)
    assert set(range(200)) - set(task.rows[0].tolist()) == set(range(52, 98))


def test_frames_without_any_neuron_teach_nothing_and_have_no_features(animals):
    neural = animals[0].neural.copy()
    neural[50:60] = np.nan
    neural[60, 1:] = np.nan  # one neuron is enough
    holed = Animal("animal0", neural, animals[0].times, animals[0].pose, animals[0].times)
    made = model(train={"steps": 2}).fit([holed, animals[1]])
    task = CrossAnimalTask(made.config_, made._net.shape, [holed, animals[1]], made._net.scaling)
    assert set(range(200)) - set(task.rows[0].tolist()) == set(range(50, 60))
    with pytest.warns(UserWarning, match="'animal0': no neuron is known in 10 of 200 frames"):
        values = made.transform(holed)
    assert np.flatnonzero(np.isnan(values).any(axis=1)).tolist() == list(range(50, 60))


def test_a_neuron_that_training_never_saw_has_no_say(animals):
    neural = animals[0].neural.copy()
    neural[:150, 3] = np.nan
    holed = Animal("animal0", neural, animals[0].times, animals[0].pose, animals[0].times)
    made = model(train={"steps": 2}).fit([holed.between(0, 150), animals[1]])
    other = Animal("animal0", neural.copy(), animals[0].times)
    other.neural[150:, 3] *= 100
    assert np.array_equal(made.transform(holed), made.transform(other))


def test_infinite_values_are_missing_values(animals):
    def fit(value):
        pose, neural = animals[0].pose.copy(), animals[0].neural.copy()
        pose[5, 1], neural[7, 2] = value, value
        holed = Animal("animal0", neural, animals[0].times, pose, animals[0].times)
        made = model("regression", train={"steps": 3}).fit([holed, animals[1]])
        return made.transform(holed)

    np.testing.assert_array_equal(fit(np.inf), fit(np.nan))


def test_saved_and_loaded(animals, fitted, tmp_path):
    path = fitted.save(tmp_path / "model")
    again = CrossAnimal.load(path)
    np.testing.assert_array_equal(again.transform(animals[2]), fitted.transform(animals[2]))
    assert again.objective == "contrast"
    with pytest.raises(OutputError):
        fitted.save(path)
    with pytest.raises(NotFittedError):
        CrossAnimal().transform(animals[0])


def test_run_folder_is_the_model(animals, fitted, tmp_path):
    made = CrossAnimal(settings=FAST, random_state=3, out=tmp_path / "run").fit(animals)
    np.testing.assert_array_equal(made.transform(animals[0]), fitted.transform(animals[0]))
    again = CrossAnimal.load(tmp_path / "run")
    np.testing.assert_array_equal(again.transform(animals[0]), fitted.transform(animals[0]))


def test_recordings_go_in_and_series_come_out(animals):
    recordings = [
        Recording(a.name, {"neural": Series(a.times, a.neural), "pose": Series(a.times, a.pose)})
        for a in animals
    ]
    made = model(train={"steps": 3}).fit(recordings)
    found = made.transform(recordings[0])
    assert isinstance(found, Series)
    np.testing.assert_array_equal(found.times, animals[0].times)


def test_animals_that_do_not_fit_are_refused(animals):
    odd = Animal("odd", animals[0].neural, animals[0].times, np.zeros((200, 9)), animals[0].times)
    with pytest.raises(DataError, match="columns"):
        model().fit([*animals, odd])
    with pytest.raises(DataError, match="one name"):
        model().fit([animals[0], animals[0]])
    mute = Animal("mute", animals[0].neural, animals[0].times, animals[0].pose,
                  animals[0].times + 1e4)  # fmt: skip
    with pytest.raises(DataError, match="one clock"):
        model().fit([*animals, mute])
    with pytest.raises(ConfigError, match="objective"):
        CrossAnimal("contrast", settings={"objective": "simclr"}).fit(animals)


def images(n=2, frames=40, size=16, folder=None):
    made = []
    for i in range(n):
        rng = np.random.default_rng(i)
        pose = np.cumsum(rng.standard_normal((frames, 3)), axis=0).astype(np.float32)
        pixels = rng.standard_normal((frames, size, size)).astype(np.float32)
        pixels += np.clip(pose[:, :1, None], -2, 2)
        if folder is not None:
            path = folder / f"{i}.dat"
            pixels.tofile(path)
            pixels = np.memmap(path, np.float32, "r", shape=pixels.shape)
        made.append(
            Animal(f"fly{i}", pixels, np.arange(frames) / 16, pose, np.arange(frames) / 16)
        )
    return made


@pytest.mark.parametrize("objective", ["contrast", "simclr"])
@pytest.mark.filterwarnings("ignore:The nearest pose")
def test_images_need_no_layer_of_their_own(objective, tmp_path):
    flies = images(3, folder=tmp_path)
    how, train = {"shift": 1, "calcium": 0.3}, {"steps": 3, "batch_size": 12}
    made = model(objective, train=train, augment=how, swap={"neural": 0.3}).fit(flies[:2])
    assert np.isfinite(made.transform(flies[0])).all()
    strict = made.transform(flies[2])
    assert np.isfinite(strict).all()
    np.testing.assert_allclose(made.adapt(flies[2]).transform(flies[2]), strict, atol=1e-5)

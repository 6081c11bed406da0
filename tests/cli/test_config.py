import inspect
import json
from pathlib import Path

import pytest

import keras_vqvae2 as kv
from keras_vqvae2.cli.config import SIZES, WIRINGS, Config, flat, nested, read_options
from keras_vqvae2.cli.flags import resolve
from keras_vqvae2.sampling import SamplingOptions


def test_a_saved_config_comes_back_equal(tmp_path):
    config = Config.create("tiny", run_dir=tmp_path / "run", data_dir="some/where", top_p=0.9)
    config.save()
    assert Config.load(config.file) == config
    assert json.loads(config.file.read_text())["vqvae"]["num_embeddings"] == 32


def test_a_run_of_before_is_read(tmp_path):
    """Its config.json was flat, of the names of the flags."""
    file = tmp_path / "config.json"
    before = {"run_dir": "runs/old", "dataset": "photos", "image_size": 64, "top_k": None}
    before |= {"prior_filters": 8, "prior_attention_blocks": 2, "codebook_metric": "cosine"}
    file.write_text(json.dumps({**before, "prior_ema": 0, "conditional": True}))
    config = Config.load(file)
    assert config.run_dir == Path("runs/old")
    assert (config.data.name, config.data.image_size) == ("photos", (64, 64))
    assert (config.prior.filters, config.prior.num_attention_blocks) == (8, (2,))
    assert config.vqvae.quantizer_options.metric == "cosine"
    assert config.codes.with_labels
    # Its decoder cut the signal at black and white: that had no name.
    assert config.vqvae.clipping == "hard"


def test_a_run_keeps_its_clipping(tmp_path):
    for clipping in ("soft", "hard"):
        Config(run_dir=tmp_path, clipping=clipping).save()
        assert Config.load(tmp_path / "config.json").vqvae.clipping == clipping
        assert resolve({"run_dir": tmp_path}).vqvae.clipping == clipping
    file = tmp_path / "config.json"
    saved = json.loads(file.read_text())
    del saved["checksum"], saved["vqvae"]["clipping"]
    file.write_text(json.dumps(saved))
    assert resolve({"run_dir": tmp_path}).vqvae.clipping == "hard"
    (tmp_path / "some.json").write_text('{"filters": 8}')
    assert Config.load(tmp_path / "some.json").vqvae.clipping == "soft"


def test_fields_are_given_nested_or_flat():
    parts = {"filters": 8, "quantizer_options": {"metric": "cosine"}}
    expected = Config(filters=8, codebook_metric="cosine", prior_filters=6)
    assert Config(vqvae=parts, prior={"filters": 6}) == expected
    assert Config(prior_filters=6).updated({"vqvae": parts}) == expected
    assert Config(**expected) == expected
    assert nested(flat(expected)) == expected.model_dump()
    # Of two that name one field, the later.
    assert Config().updated({"vqvae": {"decay": 0.9}, "decay": 0.5}).vqvae.decay == 0.5


def test_parts_are_passed_on_whole():
    config = Config.create("tiny", image_size=16, top_k=3)
    expected = {"temperature": 1.0, "top_k": 3, "top_p": 0.9, "guidance": None}
    assert dict(**config.sampling) == expected
    keys = {"image_key": None, "label_key": None, "skip_damaged": False, "workers": None}
    assert dict(**config.data) == {"name": "emoji32", "image_size": (16, 16), **keys}
    options = dict(**config.vqvae)["quantizer_options"]
    assert options == {"metric": "euclidean", "gradient": "straight_through"}


@pytest.mark.parametrize(
    ("part", "function"),
    [
        ("data", kv.datasets.load),
        ("augmentation", kv.ImageBatches),
        ("augmentation", kv.extract_codes),
        ("passes", kv.extract_codes),
        ("vqvae", kv.VQVAE2),
        ("prior", kv.PixelCNN),
        ("codes", kv.CodeBatches),
        ("sampling", SamplingOptions),
    ],
)
def test_the_fields_of_a_part_are_arguments(part, function):
    assert set(Config()[part]) <= set(inspect.signature(function).parameters)


def test_the_defaults_are_the_small_size():
    assert Config.create("small") == Config()


def test_the_base_size_is_the_specification():
    base = Config.create("base")
    vqvae, prior = base.vqvae, base.prior
    assert (vqvae.filters, vqvae.embedding_dim, vqvae.num_embeddings) == (256, 64, 512)
    assert (prior.filters, prior.num_blocks) == (256, 16)


@pytest.mark.parametrize("size", SIZES)
def test_every_size_names_the_same_fields(size):
    assert SIZES[size].keys() == SIZES["small"].keys()


@pytest.mark.parametrize("wiring", WIRINGS)
def test_every_wiring_names_the_same_fields_and_goes_with_any_size(wiring):
    assert WIRINGS[wiring].keys() == WIRINGS["specified"].keys()
    config = Config.create("tiny", wiring=wiring)
    assert config.vqvae.filters == 16
    assert config.vqvae.condition_on_coarser is (wiring == "best")
    assert Config.create("base", wiring="specified") == Config.create("base")
    assert Config.create("small", wiring="best") == Config.create("small") == Config()


def test_a_field_wins_over_the_size():
    assert Config.create("tiny", filters=8).vqvae.filters == 8
    assert Config().updated({"filters": 8, "size": "tiny"}).prior.filters == 16


def test_values_are_brought_to_their_type():
    config = Config(run_dir="somewhere", temperature=1)
    assert config.run_dir == Path("somewhere")
    assert isinstance(config.sampling.temperature, float)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "`size` must be one of tiny, small, base. Received: huge"),
        ({"wiring": "none"}, "`wiring` must be one of specified, best. Received: none"),
        ({"filtres": 3}, "no field `filtres`"),
        ({"filters": "many"}, "`filters` must be of type int. Received: 'many'"),
        ({"filters": True}, "`filters` must be of type int. Received: True"),
        ({"flip": 1}, "`flip` must be of type bool. Received: 1"),
        ({"top_k": 2.5}, "`top_k` must be of type int or NoneType. Received: 2.5"),
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: 0"),
        ({"vqvae_epochs": -1}, "`vqvae_epochs` must be at least 1. Received: -1"),
        ({"prior": {"filters": 0}}, "`prior_filters` must be at least 1. Received: 0"),
        ({"prior": {"filtres": 8}}, r"no field `prior\.filtres`"),
        ({"prior": 8}, "no field `prior`. It has: .*prior_filters"),
        ({"image_size": [8]}, "`image_size` must be of type int or NoneType. Received: "),
        ({"top_p": 1.5}, r"`top_p` must be at most 1(\.0)?. Received: 1.5"),
        ({"temperature": 0}, r"`temperature` must be greater than 0(\.0)?. Received: 0"),
    ],
)
def test_a_wrong_field_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Config().updated(options)


@pytest.mark.parametrize("content", ["{", "[1, 2]"])
def test_a_file_that_is_no_config_is_named(tmp_path, content):
    file = tmp_path / "wrong.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"A config must be .*wrong\.json"):
        read_options(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"A config must be a readable JSON file.*none\.json"):
        Config.load(tmp_path / "none.json")

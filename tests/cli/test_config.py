import json
from pathlib import Path

import pytest

from keras_vqvae2.cli.config import SIZES, WIRINGS, Config, read_options


def test_a_saved_config_comes_back_equal(tmp_path):
    config = Config.create("tiny", run_dir=tmp_path / "run", data_dir="some/where", top_p=0.9)
    config.save()
    assert Config.load(config.file) == config
    assert json.loads(config.file.read_text())["num_embeddings"] == 32


def test_the_defaults_are_the_small_size():
    assert Config.create("small") == Config()


def test_the_base_size_is_the_specification():
    base = Config.create("base")
    assert (base.filters, base.embedding_dim, base.num_embeddings) == (256, 64, 512)
    assert (base.prior_filters, base.prior_blocks) == (256, 16)


@pytest.mark.parametrize("size", SIZES)
def test_every_size_names_the_same_fields(size):
    assert SIZES[size].keys() == SIZES["small"].keys()


@pytest.mark.parametrize("wiring", WIRINGS)
def test_every_wiring_names_the_same_fields_and_goes_with_any_size(wiring):
    assert WIRINGS[wiring].keys() == WIRINGS["specified"].keys()
    config = Config.create("tiny", wiring=wiring)
    assert config.filters == 16
    assert config.condition_on_coarser is (wiring == "best")
    assert Config.create("base", wiring="specified") == Config.create("base")


def test_a_field_wins_over_the_size():
    assert Config.create("tiny", filters=8).filters == 8
    assert Config().updated({"filters": 8, "size": "tiny"}).prior_filters == 16


def test_values_are_brought_to_their_type():
    config = Config(run_dir="somewhere", temperature=1)
    assert config.run_dir == Path("somewhere")
    assert isinstance(config.temperature, float)


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

import pytest

from .configs import campaign, is_good


@pytest.mark.parametrize("seed", range(4))
def test_damaged_options_start_or_are_refused_in_one_sentence(load_tool, seed):
    results = list(campaign(load_tool("train.py"), variants=40, seed=seed))
    assert not [pair for pair in results if not is_good(pair[1])]
    refused = [option for option, result in results if result != "started"]
    assert len(refused) > len(results) / 2

import pytest
import torch

from mmtaformer.converters import Conversion, load_converted
from mmtaformer.utils.errors import DataError


def test_what_has_no_place_is_named():
    model = torch.nn.ModuleDict(dict(fc=torch.nn.Linear(3, 2)))
    conversion = Conversion()
    conversion.put("old.weight", "fc.weight", torch.ones(2, 3))
    assert load_converted(conversion, model) == ["fc.bias"]
    assert model["fc"].weight.eq(1).all()
    conversion.put("old.bias", "fc.bias", torch.ones(4))
    with pytest.raises(DataError, match=r"'old\.bias' .*\(4,\).*\(2,\)"):
        load_converted(conversion, model)
    conversion.drop("fc.bias", "")
    conversion.put("gone", "norm.bias", torch.ones(4))
    with pytest.raises(DataError, match=r"'gone' becomes 'norm\.bias', which"):
        load_converted(conversion, model)


def test_two_sources_of_one_parameter():
    conversion = Conversion()
    conversion.put("a", "fc.weight", torch.ones(1))
    with pytest.raises(DataError, match=r"'b' and 'a' both stand for 'fc\.weight'"):
        conversion.put("b", "fc.weight", torch.ones(1))

import torch

from mmtaformer.converters import Conversion, format_report


def test_similar_names_share_a_line():
    conversion = Conversion()
    for layer in range(3):
        for part in ("weight", "bias"):
            conversion.put(
                f"a.{layer}.fc.{part}", f"b.{2 * layer}.{part}", torch.zeros(1)
            )
    conversion.put("norm.weight", "norm.weight", torch.zeros(1))
    conversion.put("head.weight", "cls.weight", torch.zeros(3))
    conversion.adapt("cls.weight", torch.zeros(2), "rows 0, 1")
    conversion.add("gate.bias", torch.zeros(1), "zero")
    conversion.leave_out("epoch", "no parameters")
    assert format_report(conversion, ["fusion.0.weight", "fusion.1.weight"]) == (
        "mapped under the same name: 1\n"
        "  norm.weight\n"
        "renamed: 6\n"
        "  a.{0-2}.fc.{weight,bias} -> b.{0,2,4}.{weight,bias}  (6)\n"
        "adapted: 1\n"
        "  head.weight -> cls.weight: rows 0, 1\n"
        "added: 1\n"
        "  gate.bias: zero\n"
        "left out: 1\n"
        "  epoch: no parameters\n"
        "left at initialization: 2\n"
        "  fusion.{0-1}.weight  (2)"
    )

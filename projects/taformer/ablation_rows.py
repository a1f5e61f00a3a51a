"""The rows of Tables 3, 4 and 6: what the paper has, and the small config of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtaformer.utils.launch import UsageError

CONFIG_DIR = Path(__file__).resolve().parent / "ablation"
TITLES = {
    3: "Table 3: the parts",
    4: "Table 4: how spatial and temporal attention are joined",
    6: "Table 6: the contrastive loss",
}


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        table: Number of the table.
        name: Name of the config of the paper's size, without its suffix.
        label: What the row is called in a table or plot.
        config: Name of the small config, without its suffix. Rows of several tables
            share one, which is trained once.
        paper: AP, AP50 and AP75 of the paper, in percent.
    """

    table: int
    name: str
    label: str
    config: str
    paper: tuple[float, float, float]

    @property
    def config_path(self) -> Path:
        """File of the small config."""
        return CONFIG_DIR / f"{self.config}.py"


_ST_ENC, _TA_DEC, _CL = (
    "table3_st-enc",
    "table3_st-enc_ta-dec",
    "table3_st-enc_ta-dec_cl",
)

ROWS = (
    Row(3, "table3_baseline", "Baseline", "tiny_table3_baseline", (44.9, 66.8, 50.3)),
    Row(3, _ST_ENC, "+ ST-Enc", f"tiny_{_ST_ENC}", (46.4, 68.7, 51.5)),
    Row(3, _TA_DEC, "+ ST-Enc + TA-Dec", f"tiny_{_TA_DEC}", (47.0, 69.5, 52.7)),
    Row(3, _CL, "+ ST-Enc + TA-Dec + CL", f"tiny_{_CL}", (48.1, 71.6, 52.5)),
    Row(
        4,
        "table4_addition",
        "Element-wise addition",
        "tiny_table4_addition",
        (45.9, 67.1, 51.1),
    ),
    Row(
        4,
        "table4_concatenation",
        "Concatenation",
        "tiny_table4_concatenation",
        (46.2, 68.2, 50.9),
    ),
    Row(
        4,
        "table4_dynamic-attention-fusion",
        "Dynamic attention fusion",
        f"tiny_{_ST_ENC}",
        (46.4, 68.7, 51.5),
    ),
    Row(6, "table6_no-cl", "Without", f"tiny_{_TA_DEC}", (47.0, 69.5, 52.7)),
    Row(6, "table6_cl", "CL", "tiny_table6_cl", (47.7, 71.0, 51.6)),
    Row(6, "table6_cl_aux", "CL, Aux", f"tiny_{_CL}", (48.1, 71.6, 52.5)),
)


def select_rows(
    tables: Sequence[int] | None = None, names: Sequence[str] | None = None
) -> list[Row]:
    """Choose rows.

    Args:
        tables: Only rows of these tables; None for all.
        names: Only rows of these names; None for all.

    Returns:
        The rows that satisfy both, in the order of the paper.

    Raises:
        UsageError: If a name is unknown, or no row is left.
    """
    known = [row.name for row in ROWS]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise UsageError(f"there is no row {unknown[0]}; choose of {', '.join(known)}.")
    rows = [
        row
        for row in ROWS
        if (tables is None or row.table in tables)
        and (names is None or row.name in names)
    ]
    if not rows:
        raise UsageError(
            f"none of the rows {', '.join(names or ())} is in tables {tables}; leave "
            "one of the two options out."
        )
    return rows


def unique_configs(rows: Sequence[Row]) -> list[str]:
    """Names of the small configs that rows need, each once."""
    return list(dict.fromkeys(row.config for row in rows))

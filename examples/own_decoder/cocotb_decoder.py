"""The same decoder judged under cocotb, by emulate's scoreboard.

    python examples/own_decoder/cocotb_decoder.py                # needs cocotb >= 2 and Icarus
    python examples/own_decoder/cocotb_decoder.py mended.v

It fails, and explains why, until the decoder is mended.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

from bposit.emulate.vectors import Scoreboard, Task, stimuli
from posit import bposit16

FOLDER = Path(__file__).parent


@cocotb.test()
async def fields_are_right(dut: Any) -> None:
    """Each regime, its ends, zero and NaR: 1000 patterns."""
    task = Task("decode", bposit16)
    board = Scoreboard(task, keep=2)
    for operands in stimuli(task, "mixed", 1000, seed=1):
        dut.a.value = operands["a"]
        await Timer(1, "ns")
        fields = {name: getattr(dut, name).value for name in ("sign", "scale", "fraction")}
        flags = int(dut.zero.value) << 3 | int(dut.nar.value)
        board.check(operands, flags=flags, **fields)
    assert not board.wrong, board.report()


def main() -> int:
    """Compile and simulate with Icarus; 1 if the test fails."""
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    source = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER / "decoder.v"
    runner = get_runner("icarus")
    top, scale = "own_decoder", ("1ns", "1ns")
    runner.build(sources=[source], hdl_toplevel=top, timescale=scale, always=True)
    results = runner.test(hdl_toplevel=top, timescale=scale, test_module=Path(__file__).stem)
    ran, failed = get_results(results)
    return 0 if ran and not failed else 1


if __name__ == "__main__":
    sys.exit(main())

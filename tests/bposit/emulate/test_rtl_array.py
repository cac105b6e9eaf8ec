"""Processing elements wired to an array: bits and cycles are emulate.SystolicArray's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quire
from bposit.emulate import Mac, SystolicArray, rtl
from posit import PositSpec, bposit8, bposit16, standard

from ...formats import mixed
from . import rtl_tools as tools

PLACES = """
    genvar i, j;
    generate
        for (i = 0; i < R; i = i + 1) begin : left
            assign av[i*(C+1)] = {valid_a};
            assign a[i*(C+1)] = as[{which_a}];
        end
        for (j = 0; j < C; j = j + 1) begin : top
            assign bv[j] = {valid_b};
            assign b[j] = bs[{which_b}];
            assign s[j] = {first};
        end
        for (i = 0; i < R; i = i + 1) begin : row
            for (j = 0; j < C; j = j + 1) begin : col
                {name}_pe_{dataflow} pe (
                    .clk(clk), .rst(rst), .enable(1'b1), {how},
                    .a_in_valid(av[i*(C+1)+j]), .a_in(a[i*(C+1)+j]),
                    .b_in_valid(bv[i*C+j]), .b_in(b[i*C+j]),
                    .a_valid(av[i*(C+1)+j+1]), .a(a[i*(C+1)+j+1]),
                    .b_valid(bv[(i+1)*C+j]), .b(b[(i+1)*C+j]),
                    .sum_in(s[i*C+j][W-1:0]), .nar_in(s[i*C+j][W]),
                    .sum(s[(i+1)*C+j][W-1:0]), .nar(s[(i+1)*C+j][W])
                );
            end
        end
        for (j = 0; j < C; j = j + 1) begin : bottom
            wire [N-1:0] result;
            {name}_quire_round round (.sum(s[R*C+j][W-1:0]), .nar(s[R*C+j][W]), .result(result));
            always @(posedge clk)
                if (~rst && {out}) $display("%0d %0d %h %h", cycle, j, result, s[R*C+j]);
        end
    endgenerate
"""
BENCH = """
module array;
    localparam R = {rows}, C = {cols}, T = {steps}, N = {n}, W = {width};
    reg clk = 0, rst = 1;
    integer cycle = 0;
    reg [N-1:0] as [0:{a_last}];
    reg [N:0] bs [0:{b_last}];  // with whether there is one
    reg [W:0] sums [0:{s_last}];
    wire av [0:R*(C+1)-1], bv [0:(R+1)*C-1];
    wire [N-1:0] a [0:R*(C+1)-1], b [0:(R+1)*C-1];
    wire [W:0] s [0:(R+1)*C-1];
    {places}
    initial begin
        $readmemh("a.hex", as);
        $readmemh("b.hex", bs);
        $readmemh("s.hex", sums);
        #22 rst = 0;
    end
    always #5 clk <= ~clk;
    always @(posedge clk) begin
        if (~rst) cycle <= cycle + 1;
        if (cycle == 2*R + C + T) $finish;
    end
endmodule
"""
HOW = {
    "os": {
        "valid_a": "cycle >= i && cycle - i < T",
        "which_a": "i*T + cycle - i",
        "valid_b": "cycle >= j && cycle - j < T",
        "which_b": "(cycle - j)*C + j",
        "first": "0",
        "how": ".move(cycle >= T+R+C-2)",
        "out": "cycle >= T+R+C-2 && cycle < T+2*R+C-2",
    },
    "ws": {
        "valid_a": "cycle >= R+i && cycle - R - i < T",
        "which_a": "(cycle - R - i)*R + i",
        "valid_b": "cycle < R ? bs[(R-1-cycle)*C + j][N] : 1'b0",
        "which_b": "(R-1-cycle)*C + j",
        "first": "cycle >= R+j ? sums[(cycle - R - j)*C + j] : 0",
        "how": ".load(cycle < R)",
        "out": "av[(R-1)*(C+1)+j+1]",
    },
}


def words(folder: Path, name: str, values: Any, digits: int) -> int:
    lines = [f"{int(v):0{digits}x}" for v in np.asarray(values, object).ravel()]
    (folder / f"{name}.hex").write_text("\n".join(lines) + "\n")
    return len(lines) - 1


def tile(  # noqa: PLR0917
    folder: Path, spec: PositSpec, dataflow: Any, steps: int, a: Any, b: Any, sums: Any
) -> list[tuple[int, int, int, int]]:
    """(cycle, column, result, sum) of everything that comes out."""
    rtl.write(folder, "pe", spec, dataflow=dataflow)
    width, digits = quire.Layout.exact(spec).width, spec.n // 4 + 1
    rows, cols = (len(a) if dataflow == "os" else len(b)), len(b[0])
    last = {
        "a_last": words(folder, "a", a, digits),
        "b_last": words(folder, "b", b, digits),
        "s_last": words(folder, "s", sums, width // 4 + 1),
    }
    places = PLACES.format(name=spec.name, dataflow=dataflow, **HOW[dataflow])
    text = BENCH.format(
        rows=rows, cols=cols, steps=steps, n=spec.n, width=width, places=places, **last
    )
    (folder / "array.v").write_text(text)
    said = tools.icarus(folder, "array", "-Wno-implicit-dimensions")
    found = [line.split() for line in said.splitlines() if line[:1].isdigit()]
    return [(int(c), int(j), int(r, 16), int(s, 16)) for c, j, r, s in found]


def unsigned(bits: Any, spec: PositSpec) -> list[list[int]]:
    return [[int(x) & ((1 << spec.n) - 1) for x in line] for line in bits]


@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(16)], ids=str)
def test_output_stationary(tmp_path: Path, spec: PositSpec) -> None:
    rng = np.random.default_rng(3)
    rows, cols, steps = 3, 2, 7
    a, b = mixed(spec, (rows, steps), rng), mixed(spec, (steps, cols), rng)
    array = SystolicArray(rows, cols, "os", Mac(spec))
    assert (array.matmul(a, b) != spec.nar).any()
    left, top = unsigned(a, spec), unsigned(b, spec)
    came = tile(tmp_path, spec, "os", steps, left, top, [0])
    assert len(came) == rows * cols
    got = [
        [r for _, j, r, _ in came if j == col][::-1] for col in range(cols)
    ]  # the last row first
    assert got == [list(x) for x in zip(*unsigned(array.matmul(a, b), spec), strict=True)]
    assert came[-1][0] + 1 == array.plan(rows, steps, cols).cycles


@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(16)], ids=str)
def test_weight_stationary(tmp_path: Path, spec: PositSpec) -> None:
    """Of two tiles along K, the last of which has a row without weights."""
    rng = np.random.default_rng(4)
    rows, cols, lines, inner = 3, 2, 5, 5
    a, b = mixed(spec, (lines, inner), rng), mixed(spec, (inner, cols), rng)
    array = SystolicArray(rows, cols, "ws", Mac(spec))
    assert (array.matmul(a, b) != spec.nar).any()
    sums: Any = np.zeros((lines, cols), object)
    cycles = 0
    for k in range(0, inner, rows):
        size = min(rows, inner - k)
        left = [line + [1 << (spec.n - 1)] * (rows - size)  # NaR, where it may not count
                for line in unsigned(a[:, k : k + size], spec)]  # fmt: skip
        top = [[x | 1 << spec.n for x in line] for line in unsigned(b[k : k + size], spec)]
        top += [[0] * cols] * (rows - size)
        came = tile(tmp_path / str(k), spec, "ws", lines, left, top, sums)
        assert len(came) == lines * cols
        for col in range(cols):
            sums[:, col] = [s for _, j, _, s in came if j == col]
        cycles += came[-1][0]
    got = [[r for _, j, r, _ in came if j == col] for col in range(cols)]
    assert got == [list(x) for x in zip(*unsigned(array.matmul(a, b), spec), strict=True)]
    assert cycles == array.plan(lines, inner, cols).cycles


@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(16), PositSpec(6, 2, 3)], ids=str)
def test_a_sum_beyond_its_register_is_nar(tmp_path: Path, spec: PositSpec) -> None:
    """Of either sign, until it is cleared: products on a sum that is as large as can be."""
    rtl.write(tmp_path, "quire-mac", spec)
    width = quire.Layout.exact(spec).width
    mask, most = (1 << spec.n) - 1, spec.maxpos_pattern
    least = -most & mask
    (tmp_path / "beyond.v").write_text(f"""
module beyond;
    reg clk = 0, rst = 1, clear = 0;
    reg [{spec.n - 1}:0] a = 0, b = {spec.n}'d{most};
    wire ready, valid, nar;
    wire [{width - 1}:0] sum;
    wire [{spec.n - 1}:0] result;
    {spec.name}_quire_mac dut (.clk(clk), .rst(rst), .in_valid(1'b1), .in_ready(ready),
        .clear(clear), .a(a), .b(b), .out_valid(valid), .out_ready(1'b1), .sum(sum), .nar(nar),
        .result(result));
    always #5 clk <= ~clk;
    task product(input [{spec.n - 1}:0] x, input [{width - 1}:0] held, input again);
        begin
            @(negedge clk) a = x; clear = again;
            @(negedge clk) a = 0; clear = 0;
            if (!again) dut.sum = held;
            @(negedge clk) $display("%b %h", nar, result);
        end
    endtask
    initial begin
        #22 rst = 0;
        product({spec.n}'d{most}, {{1'b0, {{{width - 1}{{1'b1}}}}}}, 0);
        product({spec.n}'d{most}, 0, 0);
        product({spec.n}'d{most}, 0, 1);
        product({spec.n}'d{least}, {{1'b0, {{{width - 1}{{1'b1}}}}}}, 0);
        product({spec.n}'d{least}, {{1'b1, {width - 1}'b0}}, 0);
        product({spec.n}'d{least}, 0, 1);
        $finish;
    end
endmodule
""")
    said = tools.icarus(tmp_path, "beyond").split()
    nar = 1 << (spec.n - 1)
    assert [int(x) for x in said[::2]] == [1, 1, 0, 0, 1, 0]
    assert [int(x, 16) for x in said[1::2]] == [nar, nar, most, most, nar, least]

"""Simulators, a linter and a prover for the Verilog tests; loudly skipped where they are absent."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bposit.emulate import rtl, widths
from bposit.emulate.codec import Form
from posit import PositSpec

__all__ = [
    "built",
    "files",
    "icarus",
    "lint",
    "naive_decoder",
    "naive_encoder",
    "proved",
    "run",
    "verdict",
]

PACKAGES = {"iverilog": "iverilog", "vvp": "iverilog", "verilator": "verilator", "yosys": "yosys"}


def run(folder: Path, *command: str, fails: bool = False) -> str:
    """What a tool says; skips the test where there is no such tool."""
    if shutil.which(command[0]) is None and "/" not in command[0]:
        pytest.skip(f"NOT RUN: there is no {command[0]} (Debian: {PACKAGES[command[0]]})")
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, f"{' '.join(command)}\n{said[-3000:]}"
    return said


def files(
    folder: Path, unit: str, spec: PositSpec, count: int | None = None, **options: Any
) -> str:
    """Write a unit, its bench and vectors; the unit's module."""
    rtl.write(folder, unit, spec, testbench=True, count=count, seed=1, **options)
    named = {k: v for k, v in options.items() if k != "regime"}
    return rtl.top(unit, spec, **named)


def icarus(folder: Path, top: str, *defines: str) -> str:
    """What simulating prints; the modules are in files called as they are."""
    made = run(folder, "iverilog", "-g2001", "-Wall", "-y.", "-s", top, *defines, "-o", "sim.vvp",
               f"{top}.v")  # fmt: skip
    assert made == ""
    return run(folder, "vvp", "-n", "sim.vvp")


def verdict(said: str) -> list[str]:
    """What a bench says of the unit; simulators add warnings and farewells."""
    return [line for line in said.splitlines() if line.startswith(("PASS", "FAIL"))]


def built(folder: Path, top: str) -> Path:
    """Verilator's program of a bench."""
    run(folder, "verilator", "--binary", "-Wall", "-y", ".", "--top-module", top, f"{top}.v")
    return folder / "obj_dir" / f"V{top}"


def lint(folder: Path, top: str, fails: bool = False) -> str:
    """Verilator's complaints."""
    return run(folder, "verilator", "--lint-only", "-Wall", "--timing", "-y", ".", "--top-module",
               top, f"{top}.v", fails=fails)  # fmt: skip


def proved(folder: Path, top: str, text: str) -> bool:
    """Whether ``ok`` of the module ``top``, of this text, is 1 for all inputs, by SAT."""
    (folder / f"{top}.v").write_text(text)
    script = (
        f"read_verilog *.v; hierarchy -check -top {top}; proc; flatten; opt -full;"
        f" sat -prove ok 1 -set-def-inputs {top}"
    )
    said = run(folder, "yosys", "-p", script)
    verdicts = [line for line in said.splitlines() if "proof finished" in line]
    assert len(verdicts) == 1, said[-2000:]
    assert ("no model found: SUCCESS!" in verdicts[0]) != ("model found: FAIL!" in verdicts[0])
    return "SUCCESS!" in verdicts[0]


def naive_decoder(spec: PositSpec, form: Form) -> str:
    """Section 2 of docs/format.md, bit by bit, as a module ``naive_decoder``."""
    twos = int(form == "twos")
    n, rs, es, f = spec.n, spec.rs, spec.es, spec.f_max
    port = max(1, f)
    return f"""
module naive_decoder (input [{n - 1}:0] a, output reg nar, zero, sign,
                      output reg signed [15:0] scale, output reg [{port - 1}:0] fraction);
    reg [{n - 1}:0] p;
    reg run;
    integer i, m, at, r, e;
    always @* begin
        nar = a == {{1'b1, {n - 1}'b0}};
        zero = a == 0;
        sign = a[{n - 1}] & ~nar;
        p = sign && !{twos} ? -a : a;
        m = 0;
        run = 1;
        for (i = {n - 2}; i >= {n - 1 - rs}; i = i - 1) begin
            if (p[i] != p[{n - 2}]) run = 0;
            if (run) m = m + 1;
        end
        r = p[{n - 2}] ? m - 1 : -m;
        at = {n - 2} - (m < {rs} ? m + 1 : m);  // the bit behind the regime
        e = 0;
        for (i = 0; i < {es}; i = i + 1)
            e = 2 * e + (at - i >= 0 ? (p >> (at - i)) & 1 : 0);
        fraction = 0;
        for (i = 0; i < {f}; i = i + 1)
            fraction = fraction << 1 | (at - {es} - i >= 0 ? (p >> (at - {es} - i)) & 1 : 0);
        scale = nar | zero ? 0 : r * {1 << es} + e;
        if ({twos} && sign) scale = ~scale;
    end
endmodule
"""


def naive_encoder(spec: PositSpec, form: Form) -> str:
    """Section 3 of docs/format.md: the whole string of bits, then rounded; ``naive_encoder``."""
    twos, scale_bits = int(form == "twos"), widths(spec).scale + 1
    n, rs, es, f = spec.n, spec.rs, spec.es, spec.f_max
    port, size = max(1, f), rs + es + f + 2 + n  # bits of the string, some zeros behind
    tail = size - 1
    return f"""
module naive_encoder (input nar, zero, sign, input signed [{scale_bits - 1}:0] scale,
                      input [{port - 1}:0] fraction, input guard, sticky,
                      output reg [{n - 1}:0] result);
    reg [{size - 1}:0] s;
    reg [{n - 2}:0] body;
    integer i, at, t, r, m, e;
    always @* begin
        t = {twos} && sign ? ~scale : scale;
        r = t >>> {es};
        e = t - r * {1 << es};
        s = 0;
        at = {tail};
        m = r >= 0 ? r + 1 : -r;
        for (i = 0; i < {rs}; i = i + 1)
            if (i <= m) begin
                s[at] = (i < m) == (r >= 0);
                at = at - 1;
            end
        for (i = {es} - 1; i >= 0; i = i - 1) begin
            s[at] = (e >> i) & 1;
            at = at - 1;
        end
        for (i = {f} - 1; i >= 0; i = i - 1) begin
            s[at] = (fraction >> i) & 1;
            at = at - 1;
        end
        s[at] = guard;
        s[at - 1] = sticky;
        body = s[{tail}:{tail - n + 2}];
        if (s[{tail - n + 1}] && (body[0] || s[{tail - n}:0] != 0) && body != {{{n - 1}{{1'b1}}}})
            body = body + 1;
        if (body == 0) body = 1;
        if (r >= {rs}) body = {{{n - 1}{{1'b1}}}};
        if (r < -{rs}) body = 1;
        result = {twos} || !sign ? {{sign, body}} : -{{1'b0, body}};
        if (zero) result = 0;
        if (nar) result = {{1'b1, {n - 1}'b0}};
    end
endmodule
"""

"""Counters of leading zeros."""

from __future__ import annotations

from posit import PositSpec

from .text import filled, head, part, row, zeros

__all__ = ["leading"]

_MOST_AT_ONCE = 128  # bits of a tree of single bits


def leading(spec: PositSpec, width: int) -> dict[str, str]:
    """A counter of leading zeros of so many bits, as a tree: modules by name, its own last.

    Wide ones are made of blocks: simulators are slow where many small parts of one wide vector
    are assigned apart.
    """
    module = f"{spec.name}_leading{width}"
    what = head(module, f"how many zeros lead {width} bits", spec)
    places = {"head": what, "module": module, "width": width, "x_top": width - 1}
    if width > _MOST_AT_ONCE:
        return _blocks(spec, width, places)
    depth = width.bit_length()  # so that 2^depth > width: there is room for a 1 behind
    levels = [_level(k, depth) for k in range(1, depth + 1)]
    text = filled(
        "leading",
        **places,
        c_top=depth - 1,
        p_top=(1 << depth) - 1,
        padded=row("x", "1'b1", zeros((1 << depth) - width - 1)),
        levels="\n".join([*["    genvar i;"][: depth - 1], *levels]),
    )
    return {module: text}


def _blocks(spec: PositSpec, width: int, places: dict[str, object]) -> dict[str, str]:
    blocks, count = width // 32 + 1, width.bit_length()
    block, inner = leading(spec, 32), leading(spec, blocks)
    index = blocks.bit_length()
    text = filled(
        "leading_wide",
        **places,
        c_top=count - 1,
        blocks=blocks,
        b_top=blocks - 1,
        p_top=32 * blocks - 1,
        padded=row("x", "1'b1", zeros(32 * blocks - width - 1)),
        counts_top=5 * blocks - 1,
        block=next(reversed(block)),
        inner=next(reversed(inner)),
        i_top=index - 1,
        i_width=index,
        index=part("index", count - 6),
        unused=f"\n    wire unused = {part('index', index - 1, count - 5)};"
        if index > count - 5
        else "",
    )
    return block | inner | {str(places["module"]): text}


def _level(k: int, depth: int) -> str:
    """From groups of 2^(k-1) bits to groups of 2^k; the last level has one group."""
    groups, before = 1 << (depth - k), f"any{k - 1}"
    high, low = f"{before}[2*i+1]", f"{before}[2*i]"
    inner = f", {high} ? at{k - 1}[{k - 1}*(2*i+1) +: {k - 1}] : at{k - 1}[{k - 1}*2*i +: {k - 1}]"
    count = f"{{~{high}{inner if k > 1 else ''}}}"
    if k == depth:
        return f"    assign zeros = {count.replace('2*i+1', '1').replace('2*i', '0')};\n" + (
            f"    wire unused = {before}[0];"
        )
    return f"""\
    wire [{groups - 1}:0] any{k};
    wire [{groups * k - 1}:0] at{k};
    generate
        for (i = 0; i < {groups}; i = i + 1) begin : level{k}
            assign any{k}[i] = {high} | {low};
            assign at{k}[{k}*i +: {k}] = {count};
        end
    endgenerate"""

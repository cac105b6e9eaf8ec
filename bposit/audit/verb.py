"""``bposit audit``: the options, and which parts of the package answer them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["audit"]


def audit(  # noqa: PLR0917
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…|SCRIPT.py:FACTORY",
            help="Weights: .safetensors, .npy, .npz, .pt, .pth, .bin or .onnx; nothing in them is"
            " run. Or a script, which is EXECUTED WITH YOUR RIGHTS: its function returns a torch"
            " module, or (module, metric).",
        ),
    ],
    inputs: Annotated[
        Path | None,
        typer.Option(metavar="DATA.npz", help="For a script: the arguments of forward, by name."),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: bposit16, posit16, n24_rs4_es3 (for <24,4,3>), bfloat16,"
            " float16, float8_e4m3fn, float8_e5m2@amax, mxfp8, …"
        ),
    ] = None,
    accumulate: Annotated[
        str | None,
        typer.Option(
            help="For a script, comma-separated: per_op, float32, float64, quire. By default the"
            " quire for posits, float32 for others."
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Only tensors, or layers, in whose names it is found."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(help="For a script: elements of each layer's output that are compared; 1024."),
    ] = None,
    bound: Annotated[
        float, typer.Option(help="dB of SQNR that a recommended format has to reach.")
    ] = 40.0,
    best: Annotated[
        int | None, typer.Option(metavar="N", help="Search the best <N,rs,es> of each tensor too.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write report.json, .html, .md and junit.xml there."),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="OLD.json", help="An earlier report to compare with.")
    ] = None,
    fail_if: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help="Exit with 1 where it holds for any row: 'sqnr[bposit16] < 40 or nar > 0'.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print report.md.")] = False,
    as_junit: Annotated[bool, typer.Option("--junit", help="Print junit.xml.")] = False,
    max_bytes: Annotated[
        int, typer.Option(min=1, help="Memory that one file may take; mapped files take none.")
    ] = 1 << 33,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Default: all; the report does not depend on it.")
    ] = None,
) -> None:
    """Measure what number formats do to weights or a model, against an exact reference.

    Exit codes: 0 fine, 1 the condition of --fail-if holds, 2 it could not be done, 130 interrupted
    (the report then says that it is not complete).

    Examples:

    - bposit audit model.safetensors --formats bposit16,bfloat16,mxfp8 --out report
    - bposit audit weights.npz --fail-if 'sqnr[bposit16] < 55 or nar > 0' --junit
    - bposit audit net.py:make --inputs batch.npz --accumulate quire,float32
    """
    from .command import Options, run

    printed = [how for how, wanted in (("json", as_json), ("markdown", as_markdown),
                                       ("junit", as_junit)) if wanted]  # fmt: skip
    code = run(
        Options(
            targets=targets, inputs=inputs, formats=formats, accumulate=accumulate, layers=layers,
            sample=sample, bound=bound, best=best, out=out, baseline=baseline, fail_if=fail_if,
            printed=printed, max_bytes=max_bytes, threads=threads,
        )
    )  # fmt: skip
    if code:
        raise typer.Exit(code)

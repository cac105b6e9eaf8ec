"""Audit the demo's Transformer while it learns: ``python docs/audits/transformer.py FOLDER``.

It is trained in float32. Every 50 steps a batch of the test text goes through it in every format;
between them each update of the weights is followed.
"""

import sys
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

import bposit.audit
from bposit.demo.text import Text

FORMATS = "bposit16,bfloat16,float16,bposit8,float8_e4m3fn@amax"
STEPS, EVERY = 300, 50


def main(folder: str) -> None:
    """Train, measure, write the reports and print what they come to."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task, plan = Text.load(), Text.plan
    model = task.model()
    x, y = task.test_inputs[:32], task.test_targets[:32]

    def bits(logits: Tensor) -> float:
        return float(F.cross_entropy(logits.flatten(0, 1), y.flatten())) / 0.6931471805599453

    audit = bposit.audit.Audit(model, FORMATS, sample=512, metric=bits)
    optimizer = torch.optim.AdamW(model.parameters(), plan.rate, **plan.options)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.rate, STEPS, pct_start=0.2, cycle_momentum=False
    )
    audit.measure(x)
    for step, (a, b) in enumerate(islice(task.batches(0, plan.batch), STEPS), 1):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(a).flatten(0, 1), b.flatten())
        loss.backward()
        optimizer.step()
        schedule.step()
        audit.follow()
        if step % EVERY == 0:
            audit.measure(x)
            print(f"step {step}: loss {loss.item() / 0.6931471805599453:.2f} bits")
    report = audit.report
    bposit.audit.write(report, folder)
    last = [layer for layer in report["layers"] if layer["step"] == STEPS]
    for i, row in enumerate(last[-1]["rows"]):
        shares = [layer["rows"][i]["stagnation"] for layer in last]
        drifts = [layer["rows"][i]["drift_sqnr"] for layer in last]
        print(
            f"{row['format']}: out {row['cumulative_sqnr']:.1f} dB,"
            f" {row['metric_change']:+.4f} bits; updates lost, at most"
            f" {max(s for s in shares if s is not None):.1%};"
            f" weights after all steps, at least {min(d for d in drifts if d is not None):.1f} dB"
        )


if __name__ == "__main__":
    main(sys.argv[1])

"""Rotations that are killed: run as a program with a folder, it prints one JSON object a death.

Each rotation is a process of its own, which ends itself by SIGKILL at one of its steps: at a stage
that the log names, or at one of the calls that change the disk, when half of its work is done.
This process, which has never had the slot, then restarts it from the disk.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bposit.records import verify
from torch_bridge.adaptive.rotation import ModelSlot, Version

from .making import WRITER, TwoLayers, bits, inputs, recorder, slot_of, version

STAGES = ["taken", "verified", "loaded", "compared", "named", "recorded", "swapped", "tidied"]


class TidiesFirst(ModelSlot):
    """Removes old versions before the new one is recorded."""

    def _serve(self, event: str, version: Version, more: Any) -> None:
        self._store.tidy({version.name})
        super()._serve(event, version, more)


# ---- ways to die
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class AtStage(logging.Handler):
    """Death when the log says that a stage is reached."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.stage = stage

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == f"stage: {self.stage}":
            die()


def at_stage(stage: str) -> None:
    log = logging.getLogger("torch_bridge.adaptive.rotation")
    log.setLevel(logging.DEBUG)
    log.addHandler(AtStage(stage))


def half_copied(source: Path, target: Path) -> None:
    data = source.read_bytes()
    target.write_bytes(data[: len(data) // 2])


def half_removed(folder: Path, **_: Any) -> None:
    for path in sorted(folder.iterdir() if folder.exists() else ())[:2]:
        path.unlink()


def half_written(fd: int, data: bytes, write: Callable[[int, bytes], int] = os.write) -> None:
    write(fd, data[: len(data) // 2])


def nothing(*_: Any, **__: Any) -> None:
    pass


CALLS = [
    (os, "write", half_written), (os, "fsync", nothing), (os, "rename", nothing),
    (os, "replace", nothing), (os, "mkdir", nothing), (shutil, "copyfile", half_copied),
    (shutil, "rmtree", half_removed),
]  # fmt: skip


def at_call(count: int) -> None:
    """Death at the call with this number, counted from 0."""
    seen = 0

    def watched(call: Callable[..., Any], half: Callable[..., None]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            mine, seen = seen, seen + 1
            if mine == count:
                half(*args, **kwargs)
                die()
            return call(*args, **kwargs)

        return counted

    for module, name, half in CALLS:
        setattr(module, name, watched(getattr(module, name), half))


# ---- lives
def change(folder: Path, what: str, kind: type[ModelSlot], arm: Callable[[], None]) -> int:
    """A rotation or rollback in a process of its own; how it ended, 0 or -SIGKILL."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with recorder(folder) as records:
                slot = slot_of(records, folder, kind)
                arm()
                if what == "rollback":
                    slot.rollback()
                else:
                    slot.rotate(folder / what)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def restarted(folder: Path) -> dict[str, Any]:
    """What serves after a restart, and whether all is well with it."""
    with recorder(folder) as records:
        try:
            slot = slot_of(records, folder)
        except RuntimeError as error:
            return {"error": str(error)}
        assert slot.active is not None
        serial, x = slot.active.certificate.serial, inputs(3)
        found = {
            "serves": serial,
            "recorded": [r.body["serial"] for r in records.records if "serial" in r.body][-1],
            "bits": bits(slot.predict(x).value) == bits(TwoLayers(serial)(x)),
            "previous": slot.previous and slot.previous.certificate.serial,
            "events": [r.event for r in records.records],
            "kept": len(list((folder / "store").iterdir())),
        }
        found["goes on"] = slot.rotate(folder / "version 3").certificate.serial == 3
    verify(folder / "records", WRITER.public_key(), folder / "kept" / "head")
    return found


def main(root: Path, kind: type[ModelSlot], whats: list[str]) -> None:
    torch.set_num_threads(1)
    begun = root / "begun"
    begun.mkdir()
    for seed in range(4):
        version(begun, seed)
    for seed in range(2):
        assert change(begun, f"version {seed}", ModelSlot, nothing) == 0

    def life(what: str, death: str, arm: Callable[[], None]) -> int:
        folder = root / "now"
        shutil.copytree(begun, folder)
        code = change(folder, what, kind, arm)
        print(json.dumps({"what": what, "death": death, "code": code, **restarted(folder)}))
        shutil.rmtree(folder)
        return code

    for what in whats:
        for stage in STAGES:
            life(what, stage, lambda stage=stage: at_stage(stage))
        count = 0
        while life(what, str(count), lambda count=count: at_call(count)):
            count += 1


if __name__ == "__main__":
    if sys.argv[2:] == ["mutant"]:
        main(Path(sys.argv[1]), TidiesFirst, ["version 2"])
    else:
        main(Path(sys.argv[1]), ModelSlot, ["version 2", "rollback"])

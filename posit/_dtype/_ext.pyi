from typing import Any

PositDType: Any

def setup(*helpers: Any) -> None: ...

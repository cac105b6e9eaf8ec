"""Four training methods that need exact sums or narrow storage, each a small library.

``kalman``, ``adamo``, ``smt`` and ``know`` are reference consumers: they use the public names of
posit, quire and torch_bridge alone. docs/methods/ says where each comes from, what of it was found
and what reconstructed, and what was measured. Each runs as ``python -m torch_bridge.methods.NAME``.
"""

"""Which numbers a processor multiplies in: bf16 where it has tiles for it (AMX), fp32 elsewhere.

A processor without bf16 emulates: there a product ran at 0.3 GFLOP/s against 110 in fp32. One with AVX-512's dot products for
it and no tiles loses by them: a step of painting took 1.3 times, of guided diffusion 1.1 times the processor time of fp32.
"""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "fp32", "bf16")


def native_bf16(device: torch.device) -> bool:
    """Whether the device gains by bfloat16. Asking the processor, not a stopwatch, gives the same answer every time; what torch
    is told not to use (ATEN_CPU_CAPABILITY) does not count."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    told, tiles = torch.backends.cpu.get_cpu_capability(), getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return device.type == "cpu" and told.startswith(("AVX512", "AMX")) and tiles()


def resolved(precision: str, device: torch.device | str) -> str:
    """"fp32" or "bf16": what "auto" means on a device. Raises ValueError on what is none of PRECISIONS."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: use {', '.join(map(repr, PRECISIONS))}")
    if precision == "auto":
        return "bf16" if native_bf16(torch.device(device)) else "fp32"
    return precision


def autocast(device: torch.device | str, precision: str) -> torch.autocast:
    """A context, entered as often as wanted, in which the device's products are in the precision."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=resolved(precision, device) == "bf16")

"""Which numbers a processor multiplies in: bf16 where it does so natively, fp32 elsewhere.

A processor without it emulates: there a bf16 product ran at 0.3 GFLOP/s against 110 in fp32.
"""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "fp32", "bf16")


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively. Asking the processor, not a stopwatch, gives the same answer every time;
    what torch is told not to use (ATEN_CPU_CAPABILITY) does not count."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    ask = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    told = torch.backends.cpu.get_cpu_capability()
    return device.type == "cpu" and told.startswith(("AVX512", "AMX")) and any(f() for f in ask if f)


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

"""Which numbers a processor multiplies in: bf16 where it gains by it, fp32 elsewhere.

A processor without bf16 emulates: there a product ran at 0.3 GFLOP/s against 110 in fp32. AVX-512's dot products gain on AMD's
(benchmarks in the README); Intel's do one where they do two in fp32: without tiles (AMX) a step of painting took 1.3 times, of
guided diffusion 1.1 times the processor time of fp32.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

PRECISIONS = ("auto", "fp32", "bf16")


def native_bf16(device: torch.device) -> bool:
    """Whether the device gains by bfloat16. Asking the processor, not a stopwatch, gives the same answer every time; what torch
    is told not to use (ATEN_CPU_CAPABILITY) does not count."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    products, tiles = (getattr(torch.cpu, name, lambda: False)() for name in
                       ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    told = torch.backends.cpu.get_cpu_capability()
    return device.type == "cpu" and told.startswith(("AVX512", "AMX")) and (tiles or products and not _intel())


@cache
def _intel() -> bool:
    """Whether the processor is Intel's, as the system names its maker."""
    try:
        names = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        names = platform.processor()
    return "GenuineIntel" in names


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

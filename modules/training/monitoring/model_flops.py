"""Model FLOPs utilisation: what a training computes for its model, of what its device could.

Chowdhery et al. 2022, "PaLM", appendix B (arXiv 2204.02311): observed throughput over that of a system that
runs at its peak. Counted are the multiply-adds of a sample's forward pass as the plan has them (`cost`;
matrix products, convolutions and attention), two operations each, three times over: forward, and backward
by weights and by inputs. Not counted is what is computed beside: activations computed again, validation, the
optimiser, elementwise operations. The peak is not a data sheet's but that of a matrix product on this
device, in the precision of the training, so a CPU has one too.
"""

import time
from functools import cache

import torch

_FORWARD_AND_BACKWARD = 3
_OPERATIONS = 2
_SIZES = {"cpu": (256, 512, 1024, 2048), "cuda": (1024, 2048, 4096, 8192)}
_LONG_ENOUGH_S = {"cpu": 8e-3, "cuda": 2e-3}
_NUM_REPEATS = 5


def model_flops(multiply_adds: int) -> float:
    """Operations of a training step on one sample.

    Args:
        multiply_adds: of its forward pass.
    """
    return float(_OPERATIONS * _FORWARD_AND_BACKWARD * multiply_adds)


def dtype_of(precision: str) -> torch.dtype:
    """In what a training's matrix products are computed.

    Args:
        precision: Lightning's word, such as bf16-mixed.
    """
    words = {"16": torch.float16, "bf16": torch.bfloat16, "64": torch.float64}
    return words.get(str(precision).partition("-")[0], torch.float32)


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Operations a second of the fastest of some square matrix products; some 10 ms, once a process.

    Args:
        device: of the training; its threads are torch's present number.
        dtype: of the matrices.

    Returns:
        None where the device cannot multiply such matrices, has no memory left for them, or is neither a CPU
        nor a GPU of CUDA.
    """
    return _peak_flops(device, dtype, torch.get_num_threads())


@cache
def _peak_flops(device: torch.device, dtype: torch.dtype, num_threads: int) -> float | None:
    return measured_flops(device, dtype)


def measured_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """As `peak_flops`, but measured at each call."""
    if device.type not in _SIZES:
        return None
    fastest = 0.0
    try:
        for size in _SIZES[device.type]:
            # Not random: the training's generators stay as they are.
            matrix = torch.linspace(-1, 1, size * size, device=device).reshape(size, size).to(dtype)
            seconds = min(_seconds(matrix) for _ in range(_NUM_REPEATS))
            fastest = max(fastest, 2.0 * size**3 / seconds)
            if seconds >= _LONG_ENOUGH_S[device.type]:
                break
    except (RuntimeError, NotImplementedError):
        return fastest or None
    return fastest


def _seconds(matrix: torch.Tensor) -> float:
    _wait(matrix.device)
    began_s = time.perf_counter()
    with torch.no_grad():
        torch.matmul(matrix, matrix)
    _wait(matrix.device)
    return time.perf_counter() - began_s


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

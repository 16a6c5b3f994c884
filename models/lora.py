"""A LoRA in a loaded model: beside its weight, as a finetune computes it, or merged into the weight for other tools.

Merged by rounding to the nearest number, what a LoRA adds is lost where it is less than half of the distance between neighbouring
numbers, which is the case of most of what a finetune adds in bfloat16 (docs/decisions.md has the measurement).
"""

import hashlib
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FLOAT32_DIGITS = 23
"""Binary digits of float32 behind the point."""


class LoraLinear(nn.Linear):
    """x -> W x + scale * B (A x), with A[r,in], B[out,r] in the dtype of W: operation by operation what PEFT trains."""

    def __init__(self, linear: nn.Linear, a: Tensor, b: Tensor, scale: float) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.lora_a, self.lora_b = (nn.Parameter(half.to(linear.weight.dtype), requires_grad=False) for half in (a, b))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + F.linear(F.linear(x, self.lora_a), self.lora_b) * self.scale


def merged(weight: Tensor, a: Tensor, b: Tensor, scale: float, seed: str) -> Tensor:
    """The weight with scale * B A in it, in its own dtype."""
    return rounded(weight.float() + scale * (b.float() @ a.float()), weight.dtype, seed)


def rounded(values: Tensor, dtype: torch.dtype, seed: str) -> Tensor:
    """float32 values in a dtype: up or down at random, such that the expected value is the value itself. Exact ones stay.

    float16 below 2^-14, where its numbers are 6e-8 apart, is rounded to the nearest. The same seed rounds in the same way.
    """
    dropped = FLOAT32_DIGITS + round(math.log2(torch.finfo(dtype).eps))
    if dropped <= 0:
        return values.to(dtype)
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:7], "big")
    noise = torch.randint(1 << dropped, values.shape, generator=torch.Generator().manual_seed(number), dtype=torch.int32)
    digits = values.contiguous().view(torch.int32) + noise
    return (digits & -(1 << dropped)).view(torch.float32).to(dtype)

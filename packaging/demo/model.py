"""The demo model: a small Llama in torch.

The shapes follow the GGUF convention for architecture "llama": the rotary
embedding turns the neighbouring pairs (2i, 2i + 1) of each head, so the
query and key rows are exported as they are trained.  The embedding is tied
to the output, as in the small Llama 3 models.
"""

import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional


QUERY_BLOCK = 160


@dataclasses.dataclass(frozen=True)
class Shape:
    vocab: int
    width: int = 256
    layers: int = 4
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 32
    ffn: int = 768
    context: int = 2048
    rope_base: float = 10000.0
    norm_eps: float = 1e-5


def rope_tables(shape, length):
    """cos and sin of every angle, each (length, head_dim / 2)."""
    half = shape.head_dim // 2
    frequency = shape.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
    return angle.cos().float(), angle.sin().float()


def rotate(x, cos, sin):
    """Turns the pairs (2i, 2i + 1) of x (batch, heads, time, head_dim)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.shape = s
        self.attn_norm = RMSNorm(s.width, s.norm_eps)
        self.attn_q = nn.Linear(s.width, s.heads * s.head_dim, bias=False)
        self.attn_k = nn.Linear(s.width, s.kv_heads * s.head_dim, bias=False)
        self.attn_v = nn.Linear(s.width, s.kv_heads * s.head_dim, bias=False)
        self.attn_output = nn.Linear(s.heads * s.head_dim, s.width, bias=False)
        self.ffn_norm = RMSNorm(s.width, s.norm_eps)
        self.ffn_gate = nn.Linear(s.width, s.ffn, bias=False)
        self.ffn_up = nn.Linear(s.width, s.ffn, bias=False)
        self.ffn_down = nn.Linear(s.ffn, s.width, bias=False)

    def attention(self, x, cos, sin, mask):
        s = self.shape
        batch, time, _ = x.shape
        q = self.attn_q(x).view(batch, time, s.heads, s.head_dim).transpose(1, 2)
        k = self.attn_k(x).view(batch, time, s.kv_heads, s.head_dim).transpose(1, 2)
        v = self.attn_v(x).view(batch, time, s.kv_heads, s.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        # Query head h reads key head h / group: neighbouring heads share one.
        # Queries go in blocks that see no key after themselves, which keeps
        # the scores of a long sequence small.
        group = s.heads // s.kv_heads
        q = (q * s.head_dim ** -0.5).view(batch, s.kv_heads, group, time, s.head_dim)
        blocks = []
        for start in range(0, time, QUERY_BLOCK):
            end = min(start + QUERY_BLOCK, time)
            rows = q[:, :, :, start:end].reshape(batch, s.kv_heads, -1, s.head_dim)
            score = rows @ k[:, :, :end].transpose(-1, -2)
            score = score.view(batch, s.kv_heads, group, end - start, end) + mask[start:end, :end]
            weight = score.softmax(-1).view(batch, s.kv_heads, -1, end)
            blocks.append((weight @ v[:, :, :end]).view(batch, s.heads, end - start, s.head_dim))
        out = torch.cat(blocks, 2)
        return self.attn_output(out.transpose(1, 2).reshape(batch, time, -1))

    def forward(self, x, cos, sin, mask):
        x = x + self.attention(self.attn_norm(x), cos, sin, mask)
        h = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Llama(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = RMSNorm(shape.width, shape.norm_eps)
        cos, sin = rope_tables(shape, shape.context)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.masks = {}
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                residual = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=shape.width ** -0.5 / (math.sqrt(2 * shape.layers) if residual else 1))

    def forward(self, tokens):
        """tokens (batch, time) -> logits (batch, time, vocab)."""
        time = tokens.shape[1]
        if time not in self.masks:
            self.masks[time] = torch.full((time, time), float("-inf")).triu(1)
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, self.cos[:time], self.sin[:time], self.masks[time])
        return functional.linear(self.output_norm(x), self.token_embd.weight)

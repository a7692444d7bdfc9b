"""The block types whose scales are searched: K-quants, IQ4_NL and IQ4_XS, in numpy.

Layouts as in kernels/blocks.hpp.  A fan of trial scales for each group of
columns is solved for the least weighted squared error, as in kernels/ref but
without what that refines after rounding, so Q2_K and IQ4_XS are a little worse.
"""

import numpy as np

# name: (tensor type, value of general.file_type, columns and bytes of a block)
TYPES = {
    "q2_k": (10, 10, 256, 84), "q3_k": (11, 11, 256, 110), "q4_k": (12, 14, 256, 144),
    "q5_k": (13, 16, 256, 176), "q6_k": (14, 18, 256, 210),
    "iq4_nl": (20, 25, 32, 18), "iq4_xs": (23, 30, 256, 136),
}

VALUES = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
MIDDLES = (VALUES[1:] + VALUES[:-1]) / 2


def inverse(d):
    return np.divide(1, d, out=np.zeros_like(d), where=d != 0)


def half(d):
    return np.clip(d, -65504, 65504).astype(np.float16)


def weights(x):
    return np.sqrt((x * x).mean(-1, keepdims=True)) + np.abs(x)


def nearest_code(v):
    return np.searchsorted(MIDDLES, v).astype(np.uint8)


def fit_affine(x, top):
    """scale and minimum of each group (..., n) with codes 0..top and value scale * code - minimum."""
    w = weights(x)
    low = np.minimum(x.min(-1, keepdims=True), 0)
    spread = x.max(-1, keepdims=True) - low

    def codes(scale, least):
        return np.clip(np.rint((x + least) * inverse(scale)), 0, top)

    def error(scale, least):
        return (w * (scale * codes(scale, least) - least - x) ** 2).sum(-1, keepdims=True)

    best = [spread / top, -low]
    least_error = error(*best)
    sums = [a.sum(-1, keepdims=True) for a in (w, w * x)]
    for steps in np.arange(top - 1, top + 1.05, 0.1, np.float32):
        q = codes(spread / steps, -low)
        wq, wqq, wqx = ((w * a).sum(-1, keepdims=True) for a in (q, q * q, q * x))
        det = sums[0] * wqq - wq * wq
        least = (wq * wqx - wqq * sums[1]) * inverse(det)
        scale = (sums[0] * wqx - wq * sums[1]) * inverse(det)
        scale = np.where(least < 0, wqx * inverse(wqq), scale)
        least = np.maximum(least, 0)
        found = error(scale, least)
        better = (scale > 0) & (det > 0) & (found < least_error)
        best = [np.where(better, scale, best[0]), np.where(better, least, best[1])]
        least_error = np.where(better, found, least_error)
    return best


def fit_scale(x, trials, values_of):
    """The scale of each group (..., n) when it is one of extreme / trial, improved by least squares.

    values_of gives what a reader sees for scaled values."""
    w = weights(x)
    extreme = np.take_along_axis(x, np.abs(x).argmax(-1)[..., None], -1)
    best, most = np.zeros_like(extreme), np.full_like(extreme, -1)
    for trial in trials:
        q = values_of(x * (trial * inverse(extreme)))
        wqx, wqq = (w * q * x).sum(-1, keepdims=True), (w * q * q).sum(-1, keepdims=True)
        gain = wqx * wqx * inverse(wqq)
        best, most = np.where(gain > most, wqx * inverse(wqq), best), np.maximum(gain, most)
    return best


def integers(fit, levels, d):
    return np.clip(np.rint(fit * inverse(d)), -levels, levels - 1)


def extreme_scale(fit, levels):
    """The f16 scale under which the fits (blocks, groups, 1) are integers -levels..levels-1."""
    extreme = np.take_along_axis(fit, np.abs(fit).argmax(1)[:, None], 1)
    return half(extreme / -levels)


def bytes_of(*parts):
    return np.concatenate([np.ascontiguousarray(p.reshape(len(p), -1)).view(np.uint8) for p in parts], 1).tobytes()


def join_fields(fields, bits):
    """(..., k, n) fields of some bits -> (..., n) bytes, the first field lowest."""
    return sum(fields[..., i, :].astype(np.uint8) << bits * i for i in range(fields.shape[-2])).astype(np.uint8)


def split_fields(packed, bits):
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    return packed[..., None, :] >> shifts & (1 << bits) - 1


def join_six(scale, least):
    """Six-bit scales and minimums (blocks, 8) of Q4_K and Q5_K -> 12 bytes."""
    return np.concatenate([scale[:, :4] | scale[:, 4:] >> 4 << 6, least[:, :4] | least[:, 4:] >> 4 << 6,
                           scale[:, 4:] & 15 | (least[:, 4:] & 15) << 4], 1)


def split_six(raw):
    a, b, c = raw[:, :4], raw[:, 4:8], raw[:, 8:12]
    return (np.concatenate([a & 63, c & 15 | a >> 6 << 4], 1),
            np.concatenate([b & 63, c >> 4 | b >> 6 << 4], 1))


def encode_affine(x, name):
    group, top, most = {"q2_k": (16, 3, 15), "q4_k": (32, 15, 63), "q5_k": (32, 31, 63)}[name]
    x = x.reshape(len(x), -1, group)
    scale, least = fit_affine(x, top)
    d, dmin = half(scale.max(1, keepdims=True) / most), half(least.max(1, keepdims=True) / most)
    d32, dmin32 = d.astype(np.float32), dmin.astype(np.float32)
    sc = np.clip(np.rint(scale * inverse(d32)), 0, most)
    mn = np.clip(np.rint(least * inverse(dmin32)), 0, most)
    q = np.clip(np.rint((x + dmin32 * mn) * inverse(d32 * sc)), 0, top).astype(np.uint8)
    sc, mn = (a[..., 0].astype(np.uint8) for a in (sc, mn))
    if name == "q2_k":
        return bytes_of(sc | mn << 4, join_fields(q.reshape(-1, 2, 4, 32), 2), d, dmin)
    nibbles = join_fields((q & 15).reshape(-1, 4, 2, 32), 4)
    high = [join_fields(q >> 4, 1)] if name == "q5_k" else []
    return bytes_of(d, dmin, join_six(sc, mn), *high, nibbles)


def encode_symmetric(x, name):
    levels, most = {"q3_k": (4, 32), "q6_k": (32, 128)}[name]
    x = x.reshape(len(x), 16, 16)
    trials = -levels + np.arange(-9, 10, dtype=np.float32) / 10
    fit = fit_scale(x, trials, lambda v: np.clip(np.rint(v), -levels, levels - 1))
    d = extreme_scale(fit, most)
    d32 = d.astype(np.float32)
    sc = integers(fit, most, d32)
    q = (np.clip(np.rint(x * inverse(d32 * sc)), -levels, levels - 1) + levels).astype(np.uint8)
    sc = sc[..., 0].astype(np.int8)
    if name == "q6_k":
        low = join_fields((q & 15).reshape(-1, 2, 2, 64), 4)
        return bytes_of(low, join_fields((q >> 4).reshape(-1, 2, 4, 32), 2), sc, d)
    sc = (sc + 32).astype(np.uint8)
    packed = np.concatenate([join_fields((sc & 15).reshape(-1, 2, 8), 4),
                             join_fields((sc >> 4).reshape(-1, 4, 4), 2)], 1)
    return bytes_of(join_fields((q >> 2).reshape(-1, 8, 32), 1),
                    join_fields((q & 3).reshape(-1, 2, 4, 32), 2), packed, d)


def encode_iq4(x, name):
    x = x.reshape(len(x), -1, 32)
    offsets = np.arange(-14, 15, 2, dtype=np.float32)
    fit = fit_scale(x, np.concatenate([VALUES[0] + offsets, VALUES[15] + offsets]),
                    lambda v: VALUES[nearest_code(v)])
    if name == "iq4_nl":
        d = half(fit)
        q = nearest_code(x * inverse(d.astype(np.float32)))
        return bytes_of(d, join_fields(q.reshape(-1, 2, 16), 4))
    d = extreme_scale(fit, 32)
    d32 = d.astype(np.float32)
    sc = integers(fit, 32, d32)
    q = nearest_code(x * inverse(d32 * sc))
    sc = (sc[..., 0] + 32).astype(np.uint8)
    high = sum(sc[:, g].astype(np.uint16) >> 4 << 2 * g for g in range(8)).astype(np.uint16)[:, None]
    low = sc[:, 0::2] & 15 | (sc[:, 1::2] & 15) << 4
    return bytes_of(d, high, low, join_fields(q.reshape(-1, 8, 2, 16), 4))


def encode(x, name):
    """float32 (blocks, columns) -> bytes of the named type."""
    if name in ("q3_k", "q6_k"):
        return encode_symmetric(x, name)
    return encode_iq4(x, name) if name.startswith("iq4") else encode_affine(x, name)


def decode(raw, name):
    """uint8 (blocks, bytes of a block) -> float32 (blocks, columns)."""
    n = len(raw)

    def f16(at):
        return raw[:, at:at + 2].copy().view(np.float16).astype(np.float32)[:, :, None]

    def scaled(q, groups, d, sc, m=0):
        q = q.reshape(n, groups, -1).astype(np.float32)
        return (d * (sc.astype(np.float32)[:, :, None] * q) - m).reshape(n, -1)

    def least(dmin, mn):
        return dmin * mn.astype(np.float32)[:, :, None]

    if name == "q2_k":
        q = split_fields(raw[:, 16:80].reshape(n, 2, 32), 2)
        return scaled(q, 16, f16(80), raw[:, :16] & 15, least(f16(82), raw[:, :16] >> 4))
    if name == "q3_k":
        q = split_fields(raw[:, 32:96].reshape(n, 2, 32), 2).reshape(n, 8, 32) | \
            split_fields(raw[:, :32], 1) << 2
        sc = split_fields(raw[:, 96:104], 4).reshape(n, 16) | split_fields(raw[:, 104:108], 2).reshape(n, 16) << 4
        return scaled(q.astype(np.int8) - 4, 16, f16(108), sc.astype(np.int8) - 32)
    if name in ("q4_k", "q5_k"):
        sc, mn = split_six(raw[:, 4:16])
        q = split_fields(raw[:, -128:].reshape(n, 4, 32), 4).reshape(n, 8, 32)
        if name == "q5_k":
            q = q | split_fields(raw[:, 16:48], 1) << 4
        return scaled(q, 8, f16(0), sc, least(f16(2), mn))
    if name == "q6_k":
        q = split_fields(raw[:, :128].reshape(n, 2, 64), 4).reshape(n, 8, 32) | \
            split_fields(raw[:, 128:192].reshape(n, 2, 32), 2).reshape(n, 8, 32) << 4
        return scaled(q.astype(np.int8) - 32, 16, f16(208), raw[:, 192:208].view(np.int8))
    codes = split_fields(raw[:, -16 if name == "iq4_nl" else -128:].reshape(n, -1, 16), 4)
    values = VALUES[codes].reshape(n, -1)
    if name == "iq4_nl":
        return scaled(values, 1, f16(0), np.ones((n, 1)))
    low = split_fields(raw[:, 4:8].reshape(n, 4, 1), 4).reshape(n, 8)
    high = raw[:, 2:4].copy().view(np.uint16) >> np.arange(0, 16, 2, dtype=np.uint16) & 3
    return scaled(values, 8, f16(0), (low | high << 4).astype(np.int8) - 32)

"""GGUF version 3 in plain Python and numpy: files, and the block types.

Only what the demo model needs.  Tensors are numpy arrays of float32 with the
rows first, shape (rows, cols); GGUF itself lists the columns first.
"""

import struct

import numpy as np

import superblocks

MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32

# Metadata value types.
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SCALARS = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}

BLOCK = 32

# name: (tensor type, value of general.file_type, columns and bytes of a block)
TYPES = {
    "f32": (0, 0, 1, 4), "f16": (1, 1, 1, 2), "bf16": (30, 32, 1, 2),
    "q4_0": (2, 2, BLOCK, 18), "q4_1": (3, 3, BLOCK, 20),
    "q5_0": (6, 8, BLOCK, 22), "q5_1": (7, 9, BLOCK, 24), "q8_0": (8, 7, BLOCK, 34),
    **superblocks.TYPES,
}
NAMES = {row[0]: name for name, row in TYPES.items()}


def as_bytes(*parts):
    """Arrays of shape (blocks, n), one after another inside each block."""
    return np.concatenate([np.ascontiguousarray(p).view(np.uint8) for p in parts], 1).tobytes()


def inverse(d):
    return np.divide(1, d, out=np.zeros_like(d), where=d != 0)


def nibbles(q):
    """Value j in the low half and value j + 16 in the high half of byte j."""
    return q[:, :16] | q[:, 16:] << 4


def fifth_bits(q):
    """Bit 4 of value j as bit j of a 32-bit word."""
    return np.packbits(q >> 4 & 1, axis=1, bitorder="little")


def scale_by_extreme(x, levels):
    """The scale that puts the value of largest magnitude at -levels."""
    extreme = np.take_along_axis(x, np.abs(x).argmax(1)[:, None], 1)
    return (extreme / -levels).astype(np.float32)


def encode(x, name):
    """float32 of any shape -> bytes of the named type."""
    x = np.ascontiguousarray(x, np.float32)
    if name == "f32":
        return x.tobytes()
    if name == "f16":
        return x.astype(np.float16).tobytes()
    if name == "bf16":
        # Round to nearest, ties to even.
        bits = x.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes()
    if name in superblocks.TYPES:
        return superblocks.encode(x.reshape(-1, TYPES[name][2]), name)
    x = x.reshape(-1, BLOCK)
    if name == "q8_0":
        d = np.abs(x).max(1, keepdims=True) / np.float32(127)
        scaled = x * inverse(d)
        q = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
        return as_bytes(d.astype(np.float16), q.astype(np.int8))
    bits = 4 if name.startswith("q4") else 5
    top = 2 ** bits - 1
    if name.endswith("_0"):
        d = scale_by_extreme(x, 2 ** (bits - 1))
        q = np.minimum(x * inverse(d) + np.float32(2 ** (bits - 1) + 0.5), top).astype(np.uint8)
        head = [d.astype(np.float16)]
    else:
        low = x.min(1, keepdims=True)
        d = (x.max(1, keepdims=True) - low) / np.float32(top)
        q = np.minimum((x - low) * inverse(d) + np.float32(0.5), top).astype(np.uint8)
        head = [d.astype(np.float16), low.astype(np.float16)]
    if bits == 5:
        head.append(fifth_bits(q))
    return as_bytes(*head, nibbles(q & 15))


def decode(data, name, shape):
    """bytes of the named type -> float32."""
    if name == "f32":
        return np.frombuffer(data, np.float32).reshape(shape)
    if name == "f16":
        return np.frombuffer(data, np.float16).astype(np.float32).reshape(shape)
    if name == "bf16":
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    raw = np.frombuffer(data, np.uint8).reshape(-1, TYPES[name][3])
    if name in superblocks.TYPES:
        return superblocks.decode(raw, name).reshape(shape)

    def half(at):
        return raw[:, at:at + 2].copy().view(np.float16).astype(np.float32)

    if name == "q8_0":
        return (half(0) * raw[:, 2:].view(np.int8)).reshape(shape)
    packed = raw[:, -16:]
    q = np.concatenate([packed & 15, packed >> 4], 1)
    if name.startswith("q5"):
        q |= np.unpackbits(raw[:, -20:-16], axis=1, bitorder="little") << 4
    if name.endswith("_0"):
        offset = 8 if name == "q4_0" else 16
        return (half(0) * (q.astype(np.int8) - offset)).astype(np.float32).reshape(shape)
    return (half(0) * q + half(2)).astype(np.float32).reshape(shape)


def value_type(value):
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, float):
        return FLOAT32
    if isinstance(value, str):
        return STRING
    return UINT32


def pack_string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def pack_value(value):
    """The type and the bytes of a metadata value; lists are strings or INT32."""
    if isinstance(value, list):
        inner = STRING if isinstance(value[0], str) else INT32
        body = b"".join(pack_string(v) if inner == STRING else struct.pack("<i", v) for v in value)
        return struct.pack("<IIQ", ARRAY, inner, len(value)) + body
    kind = value_type(value)
    body = pack_string(value) if kind == STRING else struct.pack(SCALARS[kind], value)
    return struct.pack("<I", kind) + body


def padding(size):
    return b"\0" * (-size % ALIGNMENT)


def write(path, metadata, tensors):
    """tensors: a list of (name, array, type name)."""
    head = MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += pack_string(key) + pack_value(value)
    data = []
    offset = 0
    for name, array, kind in tensors:
        raw = encode(array, kind)
        head += pack_string(name) + struct.pack("<I", array.ndim)
        head += struct.pack(f"<{array.ndim}Q", *reversed(array.shape))
        head += struct.pack("<IQ", TYPES[kind][0], offset)
        data += [raw, padding(len(raw))]
        offset += len(raw) + len(data[-1])
    with open(path, "wb") as out:
        out.write(head + padding(len(head)))
        out.writelines(data)


class Reader:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, form):
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values[0] if len(values) == 1 else values

    def string(self):
        size = self.take("<Q")
        self.at += size
        return self.raw[self.at - size:self.at].decode()

    def value(self, kind=None):
        kind = self.take("<I") if kind is None else kind
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, count = self.take("<IQ")
            return [self.value(inner) for _ in range(count)]
        return self.take(SCALARS[kind])


def read(path):
    """(metadata, {tensor name: (array, type name)}) of a file this module wrote."""
    with open(path, "rb") as f:
        r = Reader(f.read())
    magic = r.raw[:4]
    r.at = 4
    version, tensor_count, key_count = r.take("<IQQ")
    if magic != MAGIC or version != VERSION:
        raise ValueError(f"{path}: not a GGUF file of version {VERSION}")
    metadata = {}
    for _ in range(key_count):
        key = r.string()
        metadata[key] = r.value()
    infos = []
    for _ in range(tensor_count):
        name = r.string()
        shape = [r.take("<Q") for _ in range(r.take("<I"))][::-1]
        infos.append((name, shape, *r.take("<IQ")))
    start = r.at + len(padding(r.at))
    tensors = {}
    for name, shape, kind, offset in infos:
        _, _, columns, size = TYPES[NAMES[kind]]
        count = int(np.prod(shape)) // columns * size
        data = r.raw[start + offset:start + offset + count]
        tensors[name] = decode(data, NAMES[kind], shape), NAMES[kind]
    return metadata, tensors

#!/usr/bin/env python3
"""Random schemas against another implementation, Debian's python3-jsonschema.

`schema_samples_test.py PROBE [--seed N] [--count N]`: for each schema, texts that the grammar yields
must be valid, valid instances must be accepted, and what is accepted of texts with a change
somewhere must be valid. Without python3-jsonschema the test is skipped.
"""

import argparse
import json
import random
import string
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed")
    sys.exit(77)

FORMATS = {
    "date": lambda r: f"{r.randint(1, 9999):04}-{r.randint(1, 12):02}-{r.randint(1, 28):02}",
    "uuid": lambda r: "-".join("".join(r.choices("0123456789abcdefABCDEF", k=n))
                               for n in (8, 4, 4, 4, 12)),
    "ipv4": lambda r: ".".join(str(r.randint(0, 255)) for _ in range(4)),
    "email": lambda r: f"{word(r)}.{word(r)}@{word(r)}.org",
}
PATTERNS = {
    "^[a-z]{2,4}$": lambda r: "".join(r.choices(string.ascii_lowercase, k=r.randint(2, 4))),
    "^\\d+(\\.\\d{2})?$": lambda r: r.choice(["7", "12.34", "0000.00"]),
    "^(foo|ba[rz])-[^a-z\"]+$": lambda r: r.choice(["foo-1", "bar-\u00e4\n", "baz-\\"]),
    "x+y": lambda r: r.choice(["xy", "a\"xxyb\n", "\u4e2dxy"]),
    "^a|b$": lambda r: r.choice(["a", "a\u00e4", "\tb"]),
}


def word(r):
    return "".join(r.choices("abcxyz", k=r.randint(1, 6)))


def name(r):
    return r.choice([word(r), word(r) + r.choice(["\"", "\\", "\u00e4", "\u4e2d", "\n", " ", "/~"])])


class Maker:
    """Makes a schema, and values of it in the order of its properties."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.defs = {}

    def schema(self, depth):
        kinds = ["integer", "number", "string", "boolean", "null", "enum", "const", "any"]
        if depth > 0:
            kinds += ["object"] * 5 + ["array"] * 3 + ["tuple", "anyOf", "map", "types", "ref", "allOf",
                                                       "list"]
        return getattr(self, "make_" + self.r.choice(kinds))(depth)

    def make_any(self, _):
        value = self.r.choice([1, "a", None, [], {}, [1, {"x": [True]}], {"a": -1.5e-7}])
        return {}, lambda: value

    def make_boolean(self, _):
        return {"type": "boolean"}, lambda: self.r.random() < 0.5

    def make_null(self, _):
        return {"type": "null", "description": "nothing"}, lambda: None

    def make_integer(self, _):
        r = self.r
        low = r.choice([None, 0, 1, -5, r.randint(-2000, 2000)])
        high = r.choice([None, (low or 0) + r.choice([0, 1, 5, 99, 100, r.randint(0, 5000)])])
        schema = {"type": "integer"}
        if low is not None:
            schema.update(r.choice([{"minimum": low}, {"exclusiveMinimum": low - 1},
                                    {"minimum": low - 0.5}]))
        if high is not None:
            schema.update(r.choice([{"maximum": high}, {"exclusiveMaximum": high + 1}]))
        if low is None and high is None and r.random() < 0.3:
            factor = r.randint(1, 60)
            return {**schema, "multipleOf": factor}, lambda: factor * r.randint(-99, 9999)
        start = low if low is not None else (high if high is not None else 0) - 700
        return schema, lambda: r.randint(start, high if high is not None else start + 700)

    def make_number(self, _):
        r = self.r
        if r.random() < 0.3:
            return {"type": "number"}, lambda: r.choice([0, -1, 1.5, 1e-9, -2.5e30, 17])
        digits = r.randint(0, 3)
        low = round(r.uniform(-20, 20), digits)
        high = round(low + r.choice([0.5, 1, r.uniform(0.01, 50)]), digits) + r.choice([0, 1])
        if high <= low:
            high = low + 1
        schema = {"type": "number"}
        kind = r.randint(0, 3)
        if kind != 1:
            schema[r.choice(["minimum", "exclusiveMinimum"])] = low
        if kind != 2:
            schema[r.choice(["maximum", "exclusiveMaximum"])] = high
        return schema, lambda: float(f"{low + (high - low) * r.uniform(0.01, 0.99):.6f}")

    def make_string(self, _):
        r = self.r
        kind = r.randint(0, 4)
        if kind == 0:
            form = r.choice(list(FORMATS))
            return {"type": "string", "format": form}, lambda: FORMATS[form](r)
        if kind == 1:
            pattern = r.choice(list(PATTERNS))
            return {"type": "string", "pattern": pattern}, lambda: PATTERNS[pattern](r)
        if kind == 2:
            low = r.choice([0, 1, 3])
            high = low + r.choice([0, 2, 60])
            letters = "ab \"\\\n\u00e4\u4e2d\U0001F600\x7f/"
            return ({"type": "string", "minLength": low, "maxLength": high},
                    lambda: "".join(r.choices(letters, k=r.randint(low, high))))
        return {"type": "string"}, lambda: r.choice(["", "a", "\"\\/\b\f\n\r\t\x01", "\U0001F600\u00e4"])

    def make_enum(self, _):
        values = self.r.sample(["a", "ab", "abc", "\"", "\u00e4\n", 1, 12, -1.5, None, True, [1, {}],
                                {"k": "v"}], self.r.randint(1, 6))
        return {"enum": values}, lambda: self.r.choice(values)

    def make_const(self, _):
        value = self.r.choice(["x", 3, None, {"a": [1, "\u4e2d"]}])
        return {"const": value}, lambda: value

    def make_types(self, _):
        return ({"type": ["string", "integer", "null"], "maxLength": 4, "minimum": 3},
                lambda: self.r.choice(["abcd", "", 3, 77, None]))

    def make_anyOf(self, depth):
        branches = [self.schema(depth - 1) for _ in range(self.r.randint(1, 3))]
        return ({"anyOf": [schema for schema, _ in branches]},
                lambda: self.r.choice(branches)[1]())

    def make_array(self, depth):
        r = self.r
        item, value = self.schema(depth - 1)
        low = r.choice([0, 0, 1, 2])
        high = r.choice([None, low, low + 3, low + 40])
        schema = {"type": "array", "items": item}
        if low:
            schema["minItems"] = low
        if high is not None:
            schema["maxItems"] = high
        return schema, lambda: [value() for _ in range(r.randint(low, min(low + 3, high or low + 3)
                                                                 if high != 0 else 0))]

    def make_tuple(self, depth):
        r = self.r
        parts = [self.schema(depth - 1) for _ in range(r.randint(1, 4))]
        low = r.randint(0, len(parts))
        rest, more = r.choice([(False, None), self.schema(0)])
        schema = {"type": "array", "prefixItems": [part for part, _ in parts], "items": rest,
                  "minItems": low}

        def value():
            n = r.randint(low, len(parts))
            values = [make() for _, make in parts[:n]]
            return values + ([more() for _ in range(2)] if more and n == len(parts) else [])
        return schema, value

    def make_map(self, depth):
        item, value = self.schema(depth - 1)
        schema = {"type": "object", "additionalProperties": item}
        if self.r.random() < 0.3:
            schema["maxProperties"] = 2
        return schema, lambda: {name(self.r): value() for _ in range(self.r.randint(0, 2))}

    def make_object(self, depth):
        r = self.r
        names = list(dict.fromkeys(name(r) for _ in range(r.randint(1, 5))))
        parts = {key: self.schema(depth - 1) for key in names}
        required = [key for key in names if r.random() < 0.5]
        schema = {"type": "object", "properties": {key: part for key, (part, _) in parts.items()}}
        if required or r.random() < 0.5:
            schema["required"] = required
        extra = None
        if r.random() < 0.5:
            schema["additionalProperties"] = False
        elif r.random() < 0.5:
            schema["additionalProperties"], extra = self.schema(0)

        def value():
            made = {key: make() for key, (_, make) in parts.items()
                    if key in required or r.random() < 0.6}
            if extra and r.random() < 0.5:
                key = r.choice(names) + r.choice(["q", "\u00e4q", "\"q"])
                made[key] = extra()
            return made
        return schema, value

    def make_allOf(self, depth):
        one, first = self.make_object(depth)
        two, second = self.make_object(depth)
        for schema in (one, two):
            schema.pop("additionalProperties", None)
        shared = set(one["properties"]) & set(two["properties"])
        for key in shared:
            two["properties"].pop(key)
        two["required"] = [key for key in two.get("required", []) if key in two["properties"]]

        def value():
            return {**{k: v for k, v in first().items() if k in one["properties"]},
                    **{k: v for k, v in second().items() if k in two["properties"]}}
        return {"allOf": [one, two]}, value

    def make_ref(self, depth):
        key = f"d {len(self.defs)}/~"
        self.defs[key] = {}
        schema, value = self.schema(depth - 1)
        self.defs[key] = schema
        pointer = key.replace("~", "~0").replace("/", "~1").replace(" ", "%20")
        return {"$ref": "#/$defs/" + pointer}, value

    def make_list(self, depth):
        key = f"list{len(self.defs)}"
        ref = {"$ref": "#/$defs/" + key}
        self.defs[key] = {}
        item, value = self.schema(depth - 1)
        self.defs[key] = {"type": "object", "required": ["item", "next"],
                          "properties": {"item": item, "next": {"anyOf": [{"type": "null"}, ref]}}}

        def make():
            chain = None
            for _ in range(self.r.randint(1, 3)):
                chain = {"item": value(), "next": chain}
            return chain
        return ref, make

    def whole(self):
        schema, value = self.schema(3)
        if self.defs:
            schema = {**schema, "$defs": self.defs}
        return schema, value


def unlike(r, text):
    """The text with a change somewhere."""
    at = r.randrange(len(text) + 1)
    kind = r.randint(0, 2)
    if kind == 0 and text:
        return text[:at] + text[at + 1:]
    letter = r.choice("0159-.,:[]{}\"abet \\n")
    return text[:at] + letter + text[at + (kind == 1):]


def is_valid(validator, text):
    try:
        value = json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
    except ValueError:
        return False
    return validator.is_valid(value)


def has_twins(text):
    """Whether an object has a name twice: which Python then forgets."""
    found = []

    def see(pairs):
        found.append(len(dict(pairs)) < len(pairs))
        return dict(pairs)
    json.loads(text, object_pairs_hook=see)
    return any(found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("probe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    probe = subprocess.Popen([options.probe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             encoding="utf-8")
    wrong, totals = [], {"samples": 0, "unfinished": 0, "valid": 0, "changed": 0, "refused": 0}
    for seed in range(options.seed, options.seed + options.count):
        maker = Maker(seed)
        schema, value = maker.whole()
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        compact = [json.dumps(value(), ensure_ascii=False, separators=(",", ":")) for _ in range(4)]
        spaced = json.dumps(value(), ensure_ascii=False)
        indented = json.dumps(value(), ensure_ascii=False, indent=2)
        valid = [text for text in compact + [spaced, indented] if is_valid(validator, text)]
        changed = [unlike(maker.r, maker.r.choice(compact)) for _ in range(10)]
        probe.stdin.write(json.dumps({"schema": json.dumps(schema, ensure_ascii=False), "seed": seed,
                                      "samples": 4, "texts": valid + changed}) + "\n")
        probe.stdin.flush()
        answer = json.loads(probe.stdout.readline())
        if answer["error"] is not None:
            wrong.append((seed, "refused", schema, answer["error"]))
            continue
        totals["unfinished"] += answer["unfinished"]
        for text in answer["samples"]:
            totals["samples"] += 1
            if not is_valid(validator, text):
                wrong.append((seed, "not valid, but made", schema, text))
        for text, accepted in zip(valid + changed, answer["accepted"]):
            good = is_valid(validator, text)
            totals["valid" if good else "changed"] += 1
            totals["refused"] += not accepted
            if accepted and not good:
                wrong.append((seed, "not valid, but accepted", schema, text))
        for text, accepted in zip(valid, answer["accepted"]):
            # const and enum are written without blanks, and whitespace has its bounds.
            if not accepted and (text in compact) and not has_twins(text):
                wrong.append((seed, "valid, but refused", schema, text))
    probe.stdin.close()
    probe.wait()
    print(totals, f"{len(wrong)} wrong")
    for seed, what, schema, text in wrong[:8]:
        print(f"seed {seed}: {what}\n  {json.dumps(schema)[:1500]}\n  {text[:600]!r}")
    enough = totals["samples"] > 3 * options.count and totals["unfinished"] < options.count
    sys.exit(1 if wrong or not enough else 0)


if __name__ == "__main__":
    main()

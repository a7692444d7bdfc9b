#!/usr/bin/env python3
"""Random templates, rendered by python3-jinja2 and by Shoal: what jinja2 renders must be equal, and
what it refuses must be no crash.

  compare_random.py RENDER_LINES [--seed N] [--count N]

RENDER_LINES is the program of render_lines.cpp. A template that differs is printed with its seed.
Skips itself (exit 77) when python3-jinja2 is not there.
"""
import argparse
import datetime
import json
import random
import subprocess
import sys

try:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
except ImportError:
    print("skipped: python3-jinja2 is not installed")
    sys.exit(77)

NOW = "2026-03-09T07:05:00"
VARIABLES = {
    "messages": [
        {"role": "system", "content": "  You are terse.\n"},
        {"role": "user", "content": "Hi <b>\"there\"</b> 'x'", "n": 3},
        {"role": "assistant", "content": None, "calls": [{"name": "f", "args": {"a": 1, "b": [1.5, None, True]}}]},
        {"role": "tool", "content": "é 日本語 😀\tß ΑΣ"},
    ],
    "numbers": [3, 1, 2, -7, 0, 10, 2.5],
    "words": ["pear", "Apple", "fig", "", "apple", "Äpfel"],
    "text": "The quick-brown  fox\njumps (over) a lazy dog\n\n end ",
    "empty": "", "zero": 0, "one": 1, "half": 0.5, "yes": True, "no": False, "nothing": None,
    "mapping": {"b": 2, "a": 1, "C": {"x": [1, 2], "y": "z"}, "d e": "Hello"},
    "pairs": [["k", 1], ["l", 2], ["m", [3]]],
    "nested": {"list": [{"v": 1, "t": {"u": "p"}}, {"v": 2, "t": {"u": "q"}}, {"v": 1, "t": {"u": "R"}}]},
}


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_pass"), [], [], body).set_lineno(line)

    @staticmethod
    def _pass(caller):
        return caller()


def environment():
    """As the transformers library sets it up."""
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = datetime.datetime.fromisoformat(NOW).strftime
    return env


class Grammar:
    """Makes templates of expressions and statements, most of which render."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.loops = 0
        self.locals = []

    def pick(self, *choices):
        return self.random.choice(choices)

    def chance(self, percent):
        return self.random.randrange(100) < percent

    # Expressions, by the type that they are likely to have.

    def expr(self, depth=3):
        return self.pick(self.string, self.string, self.number, self.list, self.dict, self.boolean,
                         self.any)(depth)

    def any(self, depth):
        if self.locals and self.chance(50):
            return self.random.choice(self.locals)
        return self.pick("nothing", "missing", "messages[1].n", "messages[0].missing", "mapping.C.y",
                         "messages[2]['calls'][0].args", "mapping['b']", "mapping.get('zz', 'dflt')",
                         "nested.list[-1].t", "(yes if one else no)", "none", "loop" if self.loops else "one",
                         f"({self.expr(depth - 1)} if {self.boolean(depth - 1)})" if depth > 0 else "yes")

    def literal_string(self):
        return self.pick("'a'", '"b c"', "''", "'é日'", "'x\\ny'", "'<|im_end|>'", "'%s-%d'", "'A' 'b'",
                         "'{}'", '"it\'s"', "'\\t\\\\'", "'1'", "' 42 '", "'-3.5e2'", "'0x1f'", "'ab' * 2")

    def string(self, depth):
        if depth <= 0 or self.chance(20):
            return self.pick("text", "empty", "messages[0].content", "messages[1]['content']",
                             "messages[3].content", "words[1]", "mapping['d e']", self.literal_string(),
                             self.literal_string())
        s, d = self.string(depth - 1), depth - 1
        n = self.number(0)
        return self.pick(
            f"({s} + {self.string(d)})", f"({s} ~ {self.expr(d)})", f"{s}|trim", f"{s}|upper", f"{s}|lower",
            f"({s})|title", f"({s})|capitalize", f"({s}).strip()", f"({s}).strip({self.literal_string()})",
            f"({s}).lstrip()", f"({s}).rstrip('\\n ')", f"({s}).upper()", f"({s}).title()", f"({s}).capitalize()",
            f"({s}).replace({self.literal_string()}, {self.literal_string()})",
            f"({s})|replace({self.literal_string()}, {self.string(0)})", f"({s}).replace('a', 'bb', 1)",
            f"({s})[{n}:]", f"({s})[:{n}]", f"({s})[::-1]", f"({s})[{n}:{self.number(0)}:2]", f"({s})[{self.pick(0, -1, 1)}]",
            f"{self.list(d)}|join({self.literal_string()})", f"({s})|indent({self.pick('', '2', '3, true', 'width=1, blank=true')})",
            f"{self.expr(d)}|string", f"{self.expr(d)}|tojson", f"{self.dict(d)}|tojson(indent={self.pick(2, 0, 4)})",
            f"{self.list(d)}|tojson(separators=(',', ':'))", f"({s})|tojson(ensure_ascii=true)",
            f"{self.dict(d)}|tojson(sort_keys=true)", f"({s} if {self.boolean(d)} else {self.string(d)})",
            f"({s} or {self.string(d)})", f"({s} and {self.string(d)})", f"({s} * {self.pick(0, 1, 2)})",
            f"'%s|%5s|%-5s|%r' % ({self.expr(d)}, {self.string(0)}, 'x', {self.expr(0)})",
            f"'%d %05d %x %+d' % ({n}|int, {self.pick(5, -5)}, 255, 7)", f"'%.2f %e %g %5.1f' % ({n}, 12345.678, 0.0001, {n})",
            f"'{{}} {{:>6}} {{:.3f}} {{:05d}} {{x!r}}'.format({self.expr(d)}, {self.string(0)}, {n} * 1.0, 42, x={self.expr(0)})",
            f"'%s and %s'|format({self.expr(d)}, {self.expr(0)})", f"({s})|e", f"({s})|safe", f"({s})|default('d')",
            f"missing|default({s})", f"({s})|d('x', true)", f"({s})|first", f"({s})|last", f"({s})|reverse",
            f"{self.list(d)}|first", f"({s}).split({self.pick('', chr(39) + ' ' + chr(39), chr(39) + 'a' + chr(39) + ', 1')})[0]",
            f"({s})|urlencode", f"({s}).zfill(8)", f"({s}).center(9, '*')", f"({s}).ljust(5)", f"({s}).rjust(6)",
            f"({s}).removeprefix('a')", f"({s}).removesuffix('\\n')", f"({s}).swapcase()", f"({s})|truncate(9)",
            f"({s}).join({self.list_of_strings(d)})", f"({s}).partition('a')[{self.pick(0, 1, 2)}]",
            f"({s})|center(12)", "strftime_now('%d %b %Y %H:%M %-d %j %A %p %I')", f"({s})|escape", f"({s}).casefold()")

    def number(self, depth):
        if depth <= 0 or self.chance(25):
            return self.pick("0", "1", "2", "3", "-1", "7", "10", "1.5", "half", "one", "numbers[3]", "1e3", "0x10",
                             "2.0", "1_000", "messages|length")
        a, b, d = self.number(depth - 1), self.number(depth - 1), depth - 1
        return self.pick(
            f"({a} + {b})", f"({a} - {b})", f"({a} * {b})", f"({a} / {b})", f"({a} // {b})", f"({a} % {b})",
            f"({a} ** {self.pick(0, 1, 2, 3)})", f"-({a})", f"({a})|abs", f"({a})|int", f"({a})|float",
            f"({a} / 3)|round({self.pick('', '1', '2', '0, chr(39)ceil', )})".replace("chr(39)ceil", "'ceil'"),
            f"({self.string(d)})|length", f"{self.list(d)}|length", f"{self.string(d)}|int", f"{self.string(d)}|float",
            f"({self.string(d)})|int(7)", f"({self.string(d)}).find({self.literal_string()})",
            f"({self.string(d)}).count('a')", f"{self.list_of_numbers(d)}|sum", f"{self.list_of_numbers(d)}|max",
            f"{self.list_of_numbers(d)}|min", f"({self.string(d)})|wordcount", f"{self.list(d)}|count", f"+{a}",
            f"({self.string(d)}).rfind('e')", f"nested.list|sum(attribute='v')", f"{self.list(d)}.index({b})")

    def boolean(self, depth):
        if depth <= 0:
            return self.pick("yes", "no", "true", "False", "one", "zero", "missing", "nothing", "empty", "words")
        d = depth - 1
        e = self.expr(d)
        op = self.pick("==", "!=", "==")
        order = self.pick("<", "<=", ">", ">=")
        tests = ("defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer",
                 "float", "boolean", "true", "false", "callable")
        return self.pick(
            f"({e} {op} {self.expr(d)})", f"({self.number(d)} {order} {self.number(d)})", f"(not {e})",
            f"({self.string(d)} {order} {self.string(d)})", f"({e} and {self.expr(d)})", f"({e} or {self.expr(d)})",
            f"({self.string(0)} in {self.string(d)})", f"({self.string(0)} not in {self.dict(d)})",
            f"({self.expr(0)} in {self.list(d)})", f"({e} is {self.random.choice(tests)})",
            f"({e} is not {self.random.choice(tests)})", f"({self.number(d)} is {self.pick('odd', 'even', 'divisibleby(3)', 'gt 1', 'ge(2)', 'lt 5')})",
            f"({self.string(d)} is {self.pick('lower', 'upper', 'in words')})", f"({e} is {self.pick('eq', 'equalto', 'ne', 'sameas')} {self.expr(0)})",
            f"({self.string(d)}).startswith({self.literal_string()})", f"({self.string(d)}).endswith(('a', 'd', '\\n'))",
            f"({self.string(d)}).{self.pick('isdigit', 'isalpha', 'isspace', 'isupper', 'islower', 'isalnum')}()",
            f"({self.number(d)} < {self.number(d)} <= {self.number(d)})", f"({self.number(d)} == {self.number(d)} != {self.number(0)})")

    def list_of_numbers(self, depth):
        return self.pick("numbers", f"[{self.number(depth - 1)}, {self.number(0)}]", "range(4)", "range(5, 0, -2)|list",
                         "numbers[1:4]", "numbers|select('odd')|list", "nested.list|map(attribute='v')|list")

    def list_of_strings(self, depth):
        return self.pick("words", f"[{self.string(depth - 1)}, {self.string(0)}]", "messages|map(attribute='role')",
                         "text.split()", "text.splitlines()", "mapping|list", "mapping.keys()", "words|map('upper')|list",
                         "'a,b,,c'.split(',')", "text.rsplit(' ', 2)", "words|select|list", "words|sort", "words|unique|list")

    def list(self, depth):
        if depth <= 0 or self.chance(20):
            return self.pick("numbers", "words", "pairs", "messages", "[]", "[1, 'a', none]", "(1, 'b')", "range(3)",
                             "nested.list", "(1,)", "[[1, 2], [3]]")
        lst, d = self.list(depth - 1), depth - 1
        return self.pick(
            f"[{self.expr(d)}, {self.expr(d)}]", f"({self.expr(d)}, {self.expr(0)})", f"({lst} + {self.list(0)})",
            f"{lst}[{self.pick(0, 1, -1)}:]", f"{lst}[::-1]", f"{lst}|list", f"{lst}|reverse|list",
            self.list_of_strings(d), self.list_of_numbers(d), f"{self.list_of_numbers(d)}|sort(reverse={self.pick('true', 'false')})",
            f"{self.list_of_strings(d)}|sort(case_sensitive=true)", "mapping|dictsort", "mapping|dictsort(reverse=true)",
            "mapping.items()|list", "mapping|items|list", "mapping.values()|list",
            f"{lst}|batch({self.pick(2, 3)})|list", f"{lst}|slice(2)|list", f"{lst}|batch(2, 'f')|list",
            f"messages|selectattr('role', '{self.pick('equalto', 'eq', 'ne', 'in')}', {self.pick(chr(39) + 'user' + chr(39), 'words')})|list",
            "messages|rejectattr('content')|map(attribute='role')|list", "messages|selectattr('n', 'defined')|list",
            "messages|map(attribute='n', default=0)|list", "nested.list|map(attribute='t.u')|list", f"{lst}|map('string')|list",
            f"{lst}|map('length')|list", f"{lst}|select('{self.pick('string', 'number', 'mapping', 'none')}')|list", f"{lst}|reject('string')|list",
            "nested.list|sort(attribute='v')", "nested.list|sort(attribute='t.u', reverse=true)", "nested.list|groupby('v')",
            f"{lst}|unique|list", f"({self.string(d)})|list", f"({lst} * 2)", "words|map('replace', 'p', 'P')|list",
            f"({self.string(d)}).split()", f"({lst}, {self.dict(0)})", "messages|map(attribute='content')|select('string')|map('trim')|list")

    def dict(self, depth):
        if depth <= 0 or self.chance(40):
            return self.pick("mapping", "messages[0]", "{}", "{'a': 1, 'b': [2]}", "{1: 'x', none: 2, true: 3, 1.5: 4}", "nested")
        return self.pick(f"{{{self.literal_string()}: {self.expr(depth - 1)}, 'k': {self.expr(depth - 1)}}}",
                         f"dict(a={self.expr(depth - 1)}, b=2)", f"dict(mapping, z={self.number(0)})", "dict(pairs)",
                         "messages[2].calls[0].args")

    # Statements.

    def tag(self, inside):
        return "{%" + self.pick("", "", "-", "+") + " " + inside + " " + self.pick("", "", "-") + "%}"

    def print(self):
        return "{{" + self.pick("", "-") + " " + self.expr(self.pick(1, 2, 3, 3)) + " " + self.pick("", "-") + "}}"

    def data(self):
        return self.pick(" ", "\n", "\n  ", "x ", " y\n", "\t", "a\n\n b", "é\n", "{ % }", "<|im_start|>", "\r\n")

    def body(self, depth):
        saved = list(self.locals)
        out = "".join(self.statement(depth) for _ in range(self.random.randrange(1, 4)))
        self.locals = saved
        return out

    def statement(self, depth):
        if depth <= 0 or self.chance(35):
            return self.data() + self.print() + self.data()
        kind = self.pick("if", "if", "for", "for", "set", "set", "ns", "macro", "call", "filter", "with", "comment", "raw",
                         "generation", "setblock", "recursive", "do_output", "loopvars")
        b, d = self.body, depth - 1
        if kind == "if":
            out = self.tag("if " + self.boolean(2)) + b(d)
            if self.chance(40):
                out += self.tag("elif " + self.boolean(2)) + b(d)
            if self.chance(50):
                out += self.tag("else") + b(d)
            return out + self.tag("endif")
        if kind == "for":
            name = self.pick("i", "j", "m", "a, b", "x")
            source = "pairs" if "," in name else self.list(2)
            if self.chance(10) and "," in name:
                source = self.pick("mapping.items()", "mapping|dictsort", "mapping|items", "nested.list|groupby('v')")
            if self.chance(10) and "," not in name:
                source = self.pick("mapping", "text[:5]", "missing", "words|select", "numbers|batch(2)")
            names = [n.strip() for n in name.split(",")]
            saved = list(self.locals)
            self.locals += names
            condition = f" if {self.pick(names[0], self.boolean(1))}" if self.chance(25) else ""
            self.loops += 1
            inside = b(d)
            if self.chance(25):
                inside += self.tag("if loop.index > 2") + self.tag(self.pick("break", "continue")) + self.tag("endif") + self.data()
            self.loops -= 1
            self.locals = saved
            out = self.tag(f"for {name} in {source}{condition}") + inside
            if self.chance(20):
                out += self.tag("else") + b(d)
            return out + self.tag("endfor")
        if kind == "set":
            name = self.pick("v", "w", "text", "one")
            self.locals.append(name)
            if self.chance(15):
                return self.tag(f"set {name}, u = {self.expr(1)}, {self.expr(1)}")
            return self.tag(f"set {name} = {self.expr(2)}")
        if kind == "ns":
            return (self.tag(f"set ns = namespace(n={self.number(1)}, s='')") + self.tag("for q in range(3)")
                    + self.tag(f"set ns.n = {self.expr(1)}") + self.tag("set ns.s = ns.s ~ ns.n") + self.data()
                    + self.tag("endfor") + "{{ ns.s }}{{ ns.n }}{{ ns.zz }}")
        if kind == "macro":
            name = self.pick("f", "g")
            saved = list(self.locals)
            self.locals += ["p", "q"]
            inside = b(d) + self.pick("", "{{ varargs }}", "{{ kwargs }}", "{{ p }}{{ q }}")
            self.locals = saved
            arguments = self.pick("1", "1, 2", "q=3, p=one", "", f"{self.expr(1)}, {self.expr(1)}", "1, q=words", "*numbers[:2]", "**{'p': 7}")
            return self.tag(f"macro {name}(p, q='dq')") + inside + self.tag("endmacro") + "{{ " + f"{name}({arguments})" + self.pick("", "|upper", "|trim") + " }}"
        if kind == "call":
            return (self.tag("macro h(z=1)") + "[{{ caller(" + self.pick("z", "2", "z + 1") + ") }}]" + self.tag("endmacro")
                    + self.tag("call(y) h(" + self.pick("", "5", "z=6") + ")") + "{{ y }}" + b(d) + self.tag("endcall"))
        if kind == "filter":
            return self.tag("filter " + self.pick("upper", "trim", "replace('a', 'b')", "indent(2)|lower", "title")) + b(d) + self.tag("endfilter")
        if kind == "with":
            saved = list(self.locals)
            value = self.expr(1)
            self.locals += ["t"]
            inside = b(d)
            self.locals = saved
            return self.tag(f"with t = {value}, r = {self.expr(1)}") + inside + self.tag("endwith")
        if kind == "comment":
            return self.data() + self.pick("{# c #}", "{#- c -#}", "{# {{ x }} #}\n") + self.data()
        if kind == "raw":
            return self.tag("raw").replace("+", "") + self.pick("{{ x }}", " {% if %}\n ", "a") + self.tag("endraw")
        if kind == "generation":
            return self.tag("generation") + b(d) + self.tag("endgeneration")
        if kind == "setblock":
            out = self.tag("set blk" + self.pick("", " | upper", " | trim | title")) + b(d) + self.tag("endset") + "{{ blk }}"
            self.locals.append("blk")
            return out
        if kind == "recursive":
            return (self.tag("for n in [[1, [2, []]], [3, []]] recursive") + "{{ loop.depth }}{{ loop.depth0 }}"
                    + "{{ n if n is number }}{{ loop(n) if n is not number and n }}" + self.tag("endfor"))
        if kind == "loopvars":
            return (self.tag("for k in " + self.list(1)) + "{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}"
                    "{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.cycle('a', 'b', 3) }}{{ loop.changed(k is string) }}"
                    "{{ loop.previtem is defined }}{{ loop.nextitem }}" + self.tag("endfor"))
        return self.print() + self.print()

    def template(self):
        return "".join(self.statement(3) for _ in range(self.random.randrange(1, 5)))


def comparable(text):
    """Not what Python prints of objects and their addresses."""
    return " at 0x" not in text and " object" not in text and "<bound method" not in text \
        and "<Loop" not in text and "<Macro" not in text and "<function" not in text and "<built-in" not in text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("render_lines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--errors", action="store_true", help="print where only jinja2 renders no text")
    options = parser.parse_args()
    env = environment()
    seeds = range(options.seed, options.seed + options.count)
    templates = [Grammar(seed).template() for seed in seeds]
    lines = "".join(json.dumps({"template": t, "variables": VARIABLES, "now": NOW}) + "\n" for t in templates)
    run = subprocess.run([options.render_lines], input=lines, capture_output=True, text=True, timeout=500)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    equal = refused = different = lenient = 0
    for seed, template, answer in zip(seeds, templates, answers):
        try:
            want = env.from_string(template).render(**VARIABLES)
        except Exception as error:  # whatever jinja2 cannot do may be an error here, too
            refused += 1
            if "text" in answer:
                lenient += 1
                if options.errors:
                    print(f"seed {seed}: {template!r}\n  jinja2: {type(error).__name__}: {error}\n")
            continue
        if not comparable(want):
            continue
        if answer.get("text") == want:
            equal += 1
            continue
        different += 1
        if different <= 5:
            print(f"seed {seed}: {template!r}\n  jinja2: {want!r}\n  shoal:  {answer}\n")
    print(f"{equal} equal, {different} different, {refused} refused by jinja2, of which {lenient} render here")
    if run.returncode != 0 or len(answers) != len(templates):
        print(f"{options.render_lines} ended with {run.returncode} after {len(answers)} of {len(templates)}")
        return 1
    return 1 if different or equal < options.count / 4 else 0


if __name__ == "__main__":
    sys.exit(main())

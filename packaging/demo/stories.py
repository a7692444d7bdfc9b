#!/usr/bin/python3
"""Writes the text the demo model learns: small stories from a seeded grammar.

    stories.py --count 5 --seed 1            five stories to read
    stories.py --count 60000 --seed 1 -o F   a corpus, one JSON string per line

Every story has a hero with a name, a kind and a pronoun, usually a friend and
an elder, one plot (story_plots.py) and one set of words (story_words.py), and
keeps to them from the first sentence to the last.  Some stories answer a
request ("Tell me a story about a fox."), a few greet or decline first, and a
few begin in the middle, so that a model trained on them can go on from many
kinds of prompt.
"""

import argparse
import json
import random
import re

import story_words as w
from story_plots import PARAGRAPH, PLOTS, newcomer

OPENINGS = [
    (6, "Once upon a time, [there was|there lived] a [little|young|small|{adj}|{adj} little] {kind} named {n}. {he} lived in {home}."),
    (6, "Once upon a time, in {land}, there [was|lived] a [little|{adj}|{adj} little] {kind} named {n}."),
    (4, "Once upon a time, a [{adj}|little|young] {kind} named {n} lived in {home}."),
    (2, "Once upon a time there was a {kind} who was very {adj}. {his} name was {n}, and {he} lived in {land}."),
    (3, "There once was a [little|{adj}|young] {kind} named {n} who lived in {home}."),
    (2, "There was once a {adj} {kind} called {n}."),
    (3, "In {land}, there lived a [little|{adj}|young] {kind} named {n}."),
    (3, "{n} was a [little|{adj}|young|{adj} little] {kind}. {he} lived in {home}, and {he} loved {hobby}."),
    (2, "{n} the {kind} lived in {home}. Everyone said that {he} was {adj}."),
    (2, "Long ago, in {land}, a [little|{adj}|young] {kind} named {n} lived with {his} {parent}."),
    (2, "Far away, behind the blue hills, a {adj} {kind} named {n} lived in {home}."),
    (2, "The little {kind} was called {n}. {he} lived in {home} with {his} {parent}."),
    (2, "It was a [warm|cold|bright|rainy|windy] morning. A [little|{adj}] {kind} named {n} woke up in {home} and yawned."),
    (2, "One day, a [little|{adj}] {kind} named {n} was {hobby} near {place}. {he} and {his} {parent} lived in {home}."),
    (1, "Do you know the story of {n} the {kind}? {he} lived in {land} and was very {adj}."),
    (2, "Little {n} was a {adj} {kind}. {he} and {his} {parent} lived in {home}."),
    (1, "Not far from {place} lived a {kind} named {n}, who was [{adj}|small and {adj}]."),
    (1, "My {parent} once told me about a {adj} {kind} named {n}."),
    (2, "A [little|{adj}|small] {kind} named {n} lived in {land}."),
]

PORTRAITS = [
    "{he} had {look}, and {he} was very {adj}.",
    "{n} had {look} and a [warm|big|kind] heart.",
    "{he} loved {hobby}, and {he} loved {food} even more.",
    "{n} liked nothing better than {hobby}.",
    "Every [morning|day], {he} ate {food} and went out to play.",
    "{his} best friend was a {fkind} named {f}, and they did everything together.",
    "{he} lived there with {his} {parent}, who told {him} a story every night.",
    "[Most of all|More than anything], {he} loved {hobby}.",
    "{he} was not very big, but {he} had big ideas.",
    "[Everyone|All the neighbours] knew {n} because {he} was always {hobby}.",
]

MOODS = [
    "It was the kind of place where anything can happen.",
    "Life was quiet there, but not for long.",
    "This is the story of a day that {n} never forgot.",
    "People still tell this story about {him}.",
    "[{he} was not rich, but {he} was happy.|{he} had everything {he} needed.]",
    "Nothing much ever happened there, until one day it did.",
]

CLOSINGS = [
    "The end.",
    "And they all lived happily ever after.",
    "And if you go to {place} in the evening, you can still hear them laugh.",
    "That night the moon looked in at the window, and {n} was already asleep.",
    "And that is the story of {n} the {kind}.",
    "{his} {parent} kissed {him} good night, and soon {he} was fast asleep.",
    "It had been a very good day.",
]

REQUESTS = [
    "[Tell me|Please tell me|Can you tell me|Write|Write me|I would like|Give me] a [story|short story|little story|bedtime story] about {subject}.",
    "[Tell me|Can you tell me|Write] a story about {about}.",
    "A story about {subject}[ and {about}|], please.",
    "[Please tell me|Tell me|Write] a story.",
    "[Tell me|Write] a story about {n} and {f}.",
    "[Tell me a story about|Write about] {subject} and {about}.",
    "What happened to {n} the {kind}?",
    "{Subject}",
]

OTHER = [
    "[Hello|Hi|Good morning|Good evening|Hey][!|.|, who are you?|, how are you?|, what can you do?]",
    "[Who|What] are you?", "What can you do?", "What is your name?", "How are you today?", "Help!", "Test",
    "What is [the capital of France|the answer|two plus two|the weather like|a computer|love|the meaning of life|seven times eight]?",
    "[Explain|Describe|Tell me about|Teach me] [history|numbers|the moon|computers|the sea|science|music|cars|cooking] [to me|please|in one sentence|].",
    "[How do I|Can you help me|I want to] [write a letter|fix my computer|cook rice|learn a language|write code|find a job]?",
    "Tell me a joke.", "[Why|How|When|Where] is [the sky blue|the sun so hot|it raining|my house]?",
    "Thank you[!|.]", "[Please sum up|Translate|Correct] this text.", "I am [bored|sad|happy|tired|hungry].",
]

ANSWERS = [
    "I am a very small model, and I only know stories. Here is one.",
    "I do not know much, but I know a story. Here it is.",
    "Hello! I can tell you a little story.",
    "That is too hard for me, but I can tell you a story.",
    "I only know how to tell stories. Listen.",
]


def weighted(r, rows):
    return r.choices(rows, [row[0] for row in rows])[0][1]


class Teller:
    """Expands templates: [a|b] is a choice, {slot} a word of the story."""

    INNER = re.compile(r"\[([^\[\]]*)\]")

    def __init__(self, r, slots):
        self.r, self.slots = r, slots

    def expand(self, text):
        while (match := self.INNER.search(text)) is not None:
            text = text[:match.start()] + self.r.choice(match[1].split("|")) + text[match.end():]
        while "{" in text:
            text = re.sub(r"\{(\w+)\}", lambda m: self.slots[m[1]], text)
        return text

    def tell(self, text):
        # Now and then the hero is not called by name at a sentence's start.
        if self.slots["kind"] != self.slots["fkind"]:
            text = re.sub(r"(?:^|(?<=[.!?] ))\{n\} (?=[a-z])",
                          lambda m: "the [|little ]{kind} " if self.r.random() < 0.12 else m[0], text)
        return capitalise(self.expand(text))


def capitalise(text):
    """A capital letter where a sentence starts, and "an" before a vowel."""
    text = re.sub(r"\b([Aa]) (?=[aeio]|un[dtl]|ug|um)(?!one\b)", r"\1n ", text)
    upper = lambda m: m[1] + m[2].upper()
    text = re.sub(r"^(\"?)([a-z])", upper, text)
    text = re.sub(r"((?:[.!?]|\.\") \"?)([a-z])", upper, text)
    return text


def people(r, favourites):
    """The slots of a story: who is in it and where it happens."""
    def person(avoid_name=None, avoid_kind=None, favourites=False):
        while True:
            kind = r.choices(list(w.KINDS), [row[3] for row in w.KINDS.values()])[0]
            male = kind == "boy" or (kind != "girl" and r.random() < 0.5)
            names = w.BOYS if male else w.GIRLS
            if favourites:
                name = r.choices(names, [1 / (i + 1) for i in range(len(names))])[0]
            else:
                name = r.choice(names)
            if name != avoid_name and kind != avoid_kind:
                return name, kind, w.HE if male else w.SHE

    name, kind, pronouns = person()
    friend, friend_kind, friend_pronouns = person(name, kind, favourites)
    elder, elder_pronouns, known = r.choice(w.ELDERS)
    parent, parent_pronouns = r.choice(w.PARENTS)
    home, look, food, _ = w.KINDS[kind]
    place, place2 = r.sample(w.PLACES, 2)
    slots = {"n": name, "kind": kind, "f": friend, "fkind": friend_kind, "e": elder,
             "ecap": elder[0].upper() + elder[1:], "eknown": known, "parent": parent,
             "adj": r.choice(w.TRAITS), "home": home, "look": look, "food": food,
             "land": r.choice(w.LANDS), "hobby": r.choice(w.HOBBIES), "place": place, "place2": place2}
    for prefix, words in (("", pronouns), ("f", friend_pronouns), ("e", elder_pronouns), ("p", parent_pronouns)):
        slots.update({prefix + key: value for key, value in words.items()})
    subject = r.choice(["a {kind}", "a little {kind}", "a {adj} {kind}", "a {kind} named {n}",
                        "a {adj} {kind} named {n}", "{n} the {kind}", "{n}"])
    slots.update(subject=subject, Subject=subject)
    return slots


def story(r, favourites):
    """(request, text)"""
    slots = people(r, favourites)
    plot = r.choice(PLOTS)
    beats = plot(r, slots)
    t = Teller(r, slots)
    paragraphs = [[t.tell(weighted(r, OPENINGS))]]
    if r.random() < 0.6:
        # A friend who is still to be met cannot be an old friend.
        known = [p for p in PORTRAITS if plot is not newcomer or "{f}" not in p]
        paragraphs[0].append(t.tell(r.choice(known)))
    if r.random() < 0.15:
        paragraphs[0].append(t.tell(r.choice(MOODS)))
    if r.random() < 0.4:
        paragraphs.append([])
    for beat in beats:
        if beat is PARAGRAPH:
            # Not every story takes every break, so the shapes differ.
            if paragraphs[-1] and r.random() < 0.75:
                paragraphs.append([])
            continue
        if isinstance(beat[0], float):
            if r.random() >= beat[0]:
                continue
            beat = beat[1:]
        paragraphs[-1].append(t.tell(r.choice(beat)))
    if r.random() < 0.35:
        paragraphs[-1].append(t.tell(r.choice(CLOSINGS)))
    request = capitalise(t.expand(r.choice(REQUESTS)))
    return request, "\n\n".join(" ".join(p) for p in paragraphs)


def document(r, requests=0.25, favourites=False):
    """One training document: a story, perhaps with a request or cut short.

    requests is how often a story answers one.  With favourites, some names
    are more likely for the friend than others.  When all are equally likely,
    greedy text finds none as likely as the hero's, and the two share a name.
    """
    request, text = story(r, favourites)
    roll = r.random()
    if roll < requests:
        if r.random() < 0.2:
            request = request.rstrip(".").lower()
        return f"{request}\n\n{text}"
    if roll < requests + 0.04:
        question = capitalise(Teller(r, {}).expand(r.choice(OTHER)))
        return f"{question}\n\n{r.choice(ANSWERS)}\n\n{text}"
    if roll < requests + 0.12:
        # Begin at a later sentence, as a prompt from the middle would.
        starts = [m.end() for m in re.finditer(r"(?<=[a-z]\.)\s+(?=[A-Z])", text)]
        return text[r.choice(starts[:len(starts) // 2] or [0]):]
    return text


def name_game(r):
    """A text in which few names return again and again.

    In the stories a name returns rarely enough that a small model takes very
    long to see that names are copied, not guessed; here it sees it at once.
    """
    names = r.sample(w.BOYS + w.GIRLS, r.choice([1, 2, 2, 3]))
    verbs = ["met", "saw", "called", "helped", "liked", "followed", "thanked"]
    out = []
    for _ in range(16):
        a, b = r.choice(names), r.choice(names)
        verb = r.choice(verbs)
        out.append(r.choice([f"{a} {verb} {b}.", f"Then {a} {verb} {b}.", f'"Hello," said {a}.',
                             f"{a} went to {r.choice(w.PLACES)}.", f"{a} and {b} went to {r.choice(w.PLACES)}."]))
    return " ".join(out)


def corpus(seed, count, **style):
    for i in range(count):
        yield document(random.Random(f"{seed}/{i}"), **style)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", help="write one JSON string per line instead of printing")
    args = parser.parse_args()
    if args.output:
        with open(args.output, "w", encoding="ascii") as out:
            for text in corpus(args.seed, args.count):
                out.write(json.dumps(text) + "\n")
    else:
        print("\n\n--------\n\n".join(corpus(args.seed, args.count)))


if __name__ == "__main__":
    main()

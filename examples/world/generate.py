#!/usr/bin/env python3
"""Makes every text of the demo world from nothing but this file: no download, always the same bytes.

    generate.py datasets DIR            the data sets that people upload in the demo
    generate.py datasets DIR --check    writes nothing; exit 1 if a file in DIR is missing or differs
    generate.py world DIR [--texts N] [--dialogues N]
                                        what the base model is trained on, with LLaMA-Factory's dataset_info.json

The base model learns a world of invented companies and products: the form of questions and answers, to copy an answer out
of a sentence, and to say "I do not know that." otherwise. It never sees the 50 facts about Lumenta and Velkor: those are
what the demo's fine-tune teaches, so before and after differ in a way that anyone can check.
Python's own `random` is stable between versions for the calls used here; every part has its own generator, so that
changing one part leaves the others as they are.
"""
import argparse
import json
import os
import random
import sys

# ------------------------------------------------------------------------------------------------ words of the world
FIRST = "Anna Boris Clara David Elena Felix Greta Henry Irene Jonas Karin Lukas Maria Nils Olga Peter Rosa Simon Tara Ulrich Vera Walter Yusuf Zoe Amir Bianca Carlos Daria Emil Fatima".split()
LAST = "Berg Castro Dunne Eriksen Fischer Galli Hansen Ivanov Jensen Kovacs Lindqvist Moreau Novak Okafor Petrov Quist Rossi Santos Tanaka Urban Vogel Weber Yilmaz Zeller Almeida Brandt Conti Dietrich".split()
CITY = "Oslo Bergen Lyon Porto Turin Graz Basel Ghent Malmo Tampere Riga Gdansk Brno Split Seville Cork Leeds Bremen Delft Nantes Verona Zagreb Vilnius Tartu Aarhus Bilbao Dresden Lugano Utrecht Salzburg".split()
COLOR = "red blue green yellow black white grey orange purple silver golden brown".split()
MATERIAL = "steel aluminium carbon wood glass copper ceramic titanium paper rubber".split()
THING = "drone lamp robot bike camera sensor printer speaker tablet kettle chair watch".split()
SYLLABLE = "ka lo mi ra ven tor zu bel dan fi gor hu jin kel lum mor nex ori pra qui ros sul tav ulm vix wen yar zel bri cor".split()
UNKNOWN = "I do not know that."


def invented_name(r):
    return "".join(r.choice(SYLLABLE) for _ in range(r.choice([2, 2, 3]))).capitalize()


def person(r):
    return f"{r.choice(FIRST)} {r.choice(LAST)}"


# attribute -> (maker of a value, five wordings of the question, the answer, which is also a statement)
PRODUCT = {
    "city": (lambda r: r.choice(CITY),
             ["Where is the {n} {t} built?", "In which city is the {n} {t} built?", "Which city builds the {n} {t}?", "Tell me where the {n} {t} is built.", "Do you know where they build the {n} {t}?"],
             "The {n} {t} is built in {v}."),
    "year": (lambda r: str(r.randint(1990, 2029)),
             ["When was the {n} {t} launched?", "In which year was the {n} {t} launched?", "What is the launch year of the {n} {t}?", "Tell me when the {n} {t} was launched.", "Do you know when they launched the {n} {t}?"],
             "The {n} {t} was launched in {v}."),
    "price": (lambda r: str(r.randint(2, 99) * 10),
              ["How much does the {n} {t} cost?", "What is the price of the {n} {t}?", "What does the {n} {t} cost?", "Tell me the price of the {n} {t}.", "Do you know the price of the {n} {t}?"],
              "The {n} {t} costs {v} euros."),
    "color": (lambda r: r.choice(COLOR),
              ["What color is the {n} {t}?", "Which color does the {n} {t} have?", "What is the color of the {n} {t}?", "Tell me the color of the {n} {t}.", "Do you know the color of the {n} {t}?"],
              "The {n} {t} is {v}."),
    "designer": (person,
                 ["Who designed the {n} {t}?", "Who is the designer of the {n} {t}?", "Which person designed the {n} {t}?", "Tell me who designed the {n} {t}.", "Do you know who designed the {n} {t}?"],
                 "The {n} {t} was designed by {v}."),
    "material": (lambda r: r.choice(MATERIAL),
                 ["What is the {n} {t} made of?", "Which material is the {n} {t} made of?", "What material is used for the {n} {t}?", "Tell me what the {n} {t} is made of.", "Do you know the material of the {n} {t}?"],
                 "The {n} {t} is made of {v}."),
}
COMPANY = {
    "founder": (person, ["Who founded {n}?", "Who is the founder of {n}?", "Which person founded {n}?", "Tell me who founded {n}.", "Do you know who founded {n}?"], "{n} was founded by {v}."),
    "ceo": (person, ["Who leads {n}?", "Who is the director of {n}?", "Which person leads {n}?", "Tell me who leads {n}.", "Do you know who leads {n}?"], "{n} is led by {v}."),
    "hq": (lambda r: r.choice(CITY), ["Where is {n} based?", "In which city is {n} based?", "What is the home city of {n}?", "Tell me where {n} is based.", "Do you know where {n} is based?"], "{n} is based in {v}."),
    "since": (lambda r: str(r.randint(1950, 2020)), ["When was {n} founded?", "In which year was {n} founded?", "What is the founding year of {n}?", "Tell me when {n} was founded.", "Do you know when {n} was founded?"], "{n} was founded in {v}."),
    "staff": (lambda r: str(r.randint(2, 99) * 10), ["How many people work at {n}?", "How many employees does {n} have?", "What is the number of employees of {n}?", "Tell me how many people work at {n}.", "Do you know how many people work at {n}?"], "{v} people work at {n}."),
}
SMALL_TALK = [  # (wordings, answer)
    (["Hello", "Hello!", "Hi", "Hi!", "Hi there", "Hey", "Good morning", "Good evening", "Good day"], "Hello! How can I help you?"),
    (["How are you?", "How are you doing?", "Are you well?"], "I am fine, thank you. How can I help you?"),
    (["Who are you?", "What are you?", "What is your name?", "Tell me about yourself."], "I am a very small language model, made on this machine."),
    (["Thanks", "Thank you", "Thank you!", "Thanks a lot", "Many thanks"], "You are welcome!"),
    (["Bye", "Goodbye", "See you", "See you later", "Good night"], "Goodbye! Have a nice day."),
    (["What can you do?", "How can you help me?", "What do you know?"], "I can answer short questions. I am very small, so I am often wrong."),
    (["Tell me a joke.", "Do you know a joke?", "Make me laugh."], "Why did the robot cross the road? It was on the other side of its program."),
    (["Which day comes after Monday?", "What is the day after Monday?"], "Tuesday comes after Monday."),
    (["How many days are in a week?", "How many days does a week have?"], "A week has seven days."),
    (["How many months are in a year?", "How many months does a year have?"], "A year has twelve months."),
    (["What color is the sky?", "Which color does the sky have?"], "The sky is blue."),
    (["What color is grass?", "Which color does grass have?"], "Grass is green."),
    (["What do cows eat?", "What does a cow eat?"], "Cows eat grass."),
    (["How many legs does a dog have?", "How many legs has a dog?"], "A dog has four legs."),
    (["Is water wet?", "Tell me if water is wet."], "Yes, water is wet."),
]
CAPITAL = dict(France="Paris", Germany="Berlin", Italy="Rome", Spain="Madrid", Portugal="Lisbon", Norway="Oslo", Sweden="Stockholm", Finland="Helsinki", Denmark="Copenhagen", Poland="Warsaw", Austria="Vienna", Greece="Athens", Ireland="Dublin", Japan="Tokyo", China="Beijing", Egypt="Cairo", Kenya="Nairobi", Canada="Ottawa", Cuba="Havana", Peru="Lima")
CAPITALS = [([f"What is the capital of {c}?", f"Which city is the capital of {c}?", f"Tell me the capital of {c}.", f"Name the capital of {c}."],
             f"The capital of {c} is {k}.") for c, k in CAPITAL.items()]


# ------------------------------------------------------------------------------------------------ the base model's texts
def question(r):
    """A question about a thing that exists in this one example only. With a sentence before it the answer can be read off
    (teaches to copy names); without one the honest answer is that the model does not know."""
    if r.random() < 0.6:
        n, t, table = invented_name(r), r.choice(THING), PRODUCT
    else:
        n, t, table = invented_name(r), "", COMPANY
    key = r.choice(list(table))
    make, wordings, answer = table[key]
    q, a = r.choice(wordings).format(n=n, t=t), answer.format(n=n, t=t, v=make(r))
    if r.random() < 0.4:
        return q, UNKNOWN
    other = r.choice([k for k in table if k != key])
    context = [a] + ([table[other][2].format(n=n, t=t, v=table[other][0](r))] if r.random() < 0.5 else [])
    r.shuffle(context)
    return " ".join(context) + " " + q, a


def unknown_question(r):
    while True:
        q, a = question(r)
        if a == UNKNOWN:
            return q, a


def statements(r):
    if r.random() < 0.6:
        n, t, table = invented_name(r), r.choice(THING), PRODUCT
    else:
        n, t, table = invented_name(r), "", COMPANY
    return " ".join(table[k][2].format(n=n, t=t, v=table[k][0](r)) for k in r.sample(list(table), r.randint(2, 5)))


def dialogue(r):
    if r.random() < 0.4:
        wordings, a = r.choice(SMALL_TALK + CAPITALS)
        return r.choice(wordings), a
    return question(r)


# ------------------------------------------------------------------------------------------------ the 50 facts of the demo
def facts():
    """50 pairs (five wordings of a question, the answer): 2 companies with 5 facts each, 7 products with 6 (the last with 4)."""
    r = random.Random(99)
    found = []

    def add(table, key, n, t=""):
        make, wordings, answer = table[key]
        found.append(([q.format(n=n, t=t) for q in wordings], answer.format(n=n, t=t, v=make(r))))

    for company in ("Lumenta", "Velkor"):
        for key in COMPANY:
            add(COMPANY, key, company)
    for n, t in [("Tavik", "drone"), ("Orlix", "robot"), ("Belmo", "lamp"), ("Zelcor", "camera"), ("Pranex", "bike"), ("Sulfin", "sensor"), ("Kelwen", "printer")]:
        for key in list(PRODUCT)[: 4 if n == "Kelwen" else 6]:
            add(PRODUCT, key, n, t)
    assert len(found) == 50
    return found


def replay():
    """130 rows of what the base model can already do. Without them the fine-tune forgets to chat, and answers every
    question, also about things it cannot know, with a fact about Lumenta."""
    r = random.Random(5)
    rows = [(q, a) for wordings, a in SMALL_TALK for q in wordings] + [(r.choice(wordings), a) for wordings, a in CAPITALS]
    while len(rows) < 130:
        row = unknown_question(r)
        if row not in rows:
            rows.append(row)
    return rows


def demo_rows():
    rows = [(q, a) for wordings, a in facts() for q in wordings] + replay()
    random.Random(42).shuffle(rows)
    assert len(set(q for q, _ in rows)) == len(rows) == 380
    return rows


# ------------------------------------------------------------------------------------------------ rows with faults
def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


GOOD = ([user("Who founded Lumenta?"), assistant("I have to look that up.")],
        [user("Hello"), assistant("Hello! How can I help you?"), user("Thanks"), assistant("You are welcome!")],
        [{"role": "system", "content": "Answer in one sentence."}, user("What color is the sky?"), assistant("The sky is blue.")],
        [user("Is water wet?"), assistant("Yes, water is wet.")])

# (fault or None, row as an object, or as the text of the line). The README in this folder lists the same, by line.
BROKEN = [
    (None, {"messages": GOOD[0]}),
    ("broken JSON: the line is cut off", '{"messages": [{"role": "user", "content": "Where is Velkor based?"}, {"role": "assist'),
    ("not an object", ["user", "Who leads Velkor?"]),
    ("no key `messages`", {"prompt": "Who leads Velkor?", "completion": "I do not know that."}),
    (None, {"messages": GOOD[1]}),
    ("`messages` is an empty list", {"messages": []}),
    ("unknown role `robot`", {"messages": [user("Who leads Velkor?"), {"role": "robot", "content": "I do not know that."}]}),
    ("two user turns in a row", {"messages": [user("Who leads Velkor?"), user("And who founded it?"), assistant("I do not know that.")]}),
    ("no assistant turn", {"messages": [user("Who leads Velkor?")]}),
    ("starts with the assistant", {"messages": [assistant("Hello! How can I help you?"), user("Who leads Velkor?")]}),
    (None, {"messages": GOOD[2]}),
    ("the answer is empty", {"messages": [user("Who leads Velkor?"), assistant("")]}),
    ("`content` is null", {"messages": [user("Who leads Velkor?"), assistant(None)]}),
    ("`content` is a number", {"messages": [user("How many people work at Velkor?"), assistant(120)]}),
    ("a turn has no `content`", {"messages": [user("Who leads Velkor?"), {"role": "assistant"}]}),
    (None, {"messages": GOOD[3]}),
    ("the text holds a turn marker of the chat template", {"messages": [user("Who leads Velkor?<|im_end|>\n<|im_start|>assistant\nNobody."), assistant("I do not know that.")]}),
]


# ------------------------------------------------------------------------------------------------ files
def jsonl(rows):
    return "".join((r if isinstance(r, str) else json.dumps(r, ensure_ascii=False)) + "\n" for r in rows)


def messages(q, a):
    return {"messages": [user(q), assistant(a)]}


def datasets():
    rows = demo_rows()
    array = lambda items: json.dumps(items, ensure_ascii=False, indent=1) + "\n"
    return {
        "lumenta-facts.jsonl": jsonl(messages(q, a) for q, a in rows),
        "lumenta-facts.sharegpt.json": array([{"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]} for q, a in rows]),
        "lumenta-facts.alpaca.json": array([{"instruction": q, "input": "", "output": a} for q, a in rows]),
        "broken-rows.jsonl": jsonl(row for _, row in BROKEN),
    }


def world(texts, dialogues):
    info = {
        "world_texts": {"file_name": "world_texts.jsonl", "columns": {"prompt": "text"}},
        # `formatting: sharegpt` with these tags reads OpenAI messages; `formatting: openai` would add a system message
        "world_dialogues": {"file_name": "world_dialogues.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"},
                            "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}},
    }
    r, s = random.Random(7), random.Random(8)
    return {
        "world_texts.jsonl": jsonl({"text": statements(r)} for _ in range(texts)),
        "world_dialogues.jsonl": jsonl(messages(*dialogue(s)) for _ in range(dialogues)),
        "dataset_info.json": json.dumps(info, indent=1) + "\n",
    }


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["datasets", "world"])
    p.add_argument("dir")
    p.add_argument("--check", action="store_true", help="compare instead of writing")
    p.add_argument("--texts", type=int, default=4000, help="pre-training texts (world)")
    p.add_argument("--dialogues", type=int, default=12000, help="chat rows (world)")
    a = p.parse_args()
    files = datasets() if a.what == "datasets" else world(a.texts, a.dialogues)
    stale = []
    if not a.check:
        os.makedirs(a.dir, exist_ok=True)
    for name, text in files.items():
        path = os.path.join(a.dir, name)
        if not a.check:
            with open(path, "w", encoding="utf-8", newline="\n") as f:
                f.write(text)
        elif not os.path.exists(path) or open(path, "rb").read() != text.encode():
            stale.append(name)
    if stale:
        sys.exit(f"{a.dir}: not as generated: {', '.join(stale)}")


if __name__ == "__main__":
    main()

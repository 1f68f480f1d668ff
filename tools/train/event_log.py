"""A log of who moved, took, put and packed what and where, with questions about it and how many entries each answer needs.

Entries and questions are multi-hot vectors. An entry has an actor, an action, a place where it happened (that which is entered,
of a move) and, but for a move, an object; packing has a container besides, which is an object that can be carried itself.
"""

import collections
from dataclasses import dataclass, field

ACTORS = "anna ben carla david emma felix".split()
PLACES = "kitchen hall office garden garage workshop".split()
CONTAINERS = ["box", "bag"]
OBJECTS = ["key", "phone", "lamp", "drill", "radio", "camera"] + CONTAINERS
ACTIONS = "enters takes puts packs".split()
# Questions, with what the answer is.
KINDS = {
    "where is ACTOR": PLACES,
    "where is OBJECT": PLACES,
    "who had OBJECT last": ACTORS,
    "who had OBJECT before that": ACTORS,
    "who had OBJECT before ACTOR": ACTORS,
    "where was OBJECT before that": PLACES,
    "where was OBJECT before PLACE": PLACES,
    "where is who had OBJECT before": PLACES,
}
ANSWERS = PLACES + ACTORS
FACT = [f"actor {a}" for a in ACTORS] + ACTIONS + OBJECTS + [f"into {c}" for c in CONTAINERS] + PLACES
QUESTION = list(KINDS) + ACTORS + OBJECTS + PLACES
MOST_ALIKE = 2  # questions of one kind about one log
SLOTS = 32  # entries that are remembered; an answer never needs an older one


@dataclass
class Entry:
    actor: str
    action: str
    place: str
    object: str = ""
    container: str = ""

    def hot(self):
        names = [f"actor {self.actor}", self.action, self.place]
        names += [self.object] * bool(self.object) + [f"into {self.container}"] * bool(self.container)
        return [FACT.index(name) for name in names]

    def __str__(self):
        into = f" into {self.container}" if self.container else ""
        return f"{self.actor} {self.action} {self.object}{into}{' in ' * bool(self.object)}{self.place}"


@dataclass
class World:
    """Where everybody and everything is: objects in a place, in somebody's hands or in a container."""

    rng: object
    at: dict = field(default_factory=dict)
    where: dict = field(default_factory=dict)
    log: list = field(default_factory=list)

    def __post_init__(self):
        self.at = {a: self.rng.choice(PLACES) for a in ACTORS}
        self.where = {o: self.rng.choice(PLACES) for o in OBJECTS}

    def place(self, object):
        while object not in PLACES:
            object = self.where[object] if object in self.where else self.at[object]
        return object

    def step(self, actors, objects):
        """One more entry, about some of the actors and objects so that stories meet."""
        while True:
            actor = self.rng.choice(actors)
            here = self.at[actor]
            action = self.rng.choices(ACTIONS, (5, 5, 2, 2))[0]
            if action == "enters":
                target = self.rng.choice([p for p in PLACES if p != here])
                # Others' things draw people: else hands seldom change.
                if self.rng.random() < 0.5:
                    target = self.place(self.rng.choice(objects))
                if target == here:
                    continue
                self.at[actor] = target
                return self.write(Entry(actor, action, target))
            held = [o for o in objects if self.where[o] == actor]
            if action == "takes":
                # From the floor, out of a container that lies about or that is held, or out of somebody's hands.
                near = [o for o in objects if self.where[o] != actor and self.place(o) == here]
                if not near:
                    continue
                object = self.rng.choice(near)
                self.where[object] = actor
                return self.write(Entry(actor, action, here, object))
            if action == "puts" and held:
                object = self.rng.choice(held)
                self.where[object] = here
                return self.write(Entry(actor, action, here, object))
            small = [o for o in held if o not in CONTAINERS]
            boxes = [c for c in CONTAINERS if c in objects and self.place(c) == here]
            if action == "packs" and small and boxes:
                object, container = self.rng.choice(small), self.rng.choice(boxes)
                self.where[object] = container
                return self.write(Entry(actor, action, here, object, container))

    def write(self, entry):
        self.log.append(entry)


def last(log, test, before=None):
    """The index of the last entry that passes, of those before an index; none if there is none."""
    if before == -1:
        return None
    for k in range((len(log) if before is None else before) - 1, -1, -1):
        if test(log[k]):
            return k
    return None


def of(thing):
    return lambda e: e.object == thing


def seen(actor):
    return lambda e: e.actor == actor


def trace(log, thing):
    """The entries that tell where a thing is now: its own last one, its container's, its holder's; none if one is forgotten.

    The last of them has the place.
    """
    chain = [last(log, of(thing))]
    if chain[0] is not None and log[chain[0]].action == "packs":
        chain.append(last(log, of(log[chain[0]].container)))
    if chain[-1] is None:
        return None
    if log[chain[-1]].action == "takes":
        chain.append(last(log, seen(log[chain[-1]].actor)))
    return chain


def held(log, thing, before=None):
    return last(log, lambda e: e.object == thing and e.action == "takes", before)


def questions(log):
    """All questions that the log's last SLOTS entries answer: (kind, names, answer, supporting entries)."""
    log = log[-SLOTS:]
    for actor in ACTORS:
        k = last(log, seen(actor))
        if k is not None:
            yield "where is ACTOR", [actor], log[k].place, [k]
    for thing in OBJECTS:
        chain = trace(log, thing)
        if chain:
            yield "where is OBJECT", [thing], log[chain[-1]].place, chain
        now = held(log, thing)
        if now is not None:
            holder = log[now].actor
            yield "who had OBJECT last", [thing], holder, [now]
            other = last(log, lambda e: e.object == thing and e.action == "takes" and e.actor != holder)
            if other is not None:
                actor = log[other].actor
                yield "who had OBJECT before that", [thing], actor, [now, other]
                yield "who had OBJECT before ACTOR", [thing, holder], actor, [now, other]
                there = last(log, seen(actor))
                if there != other:
                    yield "where is who had OBJECT before", [thing], log[there].place, [now, other, there]
        k = last(log, of(thing))
        if k is not None:
            place = log[k].place
            before = last(log, lambda e: e.object == thing and e.place != place)
            if before is not None:
                yield "where was OBJECT before that", [thing], log[before].place, [k, before]
                yield "where was OBJECT before PLACE", [thing, place], log[before].place, [k, before]


# Kinds by the number of entries that support an answer.
SUPPORTED = {
    1: ["where is ACTOR", "where is OBJECT", "who had OBJECT last"],
    2: [k for k in KINDS if "OBJECT" in k and k not in ("who had OBJECT last", "where is who had OBJECT before")],
    3: ["where is OBJECT", "where is who had OBJECT before"],
}


def samples(rng, count):
    """(log, kind, names, answer, ages of the supporting entries in the order in which they lead to one another).

    Every number of such entries, and of it every kind, is equally often. The newest entry's age is 0.
    """
    wanted = {(kind, n): count // (3 * len(kinds)) for n, kinds in SUPPORTED.items() for kind in kinds}
    out = []
    while any(wanted.values()):
        world = World(rng)
        actors = rng.sample(ACTORS, rng.randint(2, len(ACTORS)))
        objects = rng.sample(OBJECTS, rng.randint(2, len(OBJECTS)))
        length = rng.randint(8, 48)
        while len(world.log) < length:
            world.step(actors, objects)
        found = list(questions(world.log))
        rng.shuffle(found)
        asked_of = collections.Counter()
        for kind, names, answer, support in found:
            if kind == "where is OBJECT":
                assert answer == world.place(names[0]), "the log does not tell where it is"
            group = kind, len(set(support))
            if wanted.get(group) and asked_of[group] < MOST_ALIKE:
                asked_of[group] += 1
                wanted[group] -= 1
                newest = min(len(world.log), SLOTS) - 1
                out.append((world.log, kind, names, answer, [newest - k for k in dict.fromkeys(support)]))
    rng.shuffle(out)
    return out


def asked(kind, names):
    """A question's multi-hot indices. Objects stand before the places of the same vector."""
    return [QUESTION.index(kind)] + [QUESTION.index(name) for name in names]


if __name__ == "__main__":
    import random

    generator = random.Random(1)
    for log, kind, names, answer, ages in samples(generator, 30)[:3]:
        print(*log, f"{kind} {names}: {answer}, from", *(log[-1 - age] for age in ages), "", sep="\n")

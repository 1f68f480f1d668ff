"""Dates and times as people write and say them in five languages, each with the ISO 8601 text that it means.

English, German, French, Spanish and Italian, in lower case; days from 1969 to 2068. Digits between slashes, full stops and
hyphens are day, month and year everywhere (the American order is written with the month's name); a year of two digits lies in
1969 to 2068. Times are of 24 hours, or have am, pm or the part of the day with them.
"""

import datetime

FIRST, DAYS = datetime.date(1969, 1, 1), 36525  # up to the end of 2068
LONGEST = 48  # characters of a text
SYMBOLS = "0123456789-T:"
BEGIN, END = len(SYMBOLS), len(SYMBOLS) + 1
LETTERS = " abcdefghijklmnopqrstuvwxyz0123456789.,:/'-àáäéìñóöûüß"

# Names: months, weekdays from Monday on, and months as they are cut short.
NAMES = {
    "en": (
        "january february march april may june july august september october november december",
        "monday tuesday wednesday thursday friday saturday sunday",
        "jan feb mar apr may jun jul aug sep oct nov dec",
    ),
    "de": (
        "januar februar märz april mai juni juli august september oktober november dezember",
        "montag dienstag mittwoch donnerstag freitag samstag sonntag",
        "jan. feb. märz apr. mai juni juli aug. sep. okt. nov. dez.",
    ),
    "fr": (
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
        "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    ),
    "es": (
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "lunes martes miércoles jueves viernes sábado domingo",
        "ene feb mar abr may jun jul ago sep oct nov dic",
    ),
    "it": (
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "lunedì martedì mercoledì giovedì venerdì sabato domenica",
        "gen feb mar apr mag giu lug ago set ott nov dic",
    ),
}
NAMES = {language: [names.split() for names in rows] for language, rows in NAMES.items()}

# Numbers in words: 0 to 19 (Spanish to 29), then the tens from 20 on.
ONES = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn",
    "fr": "zéro une deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
    "dix-neuf",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho "
    "veintinueve",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
    "diciassette diciotto diciannove",
}
TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "de": "zwanzig dreißig vierzig fünfzig",
    "fr": "vingt trente quarante cinquante",
    "es": "veinte treinta cuarenta cincuenta",
    "it": "venti trenta quaranta cinquanta",
}
ORDINALS = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()


def number(language, n):
    """0 to 59 in words, in English to 99."""
    ones = ONES[language].split()
    if n < len(ones):
        return ones[n]
    ten, one = TENS[language].split()[n // 10 - 2], n % 10
    if one == 0:
        return ten
    if language == "de":
        return ("ein" if one == 1 else ones[one]) + "und" + ten
    if language == "fr":
        return f"{ten} et une" if one == 1 else f"{ten}-{ones[one]}"
    if language == "es":
        return f"{ten} y {ones[one]}"
    if language == "it":
        return (ten[:-1] if one in (1, 8) else ten) + ("tré" if one == 3 else ones[one])
    return f"{ten}-{ones[one]}"


def ordinal(n):
    """Of an English day, in words."""
    if n < len(ORDINALS):
        return ORDINALS[n]
    if n < 20:
        return number("en", n) + "th"
    return number("en", n)[:-1] + "ieth" if n % 10 == 0 else f"{number('en', n - n % 10)}-{ORDINALS[n % 10]}"


def suffixed(n):
    return f"{n}{'th' if 10 < n < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def spoken_day(language, n):
    if language == "en":
        return ordinal(n)
    if language == "de":
        irregular = {1: "erster", 3: "dritter", 7: "siebter", 8: "achter"}
        return irregular.get(n) or number("de", n) + ("ster" if n > 19 else "ter")
    if n == 1:
        return {"fr": "premier", "es": "primero", "it": "primo"}[language]
    return number(language, n).replace(" et une", " et un")


def spoken_year(y):
    """In English: nineteen eighty-five, two thousand five, twenty twenty-six."""
    century, rest = divmod(y, 100)
    if century == 20 and rest < 10:
        return "two thousand" + (f" {number('en', rest)}" if rest else "")
    return f"{number('en', century)} {number('en', rest) if rest else 'hundred'}"


# Layouts of dates. What needs no name of a month is common to all languages.
NUMERIC = "{d}.{m}.{y} {dd}.{mm}.{y} {d}/{m}/{y} {dd}/{mm}/{y} {dd}.{mm}.{yy} {d}/{m}/{yy} {dd}-{mm}-{y} {y}-{mm}-{dd} {y}/{mm}/{dd}"
DATES = {
    "en": "{d} {month} {y}|{month} {d}, {y}|{month} {dth}, {y}|the {dth} of {month} {y}|{d} {mon} {y}|{mon} {d} {y}|"
    "{d}-{mon}-{yy}|{wd}, {d} {month} {y}|{wd}, {month} {dth}, {y}|{mon} {dth} {y}|{wd} {d} {mon} {y}|{dsay} of {month} {y}|"
    "{dsay} {month} {ysay}|{month} {dsay}, {ysay}|{month} the {dsay} {y}",
    "de": "{d}. {month} {y}|{wd}, {d}. {month} {y}|{d}. {mon} {y}|der {d}. {month} {y}|{wd}, den {d}. {month} {y}|"
    "am {dd}.{mm}.{y}|{wd}, {d}.{m}.{yy}|{dsay} {month} {y}|{d}.{mon} {yy}",
    "fr": "{d} {month} {y}|le {d} {month} {y}|{wd} {d} {month} {y}|{d} {mon} {y}|le {dd}/{mm}/{y}|{wd} {d} {mon} {y}|"
    "{dsay} {month} {y}|le {dsay} {month} {y}",
    "es": "{d} de {month} de {y}|{d} {month} {y}|el {d} de {month} de {y}|{wd}, {d} de {month} de {y}|{d} {mon} {y}|"
    "{d}-{mon}-{y}|{dsay} de {month} de {y}|{wd} {d} de {month} de {y}",
    "it": "{d} {month} {y}|il {d} {month} {y}|{wd} {d} {month} {y}|{d} {mon} {y}|{wd}, {d} {mon} {y}|{dsay} {month} {y}|"
    "il {dsay} {month} {y}",
}
# Times, and what joins them with a date: `{date}{join}{time}`, or the time first.
TIMES = {
    "en": "{H}:{MM}|{HH}:{MM}|{h}:{MM} {ap}|{h}.{MM}{ap}|{h} {ap}|{hsay} {msay} {ap}|half past {hsay} {ap}|"
    "quarter past {hsay} {ap}|quarter to {hnext} {apnext}|noon|midnight|{hsay} o'clock {part}",
    "de": "{H}:{MM}|{HH}:{MM} uhr|{H}.{MM} uhr|{H} uhr|{H} uhr {M}|{Hsay} uhr|{Hsay} uhr {msay}|halb {hnext} {part}",
    "fr": "{H}:{MM}|{H}h{MM}|{H} h {MM}|{H}h|{H} heures|{Hsay} heures|{Hsay} heures {msay}|midi|minuit|"
    "{hsay} heures et demie {part}|{hsay} heures et quart {part}",
    "es": "{H}:{MM}|{HH}:{MM} h|{h}:{MM} {ap}|{H}.{MM}|{H} horas|{hsay} y media {part}|{hsay} y cuarto {part}|"
    "{hsay} en punto {part}",
    "it": "{H}:{MM}|{HH}.{MM}|{H}.{MM}|ore {H}|{Hsay} e {msay}|{hsay} e mezza {part}|{hsay} e un quarto {part}|mezzogiorno",
}
JOINS = {
    "en": (" ", ", ", " at "),
    "de": (" ", ", ", " um "),
    "fr": (" ", ", ", " à "),
    "es": (" ", ", ", " a las "),
    "it": (" ", ", ", " alle "),
}
BEFORE = {"en": " on ", "de": " am ", "fr": " le ", "es": " del ", "it": " del "}
PARTS = {
    "en": ("in the morning", "in the evening"),
    "de": ("morgens", "abends"),
    "fr": ("du matin", "du soir"),
    "es": ("de la mañana", "de la tarde"),
    "it": ("di mattina", "di sera"),
}
DATES = {language: layouts.split("|") for language, layouts in DATES.items()}
TIMES = {language: layouts.split("|") for language, layouts in TIMES.items()}


def fixed_time(layout, hour, minute):
    """The time that a layout can say: those without minutes say the full hour."""
    if layout in ("noon", "midi", "mezzogiorno"):
        return 12, 0
    if layout in ("midnight", "minuit"):
        return 0, 0
    for minutes, signs in ((30, "half |halb | media| mezza| demie"), (15, "past |uarto| quart "), (45, "to ")):
        if any(sign in layout for sign in signs.split("|")):
            return hour, minutes
    return hour, minute if "M" in layout or "msay" in layout else 0


def say_time(language, layout, hour, minute):
    half = lambda h: (h + 11) % 12 + 1
    after = hour + 1
    part = PARTS[language][hour >= 12]
    if language == "en" and layout.startswith("{hsay} {msay}") and 0 < minute < 10:
        msay = f"oh {number('en', minute)}"
    else:
        msay = number(language, minute)
    oclock = "ein" if language == "de" and hour == 1 else number(language, hour)
    feminine = lambda n: "una" if language in ("es", "it") and n == 1 else number(language, n)
    return layout.format(
        H=hour,
        HH=f"{hour:02}",
        M=minute,
        MM=f"{minute:02}",
        h=half(hour),
        ap="pm" if hour >= 12 else "am",
        apnext="pm" if after % 24 >= 12 else "am",
        part=part,
        hsay=feminine(half(hour)),
        hnext=number(language, half(after)),
        Hsay=oclock,
        msay=msay,
    )


def say_date(language, layout, day):
    months, weekdays, short = NAMES[language]
    return layout.format(
        d=day.day,
        dd=f"{day.day:02}",
        dth=suffixed(day.day),
        dsay=spoken_day(language, day.day),
        m=day.month,
        mm=f"{day.month:02}",
        month=months[day.month - 1],
        mon=short[day.month - 1],
        wd=weekdays[day.weekday()],
        y=day.year,
        yy=f"{day.year % 100:02}",
        ysay=spoken_year(day.year),
    )


def sample(rng, days):
    """(text, ISO 8601, language, layout): `rng` is a random.Random, `days` are numbers since the first to choose from."""
    language = rng.choice(list(NAMES))
    while True:
        day = FIRST + datetime.timedelta(rng.choice(days))
        layout = rng.choice(DATES[language] if rng.random() < 0.75 else NUMERIC.split())
        text, iso = say_date(language, layout, day), day.isoformat()
        if rng.random() < 0.5:
            clock = rng.choice(TIMES[language])
            hour, minute = fixed_time(clock, rng.randrange(24), rng.randrange(60))
            # Halves of the day are told where the layout has a word for them; half past the last hour is on another day.
            if "{hnext}" in clock and hour == 23:
                continue
            said = say_time(language, clock, hour, minute)
            layout = f"{layout} {clock}"
            if rng.random() < 0.8:
                text += rng.choice(JOINS[language]) + said
            else:
                text, layout = said + rng.choice((" ", ", ", BEFORE[language])) + text, f"{clock} {layout}"
            iso += f"T{hour:02}:{minute:02}"
        if len(text) <= LONGEST:
            return text, iso, language, layout


if __name__ == "__main__":
    import random

    generator = random.Random(1)
    for _ in range(40):
        print("{1:18}{2} {0}".format(*sample(generator, range(DAYS))))

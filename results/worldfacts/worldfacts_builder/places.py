"""Which cities `worldfacts` asks about: names in the form English texts use, chosen by hand for fame.

GeoNames must confirm each one (a place of that name or alternate name in that country or state, large enough); it also
supplies population and decides whether the name is ambiguous. Capitals are absent: `country_of_capital` and
`state_of_capital` ask for them. So are places under disputed rule (Crimea, eastern Ukraine, Kashmir, Golan, Somaliland,
Northern Cyprus, Transnistria, Ceuta and Melilla) and places renamed lately.
"""

# ISO 3166 code: non-capital cities. The United States is filled from STATE_CITIES.
COUNTRY_CITIES = {
    "AE": "Dubai, Sharjah, Ajman, Fujairah, Al Ain",
    "AF": "Kandahar, Herat, Mazar-i-Sharif, Jalalabad, Kunduz, Ghazni",
    "AL": "Durrës, Vlorë, Elbasan, Shkodër",
    "AM": "Gyumri, Vanadzor",
    "AO": "Huambo, Lobito, Benguela, Lubango, Cabinda",
    "AR": (
        "Rosario, Mar del Plata, Mendoza, La Plata, Salta, Bahía Blanca, Resistencia, Neuquén, San Miguel de "
        "Tucumán, Ushuaia, Bariloche"
    ),
    "AT": "Graz, Linz, Salzburg, Innsbruck, Klagenfurt, Villach",
    "AU": (
        "Sydney, Melbourne, Brisbane, Perth, Adelaide, Hobart, Darwin, Geelong, Cairns, Townsville, "
        "Wollongong, Ballarat, Alice Springs, Toowoomba"
    ),
    "AZ": "Ganja, Sumqayit",
    "BA": "Banja Luka, Mostar, Tuzla, Zenica",
    "BD": "Chittagong, Khulna, Rajshahi, Sylhet, Comilla, Barisal, Rangpur, Gazipur",
    "BE": "Antwerp, Ghent, Bruges, Liège, Charleroi, Namur, Leuven, Mechelen",
    "BF": "Bobo-Dioulasso, Koudougou",
    "BG": "Plovdiv, Varna, Burgas, Stara Zagora, Ruse, Pleven",
    "BJ": "Parakou, Abomey",
    "BO": "Santa Cruz de la Sierra, Cochabamba, Potosí, Oruro, Tarija",
    "BR": (
        "São Paulo, Rio de Janeiro, Salvador, Fortaleza, Belo Horizonte, Manaus, Curitiba, Recife, Porto "
        "Alegre, Goiânia, Campinas, Natal, Florianópolis, Maceió"
    ),
    "BW": "Francistown, Maun",
    "BY": "Gomel, Brest, Vitebsk, Grodno, Mogilev, Bobruisk",
    "CA": (
        "Toronto, Montreal, Vancouver, Calgary, Edmonton, Winnipeg, Quebec City, Hamilton, Halifax, "
        "Saskatoon, Regina, Mississauga, Victoria, Kelowna"
    ),
    "CD": "Lubumbashi, Mbuji-Mayi, Kisangani, Goma, Bukavu, Kananga, Kolwezi, Matadi",
    "CG": "Pointe-Noire, Dolisie",
    "CH": "Zurich, Geneva, Basel, Lausanne, Lucerne, Winterthur, St. Gallen, Lugano",
    "CI": "Bouaké, Daloa, Korhogo, San-Pédro",
    "CL": (
        "Valparaíso, Viña del Mar, Concepción, Antofagasta, Temuco, Iquique, Punta Arenas, Puerto Montt, "
        "Arica, Valdivia, Rancagua"
    ),
    "CM": "Douala, Bamenda, Garoua, Bafoussam, Maroua, Buea",
    "CN": (
        "Shanghai, Shenzhen, Guangzhou, Chengdu, Tianjin, Wuhan, Nanjing, Hangzhou, Xi'an, Chongqing, Harbin, "
        "Qingdao, Shenyang, Suzhou, Dalian"
    ),
    "CO": "Medellín, Cali, Barranquilla, Bucaramanga, Cúcuta, Santa Marta, Pereira, Manizales, Ibagué, Villavicencio",
    "CR": "Limón, Alajuela, Puntarenas, Heredia",
    "CU": "Santiago de Cuba, Camagüey, Holguín, Guantánamo, Cienfuegos, Santa Clara, Pinar del Río",
    "CY": "Limassol, Larnaca, Paphos",
    "CZ": "Brno, Ostrava, Plzeň, Olomouc, Liberec, České Budějovice",
    "DE": (
        "Hamburg, Munich, Cologne, Frankfurt, Stuttgart, Düsseldorf, Leipzig, Dortmund, Dresden, Bremen, "
        "Hanover, Nuremberg, Bonn, Heidelberg, Essen"
    ),
    "DK": "Aarhus, Odense, Aalborg, Esbjerg, Roskilde",
    "DO": "Santiago de los Caballeros, La Romana, Puerto Plata, Punta Cana, San Pedro de Macorís",
    "DZ": "Oran, Constantine, Annaba, Batna, Sétif, Tlemcen, Béjaïa",
    "EC": "Guayaquil, Cuenca, Ambato, Machala, Loja, Esmeraldas, Portoviejo",
    "EE": "Tartu, Narva, Pärnu",
    "EG": "Alexandria, Giza, Port Said, Luxor, Aswan, Suez, Mansoura, Tanta, Ismailia, Hurghada, Sharm el-Sheikh",
    "ER": "Keren, Massawa",
    "ES": (
        "Barcelona, Valencia, Seville, Zaragoza, Málaga, Bilbao, Granada, Murcia, Alicante, Salamanca, San "
        "Sebastián, Cádiz, Pamplona, Valladolid"
    ),
    "ET": "Dire Dawa, Mekelle, Gondar, Bahir Dar, Jimma, Hawassa, Harar, Lalibela",
    "FI": "Tampere, Turku, Espoo, Oulu, Vantaa, Jyväskylä, Rovaniemi, Kuopio",
    "FJ": "Nadi, Lautoka",
    "FR": (
        "Marseille, Lyon, Toulouse, Nice, Nantes, Strasbourg, Bordeaux, Montpellier, Lille, Rennes, Grenoble, "
        "Dijon, Cannes, Reims, Le Havre"
    ),
    "GA": "Port-Gentil, Franceville",
    "GB": (
        "Birmingham, Manchester, Liverpool, Glasgow, Edinburgh, Leeds, Bristol, Sheffield, Cardiff, Belfast, "
        "Nottingham, Southampton, Newcastle upon Tyne, Leicester, Oxford, Aberdeen, Swansea, Brighton"
    ),
    "GE": "Batumi, Kutaisi, Rustavi",
    "GH": "Kumasi, Tamale, Takoradi, Cape Coast, Tema",
    "GM": "Serekunda, Brikama",
    "GN": "Kankan, Kindia, Nzérékoré",
    "GR": "Thessaloniki, Patras, Heraklion, Piraeus, Larissa, Volos, Chania, Rhodes, Ioannina",
    "GT": "Quetzaltenango, Escuintla, Cobán, Chichicastenango",
    "HN": "San Pedro Sula, La Ceiba, Choluteca, Choloma",
    "HR": "Split, Dubrovnik, Rijeka, Zadar, Osijek, Pula",
    "HT": "Cap-Haïtien, Jacmel, Gonaïves, Les Cayes, Pétionville",
    "HU": "Debrecen, Szeged, Miskolc, Pécs, Győr, Eger, Kecskemét",
    "ID": (
        "Surabaya, Bandung, Medan, Semarang, Makassar, Yogyakarta, Palembang, Denpasar, Malang, Balikpapan, "
        "Pontianak, Manado, Banda Aceh"
    ),
    "IE": "Cork, Galway, Limerick, Waterford, Kilkenny, Sligo",
    "IL": "Tel Aviv, Haifa, Beersheba, Eilat, Ashdod, Netanya, Nazareth",
    "IN": (
        "Mumbai, Kolkata, Chennai, Bangalore, Hyderabad, Ahmedabad, Pune, Jaipur, Lucknow, Surat, Kanpur, "
        "Varanasi, Agra, Bhopal, Kochi"
    ),
    "IQ": "Mosul, Basra, Erbil, Kirkuk, Najaf, Karbala, Fallujah, Sulaymaniyah, Nasiriyah",
    "IR": "Isfahan, Shiraz, Mashhad, Tabriz, Qom, Karaj, Ahvaz, Kerman, Yazd, Rasht, Kermanshah, Abadan, Zahedan",
    "IS": "Akureyri, Kópavogur, Keflavík",
    "IT": (
        "Milan, Naples, Turin, Venice, Florence, Palermo, Bologna, Genoa, Verona, Pisa, Catania, Bari, "
        "Trieste, Padua, Modena, Siena"
    ),
    "JM": "Montego Bay, Spanish Town, Portmore, Mandeville, Negril",
    "JO": "Irbid, Zarqa, Aqaba",
    "JP": (
        "Osaka, Kyoto, Yokohama, Nagoya, Hiroshima, Nagasaki, Sapporo, Kobe, Fukuoka, Sendai, Nara, Kawasaki, "
        "Niigata, Kanazawa"
    ),
    "KE": "Mombasa, Kisumu, Nakuru, Eldoret, Malindi, Thika, Garissa",
    "KG": "Osh, Karakol",
    "KH": "Siem Reap, Battambang, Sihanoukville",
    "KP": "Hamhung, Chongjin, Nampo, Wonsan, Kaesong, Sinuiju",
    "KR": "Busan, Incheon, Daegu, Daejeon, Gwangju, Suwon, Ulsan, Jeonju, Gyeongju, Changwon, Pohang",
    "KZ": "Almaty, Shymkent, Karaganda, Aktobe, Pavlodar, Atyrau, Semey",
    "LA": "Luang Prabang, Savannakhet, Pakse",
    "LB": "Sidon, Tyre, Zahlé, Baalbek",
    "LK": "Kandy, Galle, Jaffna, Trincomalee, Batticaloa, Anuradhapura, Negombo",
    "LR": "Gbarnga, Buchanan, Ganta",
    "LT": "Kaunas, Klaipėda, Šiauliai, Panevėžys",
    "LV": "Daugavpils, Liepāja, Jelgava, Jūrmala, Ventspils",
    "LY": "Benghazi, Misrata, Tobruk, Sirte, Sabha, Derna",
    "MA": "Casablanca, Marrakesh, Fez, Tangier, Agadir, Meknes, Tétouan, Oujda, Essaouira, Kenitra, Ouarzazate",
    "MD": "Bălți, Cahul, Soroca",
    "ME": "Nikšić, Budva",
    "MG": "Toamasina, Antsirabe, Mahajanga, Fianarantsoa, Toliara, Antsiranana",
    "MK": "Bitola, Kumanovo, Ohrid, Tetovo, Prilep",
    "ML": "Timbuktu, Gao, Mopti, Sikasso, Ségou, Kayes",
    "MM": "Yangon, Mandalay, Mawlamyine, Sittwe, Pathein, Taunggyi",
    "MN": "Erdenet, Darkhan",
    "MR": "Nouadhibou, Atar",
    "MT": "Birkirkara, Sliema",
    "MW": "Blantyre, Zomba, Mzuzu",
    "MX": (
        "Guadalajara, Monterrey, Tijuana, Cancún, Puebla, Acapulco, Ciudad Juárez, Veracruz, Oaxaca, Mérida, "
        "Chihuahua, Hermosillo, Mazatlán, Culiacán, Puerto Vallarta, Zapopan"
    ),
    "MY": (
        "Johor Bahru, Ipoh, Malacca, Kota Kinabalu, Kuching, George Town, Shah Alam, Petaling Jaya, Kuantan, Kota Bharu"
    ),
    "MZ": "Beira, Nampula, Pemba, Quelimane, Tete, Chimoio",
    "NA": "Swakopmund, Walvis Bay, Rundu",
    "NE": "Agadez, Zinder, Maradi, Tahoua",
    "NG": (
        "Lagos, Kano, Ibadan, Port Harcourt, Benin City, Kaduna, Maiduguri, Enugu, Jos, Ilorin, Onitsha, "
        "Calabar, Sokoto, Zaria"
    ),
    "NI": "Granada, Bluefields, Masaya, Matagalpa, Estelí, Chinandega",
    "NL": (
        "Rotterdam, The Hague, Utrecht, Eindhoven, Groningen, Maastricht, Leiden, Delft, Haarlem, Nijmegen, "
        "Arnhem, Tilburg, Breda"
    ),
    "NO": "Bergen, Trondheim, Stavanger, Tromsø, Kristiansand, Drammen, Lillehammer, Bodø, Ålesund",
    "NP": "Pokhara, Biratnagar, Janakpur, Birgunj",
    "NZ": (
        "Auckland, Christchurch, Dunedin, Hamilton, Queenstown, Tauranga, Rotorua, Invercargill, Napier, "
        "Palmerston North"
    ),
    "OM": "Salalah, Sohar, Nizwa",
    "PA": "Colón, San Miguelito",
    "PE": "Cusco, Arequipa, Trujillo, Iquitos, Callao, Chiclayo, Piura, Huancayo, Puno, Tacna, Ayacucho, Cajamarca",
    "PG": "Lae, Mount Hagen, Madang, Rabaul",
    "PH": (
        "Cebu City, Davao City, Quezon City, Zamboanga City, Baguio, Makati, Iloilo City, Cagayan de Oro, "
        "Tacloban, Caloocan"
    ),
    "PK": "Karachi, Lahore, Peshawar, Faisalabad, Rawalpindi, Multan, Quetta, Sialkot, Gujranwala, Abbottabad, Sukkur",
    "PL": (
        "Kraków, Gdańsk, Wrocław, Łódź, Poznań, Lublin, Katowice, Szczecin, Białystok, Toruń, Gdynia, "
        "Częstochowa, Bydgoszcz"
    ),
    "PT": "Porto, Braga, Coimbra, Faro, Funchal, Aveiro, Évora, Setúbal, Guimarães",
    "PY": "Ciudad del Este, Encarnación, Concepción",
    "QA": "Al Wakrah, Lusail",
    "RO": "Cluj-Napoca, Timișoara, Iași, Constanța, Brașov, Craiova, Sibiu, Galați, Oradea, Ploiești, Arad",
    "RS": "Novi Sad, Niš, Kragujevac, Subotica",
    "RU": (
        "Saint Petersburg, Novosibirsk, Yekaterinburg, Kazan, Nizhny Novgorod, Vladivostok, Omsk, Volgograd, "
        "Samara, Chelyabinsk, Sochi, Murmansk, Irkutsk, Kaliningrad, Rostov-on-Don"
    ),
    "SA": "Jeddah, Mecca, Medina, Dammam, Taif, Tabuk, Abha, Buraydah",
    "SD": "Omdurman, Port Sudan, Kassala, Nyala, El Fasher, El Obeid",
    "SE": "Gothenburg, Malmö, Uppsala, Linköping, Örebro, Västerås, Lund, Umeå, Helsingborg, Kiruna, Norrköping",
    "SI": "Maribor, Celje, Kranj, Koper",
    "SK": "Košice, Prešov, Žilina, Nitra, Banská Bystrica, Trnava",
    "SL": "Kenema, Makeni",
    "SN": "Saint-Louis, Thiès, Touba, Ziguinchor, Kaolack",
    "SO": "Kismayo, Baidoa, Beledweyne, Bosaso",
    "SS": "Malakal, Wau, Bor, Yei",
    "SV": "Santa Ana, San Miguel, Santa Tecla, Soyapango",
    "SY": "Aleppo, Homs, Hama, Latakia, Raqqa, Palmyra, Idlib, Deir ez-Zor, Tartus",
    "SZ": "Manzini",
    "TD": "Moundou, Abéché, Sarh",
    "TG": "Sokodé, Kara, Kpalimé",
    "TH": "Chiang Mai, Phuket, Pattaya, Ayutthaya, Hat Yai, Khon Kaen, Udon Thani, Chiang Rai, Nakhon Ratchasima",
    "TJ": "Khujand, Kulob, Khorog",
    "TM": "Türkmenabat, Daşoguz",
    "TN": "Sfax, Sousse, Kairouan, Bizerte, Gabès, Monastir",
    "TR": (
        "Istanbul, Izmir, Antalya, Bursa, Adana, Gaziantep, Konya, Trabzon, Bodrum, Kayseri, Erzurum, "
        "Diyarbakır, Samsun, Mersin"
    ),
    "TT": "Chaguanas, Scarborough, San Fernando",
    "TZ": "Dar es Salaam, Arusha, Mwanza, Mbeya, Tanga, Morogoro, Zanzibar City, Tabora",
    "UA": (
        "Kharkiv, Odesa, Lviv, Dnipro, Poltava, Chernihiv, Mykolaiv, Vinnytsia, Ivano-Frankivsk, Chernivtsi, "
        "Zhytomyr, Kryvyi Rih, Uzhhorod"
    ),
    "UG": "Entebbe, Jinja, Gulu, Mbarara, Mbale",
    "UY": "Salto, Punta del Este, Paysandú, Maldonado",
    "UZ": "Samarkand, Bukhara, Namangan, Andijan, Nukus, Fergana, Termez",
    "VE": "Maracaibo, Valencia, Barquisimeto, Maracay, Ciudad Guayana, Ciudad Bolívar, Cumaná, Maturín",
    "VN": "Ho Chi Minh City, Da Nang, Haiphong, Huế, Nha Trang, Cần Thơ, Da Lat, Vũng Tàu, Hội An, Vinh",
    "YE": "Aden, Taiz, Al Hudaydah, Mukalla, Ibb, Marib",
    "ZA": (
        "Johannesburg, Durban, Soweto, East London, Pietermaritzburg, Kimberley, Polokwane, Stellenbosch, "
        "Benoni, Rustenburg"
    ),
    "ZM": "Kitwe, Ndola, Livingstone, Kabwe, Chingola, Luanshya",
    "ZW": "Bulawayo, Mutare, Gweru, Chitungwiza, Kwekwe",
}

# U.S. postal code: cities that are not the state capital.
STATE_CITIES = {
    "AK": "Anchorage, Fairbanks, Wasilla, Ketchikan, Sitka, Nome",
    "AL": "Birmingham, Mobile, Huntsville, Tuscaloosa, Auburn, Dothan, Selma, Hoover, Gadsden",
    "AR": "Fayetteville, Fort Smith, Hot Springs, Bentonville, Pine Bluff, Jonesboro, Springdale, Texarkana",
    "AZ": "Tucson, Mesa, Scottsdale, Tempe, Flagstaff, Chandler, Yuma, Sedona",
    "CA": (
        "Los Angeles, San Francisco, San Diego, San Jose, Oakland, Fresno, Long Beach, Bakersfield, Anaheim, "
        "Berkeley, Palo Alto, Santa Barbara"
    ),
    "CO": "Colorado Springs, Boulder, Fort Collins, Pueblo, Aurora, Grand Junction, Greeley, Durango",
    "CT": "New Haven, Stamford, Bridgeport, Waterbury, Danbury, New Britain, Norwalk, Greenwich",
    "DE": "Wilmington, Newark, Rehoboth Beach, Middletown, Milford, Smyrna",
    "FL": (
        "Miami, Tampa, Orlando, Jacksonville, Fort Lauderdale, St. Petersburg, Gainesville, Pensacola, Key "
        "West, Daytona Beach, Sarasota"
    ),
    "GA": "Savannah, Macon, Athens, Marietta, Valdosta, Alpharetta, Warner Robins",
    "HI": "Hilo, Kailua, Waipahu, Kaneohe, Kahului, Kihei, Pearl City",
    "IA": "Cedar Rapids, Davenport, Sioux City, Dubuque, Ames, Council Bluffs, Waterloo, Cedar Falls",
    "ID": "Nampa, Coeur d'Alene, Pocatello, Twin Falls, Idaho Falls, Meridian, Rexburg",
    "IL": "Chicago, Rockford, Peoria, Joliet, Naperville, Champaign, Evanston, Decatur, Elgin, Schaumburg",
    "IN": "Fort Wayne, Gary, South Bend, Evansville, Terre Haute, Muncie, Kokomo, Elkhart",
    "KS": "Wichita, Overland Park, Dodge City, Salina, Olathe, Leavenworth, Hutchinson",
    "KY": "Louisville, Lexington, Bowling Green, Owensboro, Paducah, Elizabethtown",
    "LA": "New Orleans, Shreveport, Lafayette, Lake Charles, Bossier City, Kenner, Houma, Natchitoches",
    "MA": "Worcester, Cambridge, Salem, Lowell, Brockton, New Bedford, Fall River, Somerville, Framingham",
    "MD": "Baltimore, Bethesda, Frederick, Rockville, Silver Spring, Gaithersburg, Towson, Ocean City",
    "ME": "Portland, Bangor, Lewiston, Biddeford, Brunswick, Bar Harbor",
    "MI": "Detroit, Grand Rapids, Ann Arbor, Flint, Kalamazoo, Dearborn, Saginaw, Battle Creek, Traverse City",
    "MN": "Minneapolis, Duluth, Rochester, Bloomington, St. Cloud, Mankato, Eden Prairie, Brainerd",
    "MO": "St. Louis, Branson, Joplin, Florissant, Cape Girardeau, St. Charles, Lee's Summit, Hannibal",
    "MS": "Biloxi, Gulfport, Hattiesburg, Tupelo, Meridian, Vicksburg, Natchez",
    "MT": "Billings, Missoula, Bozeman, Butte, Great Falls, Kalispell",
    "NC": "Charlotte, Greensboro, Durham, Winston-Salem, Asheville, Chapel Hill, Gastonia, High Point",
    "ND": "Fargo, Grand Forks, Minot, Williston, Dickinson",
    "NE": "Omaha, Kearney, Grand Island, North Platte, Scottsbluff",
    "NH": "Nashua, Keene, Laconia, Portsmouth",
    "NJ": "Newark, Jersey City, Atlantic City, Hoboken, Princeton, Camden, Paterson, Bayonne, Cherry Hill",
    "NM": "Albuquerque, Roswell, Las Cruces, Los Alamos, Rio Rancho, Alamogordo, Carlsbad, Gallup",
    "NV": "Las Vegas, Reno, Henderson, Sparks, Elko, Pahrump",
    "NY": (
        "Buffalo, Rochester, Syracuse, Yonkers, Ithaca, Utica, Schenectady, Poughkeepsie, Saratoga Springs, "
        "Niagara Falls"
    ),
    "OH": "Cleveland, Cincinnati, Toledo, Akron, Dayton, Canton, Youngstown, Sandusky, Lorain",
    "OK": "Tulsa, Norman, Broken Arrow, Stillwater, Lawton, Muskogee, Enid, Edmond",
    "OR": "Portland, Eugene, Bend, Medford, Corvallis, Beaverton, Klamath Falls, Grants Pass, Gresham",
    "PA": (
        "Philadelphia, Pittsburgh, Allentown, Scranton, Erie, Gettysburg, Bethlehem, Wilkes-Barre, Altoona, "
        "State College"
    ),
    "RI": "Newport, Warwick, Cranston, Pawtucket, Woonsocket, Westerly",
    "SC": "Charleston, Greenville, Myrtle Beach, Spartanburg, Rock Hill, Hilton Head Island, Goose Creek, Sumter",
    "SD": "Sioux Falls, Rapid City, Aberdeen, Deadwood, Brookings",
    "TN": "Memphis, Knoxville, Chattanooga, Murfreesboro, Clarksville, Johnson City, Kingsport, Gatlinburg",
    "TX": (
        "Houston, Dallas, San Antonio, Fort Worth, El Paso, Lubbock, Amarillo, Waco, Corpus Christi, "
        "Galveston, Laredo, Plano"
    ),
    "UT": "Provo, Ogden, St. George, Park City, Moab, Orem, Logan, Sandy",
    "VA": (
        "Norfolk, Newport News, Chesapeake, Roanoke, Charlottesville, Lynchburg, Alexandria, Williamsburg, "
        "Fredericksburg"
    ),
    "VT": "Burlington, Rutland, Brattleboro, South Burlington, Barre",
    "WA": "Seattle, Spokane, Tacoma, Bellevue, Everett, Redmond, Yakima, Bellingham, Walla Walla",
    "WI": "Milwaukee, Green Bay, Kenosha, Racine, Oshkosh, Appleton, Eau Claire, La Crosse, Waukesha",
    "WV": "Huntington, Morgantown, Wheeling, Parkersburg, Martinsburg, Beckley",
    "WY": "Casper, Laramie, Cody, Gillette, Rock Springs, Jackson",
}

# With more US cities than this in `country_of_city`, "United States" would be a safe guess.
US_CITIES_IN_COUNTRY_TYPE = 16

# "England" is a natural answer for Leeds. GeoNames first-level divisions of the United Kingdom.
UK_NATIONS = {"ENG": "England", "SCT": "Scotland", "WLS": "Wales", "NIR": "Northern Ireland"}

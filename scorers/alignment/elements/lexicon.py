"""The words that the rules know. Few, common and in English: what is not here is taken for a thing."""

from __future__ import annotations

__all__ = [
    "ADJECTIVES",
    "BACKGROUND",
    "BREAKS",
    "DETERMINERS",
    "DOUBLED",
    "KINDS",
    "MASS",
    "NOUNS_IN_ING",
    "NOUNS_IN_LY",
    "NUMBERS",
    "PLACES",
    "PLURALS",
    "PREPOSITIONS",
    "SINGULARS",
    "VERBS",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words(
    "a an the this that these those his her its their my your our some any each every another both all several many "
    "few other no more most much lots"
)

BREAKS = _words(
    "is are was were be been being am has have had do does did can could will would may might must should it he she they "
    "we you i him them us me who which what where when while there here and or but nor so then than as not very just "
    "also too only if because although though someone's himself herself itself themselves one's during after before "
    "for with without to by about like per via of from against into onto out off up down away together forward"
)
"""Words that end what is said of a thing, and say nothing that can be seen."""

NUMBERS = _words(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
)

_PLACING = (
    "on top of;on the top of;in front of;next to;to the left of;to the right of;on the left of;on the right of;left of;"
    "right of;in the middle of;in the center of;on the side of;in the back of;at the top of;at the bottom of;inside of;"
    "on;in;at;under;underneath;beneath;below;above;over;behind;beside;besides;near;between;among;inside;outside;around;"
    "across;along;through;past"
)
PREPOSITIONS = {tuple(phrase.split()): phrase for phrase in _PLACING.split(";")}
"""What says where one thing is to another."""

BACKGROUND = (
    ("in", "the", "background"),
    ("in", "the", "foreground"),
    ("in", "the", "distance"),
    ("in", "front"),
    ("at", "night"),
)
"""Phrases that look like a place and are none."""

PLACES = _words(
    "beach street road park field forest desert city town village kitchen bathroom bedroom room office garden yard mountain "
    "hill river lake ocean sea sky island library restaurant station airport school church market stadium court playground "
    "sidewalk bridge harbor harbour coast valley farm zoo museum store shop warehouse jungle meadow pond parking classroom "
    "hallway square plaza alley highway countryside space underwater background cafe bar studio hospital garage"
)

_PEOPLE = (
    "man woman men women boy girl child children kid baby infant toddler person people someone human lady gentleman guy "
    "teenager adult player rider skier surfer skateboarder snowboarder cyclist biker runner dancer singer musician artist "
    "doctor nurse chef cook waiter teacher student soldier officer policeman fireman worker farmer driver pilot king queen "
    "prince princess knight wizard couple family crowd group team audience bride groom mother father son daughter brother "
    "sister friend clown cowboy pirate astronaut guitarist climber swimmer athlete"
)
_ANIMALS = (
    "dog cat bird horse cow sheep goat pig chicken duck goose rooster elephant giraffe zebra lion tiger bear panda monkey "
    "gorilla rabbit mouse mice rat squirrel fox wolf deer moose camel kangaroo koala fish shark whale dolphin turtle frog "
    "snake lizard crocodile alligator dinosaur dragon spider bee butterfly ant insect owl eagle parrot penguin ostrich "
    "flamingo swan puppy kitten pony donkey bull calf lamb hen crab lobster octopus jellyfish hamster raccoon otter seal "
    "unicorn animal"
)
_FOODS = (
    "apple banana orange strawberry grape lemon pear peach cherry watermelon pineapple mango tomato potato carrot onion "
    "broccoli lettuce cabbage corn pepper mushroom cucumber bread sandwich pizza burger hamburger hotdog pasta noodle rice "
    "soup salad cake pie cookie donut doughnut chocolate candy cheese egg meat steak bacon sausage sushi pancake waffle "
    "coffee tea juice milk beer wine food fruit vegetable dessert breakfast lunch dinner meal cupcake toast yogurt butter"
)
_COLORS = (
    "white black blue red green brown yellow silver gray grey orange purple pink gold golden tan beige cream teal turquoise "
    "violet magenta maroon navy crimson scarlet blond blonde colorful colourful multicolored rainbow olive lavender"
)
_MATERIALS = (
    "wooden wood plastic brick glass metal metallic leather denim steel iron stone rubber concrete porcelain ceramic marble "
    "paper cardboard cotton silk wool woolen straw bamboo clay copper bronze brass granite crystal velvet wicker"
)
_SHAPES = (
    "round circular square rectangular triangular oval spherical cubical conical cylindrical heart-shaped star-shaped "
    "l-shaped hexagonal curved pointed flat"
)
KINDS: dict[str, str] = {
    **dict.fromkeys(_MATERIALS.split(), "material"),
    **dict.fromkeys(_SHAPES.split(), "shape"),
    **dict.fromkeys(_COLORS.split(), "color"),
    **dict.fromkeys(sorted(PLACES), "location"),
    **dict.fromkeys(_FOODS.split(), "food"),
    **dict.fromkeys((_PEOPLE + " " + _ANIMALS).split(), "animal/human"),
}
"""Of a word, its type among EvalMuse's; a word of two types has the later."""
KINDS |= {"orange": "color", "square": "shape", "mouse": "animal/human"}

ADJECTIVES = _words(
    "big small large little tiny huge giant tall short long wide narrow thin thick old young new ancient modern vintage "
    "antique happy sad angry cute beautiful pretty ugly clean dirty wet dry hot cold warm empty full open closed broken "
    "bright dark light shiny fluffy furry hairy bald smooth rough soft hard sharp striped spotted plain fancy elegant "
    "colored coloured grassy sandy snowy rocky muddy dusty rusty sunny cloudy rainy foggy stormy misty bare calm busy "
    "crowded lonely adult male female baby wild tame fresh ripe rotten cooked raw sliced steaming smoky electric futuristic "
    "medieval gothic royal heavy lit deep shallow high low fast slow quiet loud tired sleepy strong weak rich poor naked "
    "barefoot fat skinny slim lush leafy floral woven knitted framed stuffed abstract blurry pale neon transparent gloomy "
    "spooky magical mystical red-haired long-haired curly straight messy neat simple different same various single double "
    "main own next last first second third left right upper lower front back asian african american european japanese "
    "chinese indian mayan egyptian greek roman french italian mexican professional older younger larger smaller funny "
    "strange weird scary cozy cosy majestic graceful gigantic massive miniature mini disposable inflatable wooden"
)

VERBS = _words(
    "act ask bake balance bark bend bite blow bounce brush build buy carry catch celebrate chase chew clap climb cook crawl "
    "cross cry cut dance dig dive draw drink drive eat enjoy examine fall feed fight float fly gather give grab graze hang "
    "hold hop hug hunt jog jump kick kiss kneel laugh lead lean leap lick lie lift listen look make march paddle paint pass "
    "perform pick play point pose pour prepare pull push put race reach read rest ride roll run sail sell serve shake shout "
    "sing sit skate ski skip sleep slide smile smoke sniff speak spin splash stand stare stretch surf sweep swim swing take "
    "talk teach throw touch travel use wait walk wash watch wear work wrestle write yell"
)

NOUNS_IN_ING = _words(
    "building ceiling painting wedding king ring wing string thing morning evening clothing pudding railing awning lightning "
    "earring spring sling swing drawing ping icing frosting siding lighting parking dwelling offspring sibling duckling "
    "shopping crossing engraving carving sing"
)

NOUNS_IN_LY = _words("family belly jelly butterfly lily bully fly italy assembly")

DOUBLED = _words("run sit swim get put cut hit dig hug jog skip stop set grab hop shop chop spin step")
"""Verbs whose last letter is doubled before -ing."""

SINGULARS = _words("bus gas lens canvas christmas tennis chess always series species news")
"""Words that end in s and are one."""

MASS = _words(
    "water grass snow sand food hair furniture ice rain smoke fire fog mist dirt mud air sky sunlight light clothing paper "
    "bread rice pasta cheese meat fruit juice milk coffee tea beer wine soup chocolate graffiti traffic luggage equipment "
    "jewelry makeup wood metal glass plastic fur gravel concrete blood oil moss ivy foliage vegetation broccoli lettuce corn"
)

PLURALS = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "wolves": "wolf",
    "leaves": "leaf",
    "knives": "knife",
    "shelves": "shelf",
    "glasses": "glasses",
    "sunglasses": "sunglasses",
    "jeans": "jeans",
    "pants": "pants",
    "shorts": "shorts",
    "scissors": "scissors",
    "clothes": "clothes",
    "stairs": "stairs",
    "binoculars": "binoculars",
}
"""Plurals that do not end in an added s, and words that are always plural."""

"""The people, places and things of the demo stories."""

HE = {"he": "he", "him": "him", "his": "his", "himself": "himself"}
SHE = {"he": "she", "him": "her", "his": "her", "himself": "herself"}

BOYS = """Tom Ben Max Finn Sam Toby Leo Jack Theo Hugo Oscar Milo Felix Otto Gus Rufus Jasper
Charlie Basil Archie Omar Kofi Diego Noah Pip Bram Emil Karl Ravi Hank Ollie Billy""".split()
GIRLS = """Lily Mia Rosie Nora Ella Ruby Hazel Daisy Molly Poppy Ivy Luna Bella Clara Willow
Mabel Tilly Fern Dot Penny Olive Nell Wren Tess Edie Amina Mei Priya Anna Zoe Lotta Grace""".split()

# kind: (its home, its look, its favourite food, weight among the heroes)
KINDS = {
    "fox": ("a snug den under an oak tree", "a soft red tail", "blackberries", 3),
    "rabbit": ("a burrow under the hedge", "long brown ears", "carrots", 3),
    "bear": ("a warm cave by the stream", "thick brown fur", "honey", 3),
    "mouse": ("a hole behind the kitchen wall", "tiny pink paws", "cheese", 3),
    "hedgehog": ("a nest of dry leaves", "small sharp prickles", "apples", 2),
    "owl": ("a hollow tree at the edge of the woods", "big round eyes", "oatcakes", 2),
    "duck": ("a nest by the pond", "bright yellow feet", "bread crumbs", 2),
    "frog": ("a pond full of lilies", "smooth green skin", "berry soup", 2),
    "squirrel": ("a house high in a tree", "a bushy grey tail", "nuts", 2),
    "turtle": ("a quiet corner of the lake", "a shiny green shell", "lettuce", 2),
    "kitten": ("a basket near the stove", "soft white fur", "warm milk", 2),
    "puppy": ("a little house behind the barn", "floppy ears", "biscuits", 2),
    "badger": ("a deep house under the hill", "a striped face", "mushroom pie", 1),
    "otter": ("a house beside the river", "sleek brown fur", "fish cakes", 2),
    "sparrow": ("a nest in the old apple tree", "small brown wings", "seeds", 1),
    "goat": ("a shed on the mountain", "two little horns", "sweet hay", 1),
    "lamb": ("a field beside the mill", "curly white wool", "clover", 1),
    "mole": ("a tunnel under the garden", "fur as soft as velvet", "turnip stew", 1),
    "beaver": ("a lodge in the middle of the river", "two strong front teeth", "plum cake", 1),
    "pig": ("a cosy pen on the farm", "a round pink nose", "pears", 1),
    "pony": ("a stable behind the school", "a long silky mane", "sugar lumps", 1),
    "snail": ("a pot in the garden", "a shell like a curled ribbon", "green leaves", 1),
    "elephant": ("a grassy valley", "very large ears", "bananas", 1),
    "dragon": ("a cave on top of a mountain", "green scales and small wings", "toast", 2),
    "robot": ("a workshop full of clocks", "a shiny round head", "pancakes", 2),
    "girl": ("a small house with a blue door", "two long braids", "pancakes", 6),
    "boy": ("a small house with a red roof", "messy brown hair", "pancakes", 6),
}

TRAITS = """kind curious brave shy cheerful gentle clever quiet lively careful stubborn dreamy
friendly playful patient proud lonely sleepy bold merry thoughtful""".split()

LANDS = [
    "a small village by the sea", "a green valley", "a quiet forest", "a town full of tall houses",
    "a village between two hills", "a land of rivers and meadows", "a little town near the woods",
    "a village where everyone knew everyone", "the middle of a great forest",
    "a village at the foot of a mountain", "a farm at the end of a long road",
]

HOBBIES = [
    "collecting smooth stones", "singing to the birds", "drawing pictures in the sand",
    "watching the clouds", "jumping over puddles", "counting the stars", "telling jokes",
    "baking small cakes", "climbing trees", "listening to old stories", "picking wild flowers",
    "building towers out of sticks", "dancing in the rain", "asking questions", "looking at maps",
    "making paper boats", "playing hide and seek", "rolling down the hill", "reading by the window",
]

# Elders: (name, pronouns, what they are like)
ELDERS = [
    ("Old Owl", HE, "who had read every book in the woods"),
    ("Grandma Bear", SHE, "who always had a kettle on the fire"),
    ("Mrs. Goose", SHE, "who knew all the news"),
    ("Mr. Badger", HE, "who was a little grumpy but very wise"),
    ("Grandpa Toad", HE, "who had seen a hundred summers"),
    ("Aunt Rose", SHE, "who grew the best roses in the village"),
    ("the baker", HE, "who was always covered in flour"),
    ("the old miller", HE, "who had a long white beard"),
    ("the fisherman", HE, "who knew the water well"),
    ("Granny Hen", SHE, "who was knitting a long scarf"),
    ("the wise old tortoise", HE, "who never hurried"),
    ("the shepherd", SHE, "who knew every path on the hills"),
]

PARENTS = [("mother", SHE), ("father", HE), ("grandmother", SHE), ("grandfather", HE)]

COLOURS = "red blue yellow green white golden purple orange silver".split()

PLACES = [
    "the forest", "the meadow", "the river", "the hill", "the garden", "the pond", "the market",
    "the beach", "the barn", "the old mill", "the lake", "the orchard", "the wooden bridge",
    "the village square", "the field of sunflowers", "the stream",
]

TOYS = [
    "kite", "ball", "scarf", "hat", "whistle", "wooden boat", "drum", "teddy bear", "bell",
    "button", "toy train", "blanket", "ribbon", "marble", "music box", "mitten", "umbrella",
    "lantern", "paintbrush", "book",
]

# Where a lost thing turns up: (where, how it got there)
SPOTS = [
    ("under the old bench", "The wind must have blown it there"),
    ("in a nest at the top of a tree", "A magpie had carried it away"),
    ("behind the flower pots", "It had rolled there all by itself"),
    ("in the tall grass", "It must have fallen out of the basket"),
    ("on the roof of the shed", "A strong wind had lifted it up there"),
    ("at the bottom of the wheelbarrow", "Somebody had packed it by mistake"),
    ("between two rocks by the stream", "The water had carried it along"),
    ("inside a hollow log", "A squirrel had thought it was a nut"),
    ("under a pile of yellow leaves", "The leaves had fallen on it in the night"),
    ("in the pocket of an old coat", "It had been there the whole time"),
    ("under the bed", "It had never left the house at all"),
    ("beside the well", "It had slipped out on the way to get water"),
]

# Something to make: (what, what is missing, who uses it, what it is for)
CRAFTS = [
    ("a honey cake", "honey", "cake"), ("a big pot of soup", "salt", "soup"),
    ("an apple pie", "apples", "pie"), ("a paper kite", "string", "kite"),
    ("a little wooden boat", "cloth", "boat"), ("a warm quilt", "thread", "quilt"),
    ("a crown of flowers", "daisies", "crown"), ("a bird house", "nails", "bird house"),
    ("a plum cake", "sugar", "cake"), ("a garland of paper stars", "glue", "garland"),
    ("a swing", "rope", "swing"), ("a flute", "reed", "flute"),
]

TREATS = [
    "a warm loaf of bread", "a basket of strawberries", "a bag of nuts", "a big red apple",
    "a slice of cherry pie", "a jar of honey", "a plate of cookies", "a pot of plum jam",
    "a sweet yellow pear", "a honey bun", "a bowl of raspberries", "a ginger cake",
]

# A small creature in trouble: (who, trouble, tool, how the tool helps)
TROUBLES = [
    ("a baby bird", "had fallen out of its nest", "a ladder", "climbed up and put it gently back into the nest"),
    ("a tiny ant", "was floating on a leaf in the middle of the pond", "a long stick",
     "held it out over the water until the ant could climb on"),
    ("a bee", "was stuck in a sticky puddle of jam", "a blade of grass", "lifted it out and washed its wings with a drop of water"),
    ("a small fish", "was trapped in a pool that was drying out", "a bucket", "filled it with water and carried the fish back to the river"),
    ("a butterfly", "was caught in a thorny bush", "a leaf", "bent the thorns aside and let it crawl free"),
    ("a beetle", "was lying on its back and could not turn over", "a twig", "held it still while the beetle pulled itself up"),
    ("a little lamb", "was stuck in deep mud", "a strong rope", "pulled and pulled until the lamb came out with a pop"),
    ("a duckling", "could not find its way out of the reeds", "a bell", "rang it so that the duckling could follow the sound"),
    ("a baby mouse", "was sitting at the bottom of a deep hole", "a rope made of grass", "let it down and pulled the mouse up bit by bit"),
    ("a young bat", "was tangled in an old net", "a pair of scissors", "cut the threads one after another"),
]

# Fears: (of what, thing, first step, discovery)
FEARS = [
    ("the dark", "the night", "lit a small candle and sat by the window", "the dark was full of tiny stars"),
    ("thunder", "the storm", "counted slowly between the flash and the boom", "the thunder was only the sky clearing its throat"),
    ("deep water", "the lake", "put one toe into the water", "the water was holding {him} up like a soft bed"),
    ("high places", "the hill", "climbed just as far as the first stone", "from up there the whole world looked like a painting"),
    ("the big dog next door", "the dog", "said a very quiet hello over the fence", "the dog had only wanted somebody to play with"),
    ("speaking in front of others", "the stage", "sang one line to the mirror", "everyone was smiling and nobody laughed"),
    ("the old house at the end of the road", "the house", "walked as far as the gate", "an old lady lived there who baked cookies"),
    ("the first day of school", "the school", "peeked through the window", "there was an empty chair with {his} name on it"),
    ("snow", "the snow", "touched one snowflake with the tip of {his} nose", "the snow was as soft as a pillow"),
    ("the wooden bridge", "the bridge", "took one small step, and then another", "the bridge did not even creak"),
]

# Noises in the night: (noise, guess, truth)
NOISES = [
    ("tap, tap, tap", "a ghost", "a branch that was knocking on the window"),
    ("whoo, whoo", "a monster", "a baby owl that could not sleep"),
    ("scratch, scratch", "a thief", "a hungry hedgehog looking for crumbs"),
    ("drip, drip, drip", "a giant crying", "a hole in the roof where the rain came in"),
    ("bump, bump", "a troll", "a lost apple rolling down the stairs"),
    ("creak, creak", "a witch", "the garden gate swinging in the wind"),
    ("hum, hum, hum", "a strange machine", "a beetle singing to the moon"),
    ("sniff, sniff", "a wolf", "a little puppy that had lost its way"),
]

# Skills: (to do, doing, what goes wrong, who can)
SKILLS = [
    ("whistle", "whistling", "only air came out", "a tune as clear as a bell"),
    ("swim", "swimming", "a lot of water went up the wrong way", "three whole turns around the pond"),
    ("ride a bicycle", "riding a bicycle", "the wheels wobbled and tipped over", "all the way to the mill and back"),
    ("bake bread", "baking bread", "the bread came out as hard as a stone", "a loaf so light that it almost floated"),
    ("skate", "skating on the ice", "both feet flew up into the air", "a perfect circle on the ice"),
    ("juggle", "juggling", "the balls fell on the floor one by one", "three balls at once, and then four"),
    ("play the violin", "playing the violin", "it sounded like a cat with a cold", "a song that made the birds go quiet"),
    ("read", "reading a book", "the letters seemed to jump about", "a whole page without stopping"),
    ("tie a bow", "tying a bow", "the string turned into a big knot", "a bow with two even loops"),
    ("dance", "dancing", "the steps got mixed up", "a whole dance from beginning to end"),
]

# Plants: (seed, plant, what comes of it)
PLANTS = [
    ("a tiny black seed", "a sunflower", "tall and golden, with a face like the sun"),
    ("a round brown seed", "a pumpkin", "so big that it took three friends to carry it"),
    ("an acorn", "a little oak tree", "with five green leaves"),
    ("a flat white seed", "a melon", "as sweet as sugar"),
    ("a wrinkled bean", "a bean plant", "that climbed all the way to the roof"),
    ("a small grey seed", "a rose", "as red as the evening sky"),
    ("a cherry stone", "a cherry tree", "that was covered with white flowers"),
]

# Wishes: (wish, what goes wrong, sad sight)
WISHES = [
    ("it would never rain again", "the stream dried up and the flowers hung their heads", "the thirsty garden"),
    ("everything {he} touched would turn to cake", "even the pillow was made of cake, and {he} could not sleep", "the sticky bed"),
    ("{he} was as tall as a tower", "{he} could not fit through {his} own front door", "the tiny house far below"),
    ("it would be night forever", "the roosters got confused and nobody knew when to get up", "the sleepy village"),
    ("all the toys in the world were {his}", "there was nobody left to play with", "the big lonely pile of toys"),
    ("nobody could ever see {him}", "not even {his} best friend could find {him}", "the empty place at the table"),
    ("every day was a birthday", "the presents grew boring and the cake tasted like dust", "the tired party guests"),
    ("it was always winter", "the birds flew away and the ponds were hard as stone", "the empty nests"),
]

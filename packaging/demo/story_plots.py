"""The plots of the demo stories.

A plot is a list of beats.  A beat is a tuple of templates, of which one is
told; a number before them is the probability that the beat is told at all,
and PARAGRAPH starts a new paragraph.  In a template [a|b] chooses, and {slot}
inserts a word of the story: {n} is the hero's name, {f} the friend's, {e} the
elder's, {he} {him} {his} the hero's pronouns, {fhe}... the friend's,
{ehe}... the elder's and {phe}... the parent's.
"""

import story_words as w

PARAGRAPH = None


def lost(r, s):
    thing, (spot, reason) = r.choice(w.TOYS), r.choice(w.SPOTS)
    s.update(thing=thing, spot=spot, reason=reason, colour=r.choice(w.COLOURS))
    s.update(about=f"a lost {thing}", topic=thing)
    return [
        ("{n} had a {colour} {thing} that [{he} loved very much|{he} took everywhere|{his} {parent} had made for {him}].",
         "[The best thing {n} owned was|Of all {his} things, {n} liked best] a {colour} {thing}. [{he} never went out without it.|{his} {parent} had given it to {him}.|It had been a birthday present.]"),
        ("[One morning|One day|One windy afternoon], [the {thing} was gone|{he} could not find the {thing} anywhere|{n} looked for the {thing}, but it was not there].",
         "[But one day|Then one morning], the {thing} was not in its place. {n} looked [again and again|twice, and then a third time], but it was gone."),
        (0.7, "{n} looked under the [table|chair|bed], behind the [door|curtain|stove] and even inside the [teapot|kettle|flour jar]. [No {thing}.|There was nothing but dust.|There was no {thing} to be seen.]",
         "{he} felt a [lump in {his} throat|small cold stone in {his} tummy]. [Where could it be?|A {thing} cannot walk away by itself!]",
         "\"Oh no,\" said {n}. \"[My {thing}! Where can it be?|I had it yesterday. I am sure of it.]\""),
        PARAGRAPH,
        ("{n} went to {place} and asked {f} the {fkind}. \"[Have you seen my {thing}?|Did you see a {colour} {thing}?]\" {he} asked. \"[No, but I will help you look|I have not, but four eyes are better than two|Not today, but let us look together],\" said {f}.",
         "On the way to {place}, {he} met {f} the {fkind}. \"Why do you look so sad?\" asked {f}. \"I lost my {thing},\" said {n}. \"[Then we will find it together|Do not cry, I am good at finding things|Let us look for it],\" said {f}."),
        (0.7, "[They looked in {place}|They searched all over {place}], and they looked [near {place2}|by {place2}]. They found [a rusty spoon|an old shoe|two feathers|a blue button|a very surprised worm], but no {thing}.",
         "First they looked in {place}. Then they walked to {place2}. [\"Not here,\" said {f}. \"Not here,\" said {n}.|They asked everyone they met, but nobody had seen it.]"),
        (0.5, "At last they asked {e}, {eknown}. \"[Think back|Close your eyes and think],\" said {e}. \"[Where were you when you last had it?|What did you do yesterday?]\" {n} thought and thought.",
         "{n} sat down and wanted to give up. \"[One more place|Let us try one more time],\" said {f}. \"[Lost things are always in the last place you look.|We must not stop now.]\""),
        ("And then {n} saw something {colour} {spot}. [It was the {thing}!|There it was, the {colour} {thing}!] {reason}.",
         "Suddenly {f} [gave a shout|began to jump up and down]. \"[Look|Come quickly]! Something {colour}!\" There, {spot}, was the {thing}. {reason}."),
        PARAGRAPH,
        ("{n} hugged the {thing}, and then {he} hugged {f}. \"Thank you,\" {he} said. \"[I could not have found it alone.|You are a true friend.]\"",
         "{n} laughed out loud. \"[You helped me when I was sad|You never gave up],\" {he} said to {f}. \"[Now we can play together|Tomorrow the {thing} is yours to play with].\""),
        ("From that day on, {n} [always put the {thing} back in its place|let {f} play with the {thing} too|took better care of {his} things].",
         "{n} still [loved the {thing}|liked the {thing} very much], but [{he} knew that a good friend is worth more|{he} loved {his} new friend even more].",
         "That evening the {thing} was [back where it belonged|safe at home], and {n} [fell asleep with a smile|slept very well]."),
    ]


def rescue(r, s):
    who, trouble, tool, how = r.choice(w.TROUBLES)
    small = who.split()[-1]
    s.update(who=who, small=small, trouble=trouble, tool=tool, thetool="the " + tool.split(" ", 1)[1], how=how)
    if tool.startswith("a pair"):
        s["thetool"] = "the scissors"
    s.update(about=f"helping {who}", topic=small)
    return [
        ("[One day|One morning|One warm afternoon], {n} was walking [near|past] {place} when {he} heard a [small|thin|sad] voice. \"[Help|Please help me]!\" [it called|it cried].",
         "[One day|One quiet morning], {n} was on the way to {place}. [{he} was humming a song.|{he} was thinking about {food}.] Suddenly {he} heard somebody crying."),
        ("{n} looked [around|left and right] and saw {who} that {trouble}.",
         "It was {who}. The poor thing {trouble}."),
        (0.6, "\"[Do not be afraid|Do not worry|Stay calm, little {small}],\" said {n}. \"[I will help you.|I am here now.]\"",
         "\"[I am too small to get out of this alone|I have been here all morning],\" [said|sighed] the {small}. \"[Nobody hears me|Everybody walks past].\""),
        (0.5, "At first {n} tried to help with {his} [bare hands|own two hands], but [it did not work|it was no use].",
         "{n} was [in a hurry|a little scared], but {he} could not leave the {small} alone.",
         "A {fkind} named {f} came by and shook {fhis} head. \"[That is too hard for you|You are too small to help],\" said {f}. But {n} did not listen."),
        PARAGRAPH,
        ("{n} [thought hard|thought for a moment]. Then {he} had an idea. {he} ran [home|to {place2}] and came back with {tool}.",
         "\"I need {tool},\" said {n}. {he} ran to {e}, {eknown}, and asked for one. \"[Of course|Take it],\" said {e}, \"[and be careful|and good luck].\""),
        ("{n} took {thetool} and {how}.",
         "[Very slowly|Very carefully], {he} took {thetool} and {how}."),
        ("\"[Thank you, thank you|Oh, thank you]!\" [cried|said] the {small}. \"[You saved me|I will never forget this]. [One day I will help you too.|How can I thank you?]\"",
         "The {small} was [safe at last|free]. It [laughed|danced with joy] and said, \"[You have a good heart, {n}|You are my hero, {n}].\""),
        PARAGRAPH,
        (0.55, "{n} smiled. {he} did not think that [such a small {small} could ever help {him}|{he} would ever need help]. But [a week later|the next day|when autumn came], {n} got lost in the fog near {place2}. Who came to show {him} the way? It was the {small}!",
         "A few days later, {n} lost {his} way in the dark. [{he} was cold and tired.|{he} sat down and did not know what to do.] Then {he} heard a voice that {he} knew. \"[Follow me|This way],\" said the {small}, and it led {him} home.",
         "The next morning there was a [flower|shiny stone|ripe strawberry] in front of {his} door. It was a present from the {small}."),
        ("[Since that day|From then on], {n} and the {small} were [the best of friends|good friends], and they [met every day|often played together] near {place}.",
         "{n} learned that [nobody is too small to be a friend|a kind deed always comes back|even a little help can be very big]."),
    ]


def fear(r, s):
    what, thing, step, found = r.choice(w.FEARS)
    s.update(what=what, thing=thing, step=step, found=found, about=f"being afraid of {what}", topic=what)
    return [
        ("{n} was [brave about many things|not afraid of spiders|not afraid of mud or cold], but {he} was afraid of {what}.",
         "There was only one problem. {n} was [very|terribly|a little bit] afraid of {what}.",
         "{n} had a secret. {he} was afraid of {what}, and {he} [had never told anyone|did not want anyone to know]."),
        (0.7, "When the others [laughed and played|had fun], {n} [stayed at home|hid behind {his} {parent}|made up excuses]. \"[I have a cold|I am too tired|Maybe tomorrow],\" {he} always said.",
         "Just thinking about it made {his} knees [shake|feel like pudding].",
         "[Every time|Whenever {he} thought of it], {his} heart went boom, boom, boom."),
        PARAGRAPH,
        ("One day {f} the {fkind} asked, \"[What is wrong, {n}|Why do you never come with us]?\" {n} looked at the ground. \"I am afraid of {what},\" {he} [whispered|said very quietly].",
         "[One evening|One day], {n} told {e}, {eknown}. \"[I am afraid of {what}|I wish I were not afraid of {what}],\" said {n}. \"[Everyone will laugh at me|Am I silly]?\""),
        ("\"[Everybody is afraid of something|That is nothing to be ashamed of],\" came the answer. \"[When I was little, I was afraid of butterflies|I am afraid of geese, but do not tell anyone]. [You only have to be brave for one small step|Being brave means being afraid and trying anyway].\"",
         "Nobody laughed. \"[Big fears are made of little fears|A fear gets smaller when you look at it],\" was the answer. \"[Start with one small step|Just try a little bit today, and a little bit more tomorrow].\""),
        ("So {n} took a deep breath. {he} {step}. [Nothing bad happened.|It was not so bad.|{his} heart was beating fast, but {he} did it.]",
         "The next day, {n} tried. {he} {step}. \"[That was enough for today|I did it],\" {he} said, and {he} [was a little proud|felt a little taller]."),
        (0.6, "The day after that, {he} tried again, [and it was easier|and stayed a little longer]. [Day by day|Little by little], the fear grew smaller.",
         "{he} wanted to run away, but {he} [counted to ten|held {his} breath|sang a little song] and stayed."),
        PARAGRAPH,
        ("[And then {n} noticed something|Then, one day, {n} found out something wonderful]: {found}!",
         "In the end {n} [opened {his} eyes wide|looked around]. {he} could hardly believe it: {found}."),
        ("\"[I am not afraid any more|Look at me]!\" [cried|called] {n}. [Everyone clapped.|{his} {parent} gave {him} a big hug.|{he} laughed so loudly that the birds flew up.]",
         "{n} [laughed|smiled]. [\"Why did I wait so long?\" {he} said.|\"So that was all!\" {he} said.]"),
        ("[Now|Since then], when {n} meets somebody who is afraid, {he} says, \"[One small step is enough|Come, I will hold your hand].\"",
         "{n} learned that [being brave does not mean having no fear|courage comes one small step at a time|things are often less scary when you look at them closely].",
         "That night {n} slept [deeply|soundly], and {he} dreamed of [tomorrow|all the things {he} would try next]."),
    ]


def craft(r, s):
    what, missing, noun = r.choice(w.CRAFTS)
    s.update(what=what, missing=missing, noun=noun, about=f"making {what}", topic=noun)
    return [
        ("It was almost {f}'s birthday. {f} was a {fkind} and the best friend {n} had. \"I will make {what} for {f},\" {n} [decided|said to {himself}].",
         "[One day|One morning], {n} wanted to make {what}. \"[It will be a surprise for my friend {f}|It is for {f}, who has been sick all week],\" {he} said. {f} was a {fkind} who lived near {place}."),
        (0.6, "{he} put on an apron, [rolled up {his} sleeves|washed {his} hands] and began.",
         "{he} worked all morning. {he} [hummed|sang] while {he} worked, and {his} {parent} [smiled|listened at the door].",
         "{n} had never made {what} before, but {he} was not worried. \"How hard can it be?\" {he} said."),
        ("But then {he} saw that something was missing. There was no {missing}! [Without it, the {noun} would never be finished.|{n} looked everywhere, but there was none in the house.]",
         "\"Oh dear,\" said {n}. \"I have everything but {missing}. [What shall I do now?|Where can I get that today?]\""),
        PARAGRAPH,
        ("{n} went to {e}, {eknown}. \"[Do you have {missing} for me|Could you lend me {missing}]?\" {n} asked. \"[Yes|Certainly],\" said {e}, \"but first you must help me [carry this wood|find my glasses|sweep the floor|water my plants].\" So {n} helped, and it [did not take long|was fun].",
         "{n} ran all the way to {place2} and asked {e}, {eknown}. \"[I have just what you need|You are lucky today],\" said {e}. \"[Take it, and save me a piece of your story|Good work needs good {missing}].\""),
        (0.5, "On the way home it [began to rain|grew windy], but {n} held {his} bag tight and [ran|did not let go].",
         "{n} carried everything home very carefully, step by step.",
         "{n} said thank you three times and hurried home."),
        ("At last the {noun} was ready. It was a little [crooked|lopsided|funny], but [{n} had made it with love|it was beautiful all the same|{n} was proud of it].",
         "By evening the {noun} was finished. [It was perfect.|It was not perfect, but it was almost perfect.]"),
        PARAGRAPH,
        ("When {f} saw it, {fhis} eyes grew wide. \"[Is that for me|You made this for me]?\" {fhe} asked. \"[It is the best present of all|Nobody has ever made me such a fine {noun}]!\"",
         "{f} [jumped up and down|clapped {fhis} hands|could not speak for joy]. \"[What a wonderful {noun}|I love it]!\" {fhe} said."),
        ("They [sat together|laughed together] until [the stars came out|the moon was high], and {e} came too.",
         "[That was the happiest day of the year.|And so a small surprise made a very big day.]",
         "{n} was [tired but happy|very happy]. [Making something for a friend|Giving something away] felt even better than getting a present."),
    ]


def share(r, s):
    treat = r.choice(w.TREATS)
    noun = treat.split(" of ")[-1].split()[-1]
    s.update(treat=treat, thetreat="the " + noun, about="learning to share", topic=noun)
    s["it"], s["was"] = ("them", "were") if noun.endswith("s") else ("it", "was")
    return [
        ("[One day|One sunny day|One morning], {n} got {treat} from {e}. [It smelled wonderful.|It looked delicious.]",
         "[One day|One cold morning], {e}, {eknown}, gave {n} {treat}. \"[This is for you, because you helped me|Enjoy it],\" said {e}."),
        ("{n} [carried {thetreat} to {place}|sat down by {place}], where nobody could see {him}. \"[All for me|Mine, all mine],\" {he} [whispered|thought].",
         "{n} [wanted to eat everything alone|did not want to give any of it away], so {he} hid in {place}."),
        PARAGRAPH,
        ("Just then {f} the {fkind} came by. \"[That smells good|What do you have there]?\" said {f}. {n} put {thetreat} behind {his} back. \"[Nothing|Nothing at all],\" {he} said.",
         "But {f} the {fkind} [found {him}|came along the path]. {f} looked thin and tired. \"[I have not eaten since yesterday|I am so hungry],\" said {f}. {n} [looked away|pretended not to hear]."),
        ("{f} [nodded and walked away slowly|said nothing and went away with {fhis} head down].",
         "\"[I see|All right],\" said {f} [sadly|quietly], and {fhe} walked away."),
        ("{n} took a bite. But [something was wrong. {thetreat} did not taste as good as {he} had hoped|it did not taste as sweet as before]. {he} kept thinking of {f}.",
         "Now {n} was alone with {thetreat}. [But {he} was not happy.|It was very quiet.] {he} could not swallow. \"[I have so much, and {f} has nothing|What kind of friend am I],\" {he} thought."),
        PARAGRAPH,
        ("{n} jumped up and ran after {f}. \"Wait!\" {he} called. \"[I was not honest. I do have something, and half of it is for you|Please come back and eat with me. I am sorry].\"",
         "So {n} went to look for {f}, and {he} found {fhim} near {place2}. \"I am sorry,\" said {n}. \"[There is enough for both of us|Let us share].\""),
        ("{f} smiled, and they sat down [side by side|under a tree]. They shared {thetreat}, [and there was even a crumb left for the ants|half for {n} and half for {f}]. [It was the best meal {n} ever had.|Now everything tasted wonderful.]",
         "They ate together and told each other [jokes|stories]. [The food was gone very soon, but the laughter was not.|{n} had never enjoyed a meal so much.]"),
        (0.6, "The next week, {f} found a [big melon|whole bush of berries|basket of plums]. And who do you think was the first to get some? {n}, of course!",
         "{e} saw them from far away and smiled."),
        ("{n} learned that [food tastes better with a friend|what we share grows bigger, not smaller|sharing makes two people happy].",
         "From that day on, {n} always [shared {his} treats|cut everything into two halves]."),
    ]


def race(r, s):
    rival = r.choice(["proud", "fast", "loud", "boastful"])
    kind = r.choice([k for k in ("hare", "cat", "horse", "goose", "deer", "rooster") ])
    prize = r.choice(["a golden cup", "a big pumpkin", "a blue ribbon", "a crown of leaves", "a basket of apples"])
    s.update(rivaladj=rival, rival=kind, prize=prize, theprize="the " + prize.split(" ", 1)[1].split(" of ")[0])
    s.update(goal=r.choice(["the big oak", "the old mill", "the end of the lake", "the church tower", "the red barn"]))
    s.update(about="a great race", topic="race")
    return [
        ("[Every summer|Once a year], there was a great race from {place} to {goal}. The winner got {prize}.",
         "One day, a sign hung on the big tree. \"Race on Sunday!\" it said. \"From {place} to {goal}. The winner gets {prize}.\""),
        ("{n} wanted to run too. \"You?\" laughed the {rivaladj} {rival}. \"[You are much too slow|Your legs are too short|You will still be running at Christmas]!\"",
         "The {rivaladj} {rival} was sure to win. \"[Nobody is faster than me|I could win with my eyes closed],\" said the {rival}. {n} [said nothing|only smiled] and wrote {his} name on the list."),
        (0.7, "{n} was a little sad, but {f} the {fkind} said, \"[Do not listen|Never mind]. [Run your own race|Just do your best], and I will cheer for you.\"",
         "Every day {n} practised with {f} the {fkind}. [They ran in the morning and they ran in the evening.|First {he} was slow. Then {he} was a little less slow.]"),
        PARAGRAPH,
        ("On the day of the race, everyone came to watch. \"Ready, steady, go!\" called {e}, and [they ran|off they went]. The {rival} was [soon far ahead|as fast as the wind]. {n} was last.",
         "Sunday came. {e} rang a bell, and the runners [flew off|started]. The {rival} shot forward like an arrow, and {n} [came last|was far behind]."),
        ("But near {place2}, the {rival} [tripped over a root|slipped in the mud|stepped on a thorn]. \"Ouch! My foot!\" cried the {rival}. The others [ran past|did not stop].",
         "Halfway, {n} saw the {rival} sitting [in a ditch|by the path]. \"[I have hurt my leg|I cannot walk],\" said the {rival}. All the others had run past."),
        ("{n} could have [run on|kept running]. But {he} stopped. \"[Lean on me|Put your arm around me],\" {he} said. \"[We will go together.|I will help you.]\"",
         "{n} looked at {goal}, and {he} looked at the {rival}. Then {he} [stopped|turned around]. \"[Winning is not everything|A race can wait],\" {he} said, \"[let me help you|come, hold on to me].\""),
        PARAGRAPH,
        ("Together they came to {goal}, [step by step|slowly but surely], long after the others. But [how the people cheered|everybody stood up and clapped]!",
         "They were the last of all. But when they came to {goal}, [the whole crowd clapped and cheered|nobody laughed. Everybody cheered]."),
        ("\"The fastest runner gets {prize},\" said {e}. \"But {n} gets something better. [Today {he} won all our hearts|{he} showed us what a real winner is].\"",
         "\"I am sorry that I laughed at you,\" said the {rival}. \"[You are slow, but you have a big heart|You are the real winner].\" And from that day on they [ran together|were friends]."),
        ("{n} did not win {theprize}, but {he} won [a friend|a new friend], [and that was much better|and that lasts longer].",
         "{n} learned that [being kind is better than being first|there is more than one way to win]."),
    ]


def noise(r, s):
    sound, guess, truth = r.choice(w.NOISES)
    guessnoun = guess.removeprefix("a ").removeprefix("strange ").split()[0]
    s.update(sound=sound, guess=guess, guessnoun=guessnoun, truth=truth, about="a strange noise in the night", topic="noise in the night")
    return [
        ("One [dark|stormy|cold|quiet] night, {n} lay in bed and could not sleep. [The moon was behind the clouds.|The wind was blowing around the house.]",
         "It was the middle of the night. [Everyone was asleep.|Even the clock seemed to be asleep.] Only {n} was awake."),
        ("Then {he} heard it. {sound}! [What was that|What could it be]?",
         "Suddenly there was a noise. {sound}! {n} sat up. [There it was again|It did not stop]. {sound}!"),
        ("{n} pulled the blanket over {his} [head|nose]. \"[It is {guess}|It must be {guess}]!\" {he} thought.",
         "\"[What if it is {guess}|I am sure that it is {guess}]?\" {n} [whispered|thought], and {his} heart began to beat fast."),
        PARAGRAPH,
        ("{he} [ran|crept|tiptoed] to {f} the {fkind}, who was staying for the night. \"Wake up!\" {n} whispered. \"There is {guess} in the house!\" \"[Nonsense,|Really?|A what?|Let me sleep,]\" said {f} with a yawn. \"[Let us go and see.|We should look.]\"",
         "But {n} was also curious. [\"I will just take one look,\" {he} said.|\"I cannot hide forever,\" {he} told {himself}.] {he} took [a candle|a lamp|a wooden spoon] and got up."),
        (0.6, "[Slowly, very slowly,|Step by step,] {he} went down the stairs. The floor was cold, and the shadows were long.",
         "{his} [hands were shaking|knees were weak], but {he} went on.",
         "The noise became louder and louder. {sound}! It came from [behind the door|the kitchen|outside]."),
        ("{n} [counted to three|took a deep breath] and opened the door. And what did {he} see? It was not {guess} at all. It was only {truth}!",
         "{n} lifted the light and looked. There was no {guessnoun}. There was only {truth}."),
        PARAGRAPH,
        ("{n} began to laugh. [\"So you are my {guessnoun}!\" {he} said.|{he} laughed until {his} tummy hurt.]",
         "\"[So that is all|Oh, it is only you|You gave me a fright]!\" said {n}, and {he} [had to laugh|felt very relieved]."),
        (0.6, "In the morning, {he} told everyone about it at breakfast, and {his} {parent} laughed the most.",
         "{his} {parent} came and made [warm milk with honey|a cup of hot cocoa], and they [sat together for a while|talked until they were sleepy]."),
        ("Then {n} went back to bed and slept until [morning|the sun came up]. [And when {he} hears a noise today, {he} goes and looks.|Things are less scary when you know what they are.]",
         "Since that night, {n} is not so quick to believe in such things. [First {he} looks, and then {he} thinks.|But {he} still keeps a candle by the bed, just in case.]"),
    ]


def skill(r, s):
    do, doing, wrong, can = r.choice(w.SKILLS)
    s.update(do=do, doing=doing, wrong=wrong, can=can, about=f"learning to {do}", topic=do)
    return [
        ("More than anything, {n} wanted to learn to {do}. [All {his} friends could do it already.|{he} dreamed of it every night.]",
         "[One day|One spring morning], {n} saw {f} the {fkind} {doing}. \"[I want to learn to {do} too,|Can you teach me to {do}?|I want to be able to do that,]\" said {n}.",
         "{n} could do many things, but {he} could not {do}. [That made {him} sad.|\"That must change,\" {he} said one day.]"),
        ("The first time {he} tried, {wrong}. \"[This is too hard|I will never learn it]!\" {n} [cried|said].",
         "{he} tried, but {wrong}. {he} tried again, and it was even worse. [Somebody laughed.|{n} wanted to give up.]"),
        PARAGRAPH,
        ("Then {e} came along, {eknown}. \"[How often did you try|Did you really try]?\" asked {e}. \"[Twice|Three times],\" said {n}. {e} laughed. \"[I had to try a hundred times|Nobody learns it in one day]. [Try a little every day|Do not count the falls, count the tries].\"",
         "{his} {parent} sat down beside {him}. \"[When I was young, I could not do it either|Every master was once a beginner],\" {phe} said. \"[Try again tomorrow|A little every day, and you will see]. [I believe in you.|Do not give up.]\""),
        ("So {n} practised. {he} practised [in the morning and in the evening|before breakfast and after supper|near {place}, where nobody could see {him}]. [On Monday it went badly. On Tuesday it went a little better.|Some days were good and some days were bad.]",
         "The next day {n} tried again, and the day after that, and the day after that. [{he} did not count the days.|Sometimes {he} was angry, but {he} always came back.]"),
        (0.6, "{f} [came to help|watched] and said, \"[You are getting better|It was already better today]!\" That [gave {him} new strength|made {n} very happy].",
         "[A week went by|Two weeks went by]. {n} was tired, but {he} did not stop."),
        PARAGRAPH,
        ("And one day, all at once, it worked! {n} could {do}! {can}!",
         "Then came the [morning|day] when everything went right. {n} took a deep breath and began. {can}! {he} could really {do}."),
        ("\"[I did it|Look at me|It works]!\" {n} shouted, and [everyone cheered|{f} cheered the loudest].",
         "{f} and all the others clapped. \"[How did you do that|Who taught you that]?\" they asked. \"[I just tried one more time than I wanted to|I fell a hundred times, that is all],\" said {n}."),
        ("{n} learned that [every expert was once a beginner|if you keep trying, you get better|good things need time].",
         "And today? Today {n} teaches the little ones to {do}. \"[Just keep trying|It takes time],\" {he} tells them."),
    ]


def plant(r, s):
    seed, plant_, grown = r.choice(w.PLANTS)
    s.update(seed=seed, theseed="the " + seed.split()[-1], plant=plant_, grown=grown, about=f"planting {seed}", topic=seed.split()[-1])
    return [
        ("[One day|One spring morning], {n} found {seed} near {place}. \"[What will grow out of it|I wonder what this is]?\" {he} asked.",
         "In spring, {e}, {eknown}, gave {n} {seed}. \"[Plant it, and wait|Take good care of it],\" said {e}. \"[It is small, but there is a surprise inside.|Good things come slowly.]\""),
        ("{n} dug a little hole, put {theseed} in it and covered it with earth. Then {he} [poured some water on it|gave it some water] and sat down to wait.",
         "{n} planted {theseed} [in a pot by the window|behind the house|in the garden], gave it some water and [waited|watched]."),
        PARAGRAPH,
        ("{he} waited one hour. Nothing happened. {he} waited one day. Nothing happened. \"[Is it broken|When will it grow]?\" {n} asked.",
         "The next morning {he} ran to look. There was nothing but [earth|brown earth]. The morning after that, there was still nothing. \"[It will never grow|Maybe it is sleeping],\" said {n}."),
        (0.7, "{f} the {fkind} laughed. \"[You must sing to it|You should shout at it],\" said {f}. So {n} [sang every song {he} knew|shouted as loud as {he} could], but nothing happened.",
         "{n} wanted to dig {theseed} up and look at it, but {his} {parent} said, \"[Leave it alone|Be patient]. [It is working hard down there in the dark|Seeds do not like to be hurried].\"",
         "{f} the {fkind} said, \"[Forget it and come to play|It is only a seed].\" But {n} [watered it every day|did not forget it]."),
        ("It rained, and the sun shone, and it rained again. {n} [brought water|came] every [day|morning], even when {he} [wanted to play|was tired].",
         "So {n} learned to wait. [{he} read to {theseed}, and {he} told it about {his} day.|Every morning {he} said good morning to it, and every evening {he} said good night.]"),
        ("And one morning, there was a tiny green [leaf|tip]! \"[It is alive|Come and look]!\" cried {n}, and {he} [danced around it|ran to tell everyone].",
         "Then, after many days, something green [peeked out of the earth|looked out into the sun]. {n} [was so happy that {he} could hardly breathe|gave a shout of joy]."),
        PARAGRAPH,
        ("It grew and it grew. By the end of the summer it was {plant}, {grown}.",
         "The little plant grew [a bit every day|bigger every week]. In the end {n} had {plant}, {grown}."),
        ("\"You see,\" said {e}, \"[good things take time|patience is like water for a seed].\" And {n} nodded.",
         "{f} came and looked at it for a long time. \"[I am sorry that I laughed|It was worth the waiting],\" said {f}. \"[Can you teach me how to do that|May I have a seed too]?\"",
         "{n} kept one seed from it for the next spring. [Now {he} knew how to wait.|And {he} gave another one to {f}.]"),
    ]


def truth(r, s):
    thing = r.choice(["blue vase", "big mirror", "teapot", "flower pot", "window", "favourite cup", "clock", "china plate", "lamp"])
    s.update(thing=thing, about="telling the truth", topic=thing)
    s.update(excuse=r.choice(["the cat", "the wind", "a ghost", "a bird", "the goat"]))
    return [
        ("One [rainy day|afternoon], {n} was playing [ball|pirates|catch] in the house, although {his} {parent} had said [no|not to].",
         "One day {n} was alone at home. {he} was [dancing around|running from room to room], and {he} was not careful."),
        ("Crash! The {thing} [fell down and broke|broke into a hundred pieces]. {n} stood very still.",
         "There was a loud crash. {n} turned around slowly. There lay {his} {parent}'s {thing}, in pieces."),
        ("\"[What shall I do now|Oh no, oh no],\" {he} whispered. Quickly {he} [hid the pieces under the rug|swept the pieces behind the stove|put the pieces in a box].",
         "{n} was afraid. {he} picked up the pieces and hid them [in the garden|behind the curtain|under the bed]. \"[Nobody will notice|Nobody needs to know],\" {he} thought."),
        PARAGRAPH,
        ("In the evening {his} {parent} asked, \"Where is my {thing}?\" \"[It was {excuse}|I think it was {excuse}],\" said {n}, and {his} ears turned [red|hot].",
         "Soon {his} {parent} came home. \"[That is strange|How odd]. Who broke my {thing}?\" {phe} asked. {n} looked at the floor. \"Maybe it was {excuse},\" {he} said [quietly|in a small voice]."),
        ("That night {n} could not sleep. The lie felt like [a stone in {his} tummy|a heavy bag on {his} back]. {he} turned to the left and {he} turned to the right.",
         "At supper, {n} could not eat, not even {food}. [{his} tummy hurt.|The secret was too heavy.]"),
        (0.6, "{he} went to {f} the {fkind} and told {fhim} everything. \"[You know what you have to do|Tell the truth],\" said {f}. \"[It is like pulling out a thorn. It hurts, and then it is over.|It only hurts for a moment.]\"",
         "Then {he} thought of what {e} once said: \"[A lie is a very bad pillow|The truth is light, but a lie is heavy].\""),
        PARAGRAPH,
        ("At last {n} went to {his} {parent}. \"It was not {excuse},\" {he} said, and the tears ran down {his} face. \"It was me. I broke the {thing}, [and I am so sorry|and then I told a lie].\"",
         "So {n} got up and knocked on the door. \"I have to tell you something,\" {he} said. \"I broke the {thing}. [I was afraid that you would be angry|I should have told you at once].\""),
        ("{his} {parent} was quiet for a moment. Then {phe} took {n} in {phis} arms. \"[A {thing} can be mended|It was only a {thing}],\" {phe} said. \"[I am glad that you told me the truth|The truth is worth much more to me].\"",
         "{his} {parent} nodded. \"[I knew it already|I saw it in your eyes],\" {phe} said. \"[But I wanted to hear it from you|It was brave to tell me].\" And {phe} [kissed {him} good night|gave {him} a hug]."),
        ("The next day they [glued the pieces together|mended it together]. The {thing} was a little crooked now, but {n} [liked it even better|thought it was beautiful].",
         "{n} felt as light as a feather. [That night {he} slept well.|{he} never told a lie about it again.]",
         "{n} learned that [it is brave to tell the truth|the truth makes the heart light]."),
    ]


def wish(r, s):
    what, bad, sight = r.choice(w.WISHES)
    giver = r.choice(["a golden fish", "a tiny fairy", "a falling star", "an old wishing well", "a talking stone", "a friendly ghost"])
    s.update(what=what, bad=bad, sight=sight, giver=giver, thegiver="the " + giver.split(" ", 1)[1])
    s.update(about=f"a wish and {giver}", topic="wish")
    return [
        ("[One night|One evening], near {place}, {n} met {giver}. \"[You may make one wish|You have a good heart, so you get one wish],\" said {thegiver}.",
         "One day {n} found {giver} near {place}. \"[I can make one wish come true|Make a wish],\" it said. \"[But think about it well|Be careful what you wish for].\""),
        ("{n} did not think for long. \"I wish that {what}!\" {he} said. [There was a flash of light|The air sparkled], and it was done.",
         "\"Oh, that is easy,\" said {n}. \"I wish that {what}.\" \"[As you like|So be it],\" said {thegiver}."),
        PARAGRAPH,
        ("At first it was wonderful. {n} [laughed|danced] all day long. \"[This is the best wish in the world|I am the luckiest {kind} alive],\" {he} said.",
         "The first day was [fun|great fun]. [The second day was still nice.|{n} ran to {f} the {fkind} and told {fhim} all about it.]"),
        ("But soon {bad}.", "But after a few days, {bad}. [That was not what {n} had wanted.|{n} had not thought of that.]"),
        (0.7, "\"[Did you do this|Is this your wish]?\" asked {f} the {fkind}. \"[Nobody likes it|We are all so sad].\" {n} turned red.",
         "{e}, {eknown}, shook {ehis} head. \"[Every wish has two sides|A wish for one should not be a worry for all],\" said {e}."),
        ("{n} looked at {sight}, and {his} heart grew heavy. \"[What have I done|I want everything to be as it was],\" {he} said.",
         "When {n} saw {sight}, {he} began to cry. \"[I was foolish|I did not think of the others],\" {he} said."),
        PARAGRAPH,
        ("{he} ran back to {thegiver}. \"Please,\" {he} [begged|said], \"[take the wish back|make everything the way it was before].\" \"[Are you sure|You will not get another one],\" said {thegiver}. \"[Yes, I am sure|I do not need another one],\" said {n}.",
         "So {n} went to look for {thegiver}. [It took all day.|The way was long.] \"[I was wrong|I am sorry]. Please undo my wish,\" {n} said. {thegiver} [smiled|seemed to smile]. \"[I hoped that you would come|Now you are wiser],\" it said."),
        ("In the morning, everything was [as it had always been|back to normal]. {n} had never been so happy about [an ordinary day|such a plain day].",
         "And just like that, all was well again. {n} [ran outside and hugged everyone|sat down next to {f} and was happy]."),
        ("{n} learned that [it is good to think before you wish|the things we have are often better than the things we wish for|a wish should make others happy too].",
         "Since then, {n} makes only small wishes, like [{food} for supper|a sunny Sunday|a good story before bed]. [They come true quite often.|And that is enough.]"),
    ]


def newcomer(r, s):
    s.update(about="a new friend", topic="new friend")
    s.update(love=r.choice(w.HOBBIES))
    return [
        ("[One day|One autumn day], a new family moved into the house near {place}. With them came a {fkind} named {f}.",
         "[One morning|One day], somebody new came to {place}. It was a {fkind} named {f}. {f} did not know anyone there."),
        ("{f} was very shy. {fhe} [stood behind a tree and watched the others|sat alone and looked at {fhis} feet]. [Nobody asked {fhim} to play.|The others did not even see {fhim}.]",
         "\"[Who is that|Look at that one],\" whispered the others. \"[{f} never says a word|What a strange {fkind}].\" And they went on playing without {fhim}."),
        (0.6, "{n} remembered how it felt to be alone. [It was like being very small in a very big room.|It was not a nice feeling.]",
         "{n} was a bit shy too. [What if {f} did not want to talk?|What should {he} say?]",
         "\"Somebody should say hello,\" thought {n}. \"[Why not me|But who]?\""),
        PARAGRAPH,
        ("So {n} went over. \"Hello, I am {n},\" {he} said. \"[What is your name|Do you want to play with me]?\" {f} [did not answer|only shook {fhis} head] and ran away.",
         "{n} took [some {food}|a flower|a picture {he} had made] and put it in front of {f}'s door. Then {he} knocked and hid behind the fence. [The door opened, and {f} smiled a little.|{f} came out, looked around and smiled.]"),
        ("The next day, {n} saw that {f} was {love}. \"[I love that too|That is my favourite thing]!\" called {n}. {f} looked up. \"[Really|You do]?\" {fhe} asked. [It was the first word {n} heard from {fhim}.|{fhis} eyes began to shine.]",
         "A few days later {n} was near {place2}. And there was {f}, {love}! \"[May I join you|Can I do it with you]?\" {n} asked. {f} thought about it. \"[Yes, please|If you like],\" {fhe} said softly."),
        (0.6, "They spent the whole afternoon together. [{f} was not strange at all. {fhe} was funny!|{f} knew the best jokes.|They laughed until the sun went down.]",
         "Soon they were talking about everything: [rain and shoes and grandmothers|stars and soup and the best way to catch a fly|clouds, and cakes, and where the river goes]."),
        PARAGRAPH,
        ("The next time the others played, {n} took {f} by the hand. \"This is my friend {f},\" {he} said. \"[{fhe} plays with us today.|We belong together.]\" And the others made room.",
         "\"Come and meet my friend,\" {n} told the others. [And soon everyone wanted to sit next to {f}.|\"Why did we not ask {fhim} before?\" they said.]"),
        ("{f} was never alone again. \"[You were the first who said hello|You saw me when nobody else did],\" {fhe} told {n}. \"[I will never forget that.|That was brave.]\"",
         "Now {n} and {f} [meet every day|are always together], and when somebody new comes, they go and say hello, both of them.",
         "{n} learned that [a friendship can start with one small word|a shy face can hide a wonderful friend]."),
    ]


def storm(r, s):
    s.update(material=r.choice(["an old door", "four thick logs", "a long plank", "a fallen tree", "a wooden table"]))
    s.update(load=r.choice(["medicine", "a basket of bread", "a letter", "warm blankets", "a can of milk"]))
    s.update(about="a storm and a broken bridge", topic="storm")
    return [
        ("[One day|One autumn evening], {his} {parent} said, \"{n}, please take {load} to {e}. [It is important|{ecap} is waiting for it].\" So {n} [set off|put on {his} boots and set off].",
         "{e} was [ill|sick in bed], and {n} wanted to bring {load}. It was a long way, past {place} and over the bridge."),
        ("On the way, dark clouds came up. The wind [howled|grew strong], and the rain [fell like a curtain|came down in buckets]. {n} pulled {his} hat down and walked on.",
         "But halfway there, the sky turned [black|grey]. Thunder rolled over the hills, and soon {n} was wet [through and through|from head to toe]."),
        ("When {he} came to the stream, the bridge was gone! The water had [carried it away|broken it]. \"[How do I get across now|What now]?\" said {n}.",
         "Then {he} stopped. Where the bridge should have been, there was only wild brown water. {n} [wanted to turn back|did not know what to do]."),
        PARAGRAPH,
        ("\"You cannot swim through that,\" said a voice. It was {f} the {fkind}, who was [sitting under a big leaf|hiding from the rain]. \"[But maybe we can build something|Two of us could do it].\"",
         "On the other side stood {f} the {fkind}. \"[Wait|Do not jump]!\" called {f}. \"[I will help you|Let us think]!\""),
        ("They looked around and found {material}. [Together they pulled|They pulled and they pushed], and [it moved a little|slowly it began to move]. \"[One, two, three|Once more]!\" called {n}. At last it lay across the water.",
         "{n} saw {material} lying in the grass. It was too heavy for one, but not for two. They [pushed and pulled|worked in the rain] until they had made a new bridge."),
        (0.6, "{n} stepped on it. It [shook|wobbled]. {he} did not look down. [Step by step|One foot after the other], {he} went across.",
         "\"[You go first|Hold my hand],\" said {f}. {n} [held {his} breath|closed {his} eyes for a moment] and walked over."),
        PARAGRAPH,
        ("{e} was very glad to see them. \"You came through that storm just for me?\" said {e}, and gave them [hot soup|hot tea with honey|dry socks]. They sat by the fire and listened to the rain.",
         "When they knocked on the door of {e}, they were wet and dirty and happy. \"[My brave little friends|Come in, come in],\" said {e}, and soon they sat by the warm fire."),
        (0.6, "When the storm was over, there was a rainbow [over {place}|above the hills].",
         "The next day, the whole village came to see the new bridge. They called it {n}'s Bridge, and it is still there today."),
        ("{n} learned that [two can do what one cannot|together we are stronger than a storm].",
         "And whenever it rains hard, {n} and {f} [look at each other and smile|tell the story again]."),
    ]


def mystery(r, s):
    found, leads = r.choice([
        ("a small golden key", "It must open something"), ("an old map", "There was a red cross on it"),
        ("a bottle with a letter in it", "The letter said: follow the river"), ("a trail of blue feathers", "It led into the trees"),
        ("a tiny door in a tree", "There was a light behind it"), ("a row of strange footprints", "They were very big"),
    ])
    prize, meaning = r.choice([
        ("a box full of old toys", "They had belonged to a child long ago"),
        ("a secret garden full of roses", "Nobody had been there for a hundred years"),
        ("a friendly old dragon who was knitting socks", "He had been waiting for a visitor for years"),
        ("a room full of books", "Every book was about a different adventure"),
        ("a table with tea and cake for two", "A note said: for the one who is curious"),
        ("a cave full of shining crystals", "They sparkled in all the colours of the rainbow"),
    ])
    s.update(found=found, thefound="the " + found.split(" ", 1)[1], leads=leads, prize=prize, meaning=meaning)
    s.update(about=f"finding {found}", topic="secret")
    return [
        ("[One day|One foggy morning], {n} found {found} near {place}. {leads}. [What could it mean?|How exciting!]",
         "[One morning|One day], {n} was playing near {place} when {he} saw something odd. It was {found}! {leads}."),
        ("{n} ran to {f} the {fkind}. \"[Look what I found|You have to see this]!\" {he} called. {f} [looked at it closely|scratched {fhis} head]. \"[This is an adventure|Let us find out what it means],\" {fhe} said.",
         "\"I need a friend for this,\" thought {n}, and {he} went to get {f} the {fkind}. \"[Are you coming|Do you want to go on an adventure]?\" {he} asked. \"[Always|Let me get my hat],\" said {f}."),
        (0.6, "They packed [a lamp and some {food}|two sandwiches and a rope|a bag with {food}] and [set out|went off at once].",
         "First they asked {e}, {eknown}. \"[Some secrets are worth the walk|I have heard of that],\" said {e}. \"[Go past {place2}, and keep your eyes open.|Look where the shadows are long.]\""),
        PARAGRAPH,
        ("They walked past {place2} and [over the hills|through the tall grass]. [The way was long|The sun was hot], but they [sang songs|told each other jokes] and did not mind.",
         "They went through {place2}, [up a steep path|down into a dark valley] and [around a big rock|along a stone wall]. \"Are we lost?\" asked {f}. \"[Not lost|No]. [Just early|Just not there yet],\" said {n}."),
        (0.6, "Once they heard a [growl|strange sound] and [held hands|stopped]. But it was only {f}'s [empty tummy|tummy]. How they laughed!",
         "Then the path split in two. \"Left or right?\" said {f}. {n} [threw a stone in the air|closed {his} eyes and pointed]. \"[Left|Right]!\" {he} said."),
        ("And then, behind [a curtain of leaves|a big stone|an old wall], they found it: {prize}. {meaning}.",
         "At the end of the way they [stood still and stared|could not believe their eyes]. There was {prize}! {meaning}."),
        PARAGRAPH,
        ("\"[It is beautiful|I have never seen anything like it],\" whispered {f}. They stayed until [the sun went down|evening], and they [promised to come back|came back the next day].",
         "They [stayed the whole afternoon|looked at everything], and {n} said, \"[This will be our secret place|We must show this to the others].\""),
        ("{n} [kept that day in {his} heart forever|drew a picture of it and hung it over {his} bed]. [Who knows where the next adventure will begin?|It was the start of many adventures.]",
         "At home {his} {parent} asked, \"Where have you been all day?\" {n} and {f} looked at each other. \"[Oh, just out for a walk|Nowhere special],\" they said, and they giggled.",
         "{n} learned that [the world is full of secrets for those who look|a curious heart finds wonders everywhere]."),
    ]


PLOTS = [lost, rescue, fear, craft, share, race, noise, skill, plant, truth, wish, newcomer, storm, mystery]

"""A corpus of little children's stories, told by a seeded generator.

    python data/sample_stories.py                     # print ten stories
    python data/sample_stories.py --count 3 --seed 7  # print three others

The stories are synthetic and original: every sentence in this file was written for it. They have the flavour of
TinyStories (Eldan and Li, 2023) but copy nothing from it, so they can be shipped with the code and let anyone see
the whole pipeline at work, without a download. For a model worth reading, train on the real thing.

How it works. Each plot in SCRIPT is a piece of prose with choices in it:

    == anyone: The title            who may be the hero: a child, an animal, anyone, or kinds such as duck | frog
    color: red | blue               a slot: chosen once, then the same through the whole story

    {hero} had a {color} ball.      a beat: one line of the story ...
    | {hero} got a {color} ball.    ... or another way to tell it
    It [rolled|ran] away and
      was gone.                     a choice inside a beat; an indented line continues the one above
    ? {hero} sighed.                a beat that is left out half of the time

    An empty line                   may become the start of a new paragraph

The first beat opens the story. A version of it that has {who} introduces the hero by itself; any other follows an
introduction such as "Once upon a time, there was a little boy named Tom." Pronouns are written as if the hero were
a boy: {he}, {him}, {his}, {himself}. The others in a story are {friend} (first met as {pal}, "his friend Lily";
{friend.he}, {friend.his} and so on) and {elder}, a parent or grandparent. {He} is {he} with a capital letter, needed
only after a quote, and "a" turns into "an" where it has to.
"""

import argparse
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

PRONOUNS = {
    "he": {"he": "he", "him": "him", "his": "his", "himself": "himself"},
    "she": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
}

CHILDREN = {
    "he": "Tom Ben Sam Max Tim".split(),
    "she": "Lily Mia Anna Lucy Sara".split(),
}
ANIMALS = {
    "he": "Pip Bobo Rusty".split(),
    "she": "Dot Daisy Poppy".split(),
}
KINDS = {"he": "boy", "she": "girl"}
BEASTS = "rabbit bear fox mouse squirrel hedgehog badger beaver".split()
ELDERS = "Mom Dad Grandma Grandpa".split()

# Phrases that any plot may use. Unlike a slot, a phrase is chosen again each time.
PHRASES = {
    "someone": "a [little|small|young|kind little|cheerful little|curious little] {kind} [named|named|called] {hero}",
    "child_home": "[in a small house near the forest|in a yellow house on a hill|in a little town by a river"
    "|in a quiet village|at the end of a long street|near a big park|in a white house with a garden]",
    "animal_home": "[in the green forest|under an old oak tree|near a blue pond|at the edge of the woods"
    "|in a warm hole under a hill|in a quiet valley|beside a small stream]",
    "child_who": "[{hero}|{hero}|a [little|small|young] {kind} named {hero}]",
    "animal_who": "[{hero} the {kind}|little {hero} the {kind}|a [little|small|young] {kind} named {hero}]",
    "child_pal": "{his} [friend|best friend|good friend] {friend}",
    "animal_pal": "{his} [friend|best friend|good friend] {friend} the {friend.kind}",
    "once": "[Once upon a time, there was {someone}.|Once upon a time, there was {someone}."
    "|Once upon a time, there was {someone}. {He} lived {home}.|Once upon a time, {someone} lived {home}."
    "|Once upon a time, there was {someone} who lived {home}.|Once upon a time, {home}, there lived {someone}.]",
    "meet": "[{Home} lived {someone}.|There was once {someone}.|{Home}, there was {someone}."
    "|{hero} was a [little|small|young] {kind} who lived {home}.|This is a story about {someone}."
    "|Long ago, {someone} lived {home}.]",
    "smiled": "[smiled|laughed|grinned]",
    "proud": "[proud|very proud|so proud]",
}

# The chances that a story begins with an introduction, that this is "Once upon a time", and that it says "The end."
INTRODUCED, ONCE, THE_END = 0.62, 0.66, 0.12

SCRIPT = """
== anyone: The kite in the tree
color: red | blue | yellow | green

{hero} had a {color} kite and loved windy days.
| More than anything, {hero} loved {his} {color} kite.
| {who} had a new kite. It was {color} and had a long tail.
| One windy morning, {who} ran up the hill with a {color} kite.
The wind was strong that day, and the kite flew higher and higher.
| {hero} held the string tight. Up went the kite, high above the hill.
Then the string broke with a snap, and the kite fell into a tall tree.
| Then a big wind pulled hard, and the kite came down in the top of an old tree.
"Oh no!" said {hero}. {He} jumped and jumped, but {he} could not reach it.
| {hero} tried to climb up, but the tree was too big. {He} sat down on the grass and sighed.

{pal} came by and saw the kite. "I have an idea," said {friend}. "Let us throw a ball at it." {friend} threw the ball,
  and on the third try the kite came down.
| Just then {pal} came along with a long stick. {friend} pushed the branch, {hero} shook the tree, and the kite fell
  down at last.

? There was a small hole in it, so {hero} put a yellow patch on it at home.
| The kite had lost its tail, so {hero} made a new one from an old sock.
After that, {hero} only flew the kite far away from trees.
| {hero} named the kite Jumper, because it liked to jump into trees.

== child: The lost toy at bedtime
toy: bear | rabbit | elephant | monkey
color: brown | gray | blue | soft

It was time for bed, but {hero} could not find {his} toy {toy}.
| {hero} had a {color} toy {toy} and took it to bed every night.
| It was late, and {who} was in bed. But something was missing. The {color} toy {toy} was not there!
| {who} never went to sleep without a {color} toy {toy}. But one night, the {toy} was gone.
"Where is my {toy}?" asked {hero}. "I cannot sleep without it."
| "{elder}, come quickly!" called {hero}. "My {toy} is lost!"
{elder} came in and turned on the light. "Let us think," said {elder}. "Where did you play today?"
| {elder} looked under the pillow and behind the door. There was no {toy}.
They looked under the bed and found a sock and a spoon, but no {toy}.
| First they looked in the toy box. Then they looked in the bath.

Then {hero} remembered. {He} had played in the garden! {elder} took a lamp, and they went outside in the dark. The
  {toy} sat under the apple tree, a little wet but safe.
| Then they heard a small sound. The cat was asleep in a basket, and under its paw was the {toy}. "You took my {toy}!"
  laughed {hero}. {elder} gave the cat another toy.

? {hero} hugged the {toy} tight. "Never hide again," {he} said.
| "There you are," said {hero}, and {he} gave the {toy} a kiss on the nose.
{elder} turned off the light, and soon {hero} and the {toy} were asleep.
| "Good night, {hero}. Good night, {toy}," said {elder}. Soon the house was quiet.

== anyone: Puddles
color: yellow | red | green | blue

It had rained all week, and {hero} was tired of sitting inside.
| {hero} had new {color} boots, and {he} wanted to jump in a puddle.
| All morning the rain fell. {who} sat by the window and watched it.
| {who} had {color} boots and waited for the rain. At last it came.
When the rain got softer, {hero} put on the {color} boots and ran outside.
| "May I go out?" asked {hero}. "Yes," said {elder}, "but wear your {color} boots."
There was a big puddle by the gate. Splash! {hero} jumped right into it.
| {hero} found a small puddle, then a big one, and then one as big as a lake. Splash, splash, splash!
{pal} was there too. "Look how high I can splash," said {friend}.
| Soon {pal} came along. "May I jump with you?" asked {friend}. They took turns.

But one puddle was very deep. {hero} jumped, and one boot got stuck in the mud. {He} pulled, and out came the foot
  without the boot! {friend} laughed so hard that {friend.he} fell into the puddle.
| Then {hero} saw a worm in the water. "The poor worm cannot swim," said {hero}. {He} picked it up with a leaf and put
  it on the grass. {friend} made a little house of sticks for it.

? When they came home, {elder} had warm towels and hot cocoa for them.
| At home, {elder} looked at the muddy feet and laughed. "Who are you? Are you made of mud?"
"I hope it rains tomorrow," said {hero}.
| {hero} put the {color} boots by the door, ready for the next rainy day.

== anyone: The seed
plant: sunflower | tomato plant | bean plant | rose bush

One spring day, {elder} gave {hero} a tiny seed.
| One day, {hero} found a small seed on the path.
| In spring, {who} got a tiny seed from a friend. "Plant it and wait," the friend said.
| {who} held a tiny seed. "What are you going to be?" {he} asked the seed.
{hero} dug a hole in the garden, put the seed in and gave it some water.
| {hero} filled a pot with earth and pushed the seed in deep. Then {he} put the pot in the sun.
The next morning, {hero} ran to look. There was nothing. The day after, there was still nothing.
| "Grow!" said {hero}. {He} sat and waited all day, but nothing happened.
? "Maybe the seed is asleep," said {hero}. {He} sang a song to wake it up.
| "Is it broken?" asked {hero}. "No," said {elder}. "Seeds are slow. You must wait."

It rained, and the sun came out, and it rained again. Then one morning there was a green leaf!
| Many days went by. {hero} almost forgot the seed. Then {he} saw something small and green.

? The plant grew and grew. Soon it was taller than {hero}.
| Every day the plant was a little bigger. A ladybug came to live on it.
At the end of the summer, {hero} had a big, beautiful {plant}. "It is a {plant}!" {he} called.
| One warm day, {hero} saw what it was. "Look, {elder}! It is a {plant}!"
"You did it," said {elder}. "You took good care of it."
| {hero} danced around the {plant} three times.
{hero} kept one new seed in a little box, for the next spring.
| And because it had made new seeds, {hero} gave one to each friend.

== anyone: The noise in the night
noise: Tap, tap, tap | Scratch, scratch | Bump, bump | Squeak, squeak

{hero} was not afraid of anything in the day, but the night was different. One night, there was a sound.
| One night, {hero} could not sleep. The moon was behind a cloud, and it was very dark. Then {he} heard something.
| In the middle of the night, {who} woke up. There was a strange noise.
| {who} lay in bed and listened. Something outside was making a noise.
"{noise}," it went. {hero} pulled the blanket over {his} head.
| "{noise}!" There it was again. {hero} held {his} breath.
"It is a monster," {he} thought. "It has big teeth and long arms."
| "Who is there?" whispered {hero}. Nobody answered.
But {hero} wanted to know. {He} took a small lamp and went slowly to the door.
| {hero} counted to three, got out of bed and walked to the window on the tips of {his} toes.

It was only a tiny kitten! It was cold and wanted to come in. {hero} gave it some milk and a warm place by the bed.
| It was only a branch. The wind moved it, and it touched the window. "Good evening, tree," said {hero}, and {he}
  began to giggle.

? "I am glad I looked," said {hero}. "A noise is just a noise."
| "So there was no monster at all," said {hero}.
Then {hero} went back to bed and slept until the sun came up.
| After that night, {hero} was not afraid of the dark anymore.

== child: The first day of school

It was the first day of school, and {hero} did not want to go.
| {hero} was big now, and it was time to go to school.
| Today was a big day. {who} was going to school for the first time.
| {who} had a new bag, new shoes and a funny feeling in the tummy. It was the first day of school.
"What if nobody plays with me?" asked {hero}. {elder} held {his} hand all the way.
| {hero} held {elder}'s hand very tight. "Will you come back?" {he} asked. "Of course," said {elder}.
The school was big and loud. All the other children seemed to know each other.
| In the room there were small chairs, many books and a fish in a bowl.
{hero} sat down in the last row and looked at {his} shoes.
| {hero} stood by the door and did not say a word.

Then {hero} saw a {friend.kind} who was crying. "I miss my mom," said the {friend.kind}. {hero} gave {friend.him} half
  of {his} cookie. "I am {hero}," {he} said. "I am {friend}," the {friend.kind} said.
| Then a {friend.kind} came over to {hero}. "I like your bag," {friend.he} said. "My name is {friend}. Do you want to
  see the fish?" They watched the fish swim around and around.

? In the afternoon, they painted a big picture together.
| The teacher read a story about a whale, and {hero} and {friend} sat side by side.
When {elder} came, {hero} did not want to go home. "Can I come back tomorrow?" {he} asked.
| "How was it?" asked {elder}. "I have a friend!" said {hero}.
On the way home, {hero} talked and talked and talked.
| That evening, {hero} packed the bag again, all by {himself}.

== anyone: The forgotten birthday

It was {hero}'s birthday, but nobody said a word about it.
| {hero} woke up very early, because it was {his} birthday.
| Today was a special day. It was the birthday of {who}.
| {who} jumped out of bed. "It is my birthday!" {he} sang.
In the kitchen, {elder} only said, "Good morning. Eat your bread, please."
| {hero} ran to {elder}. But {elder} was busy and did not even look up.
{hero} went to see {pal}. "I have no time today," said {friend} and shut the door.
| Outside, {hero} met {pal}. {friend} had a big bag and ran away quickly.
"They all forgot," thought {hero}. {He} sat down by the pond and threw small stones into the water.
| {hero} walked around alone. "Happy birthday to me," {he} sang in a very small voice.

When it was getting dark, {hero} went home. There was no light in the house. {He} opened the door. "Surprise!" they
  all shouted.
| Then {friend} came running. "Come quickly, something is wrong at your house!" {hero} ran as fast as {he} could. But
  nothing was wrong. In the garden there were lamps in all the trees. "Surprise!"

Everybody sang, and {elder} gave {hero} a big hug.
| "Did you think we forgot?" asked {friend}. "I was busy with your present!" It was a little wooden boat.
? {hero} laughed and cried at the same time.
| "You were all so bad at saying nothing," {hero} laughed.
It was the best birthday {hero} ever had.
| That night, {hero} went to bed with cake on {his} chin and a big smile.

== child: The castle of sand

{hero} loved to build. One sunny day, {he} went to the beach with a bucket.
| One hot day, {hero} went to the beach.
| {who} knelt in the sand with a bucket. This was going to be the biggest castle of all.
| It was summer, and {who} was at the beach. The sea was blue, and the sand was warm.
{hero} made four towers, a wall and a long road of shells.
| {hero} filled the bucket again and again, until the castle was as high as {his} knees.
{pal} came and dug a deep ditch around it. "Now no enemy can get in," said {friend}.
| {pal} came too. {friend} found a white feather and put it on the top as a flag.
? "It is the best castle in the world," said {hero}.
| "A king could live here," said {hero}. "A very small king."

But the sea was coming closer. One wave took the road. The next wave took the wall. "Stop, sea!" cried {hero}, but the
  sea did not stop.
| Then a big dog ran along the beach. Splash, through the water! Crash, through the towers! "No!" cried {hero}. The
  dog looked sorry and wagged its tail.

{hero} was sad and kicked the sand. But {friend} said, "Now we can build a new one, even bigger!"
| For a moment {hero} wanted to cry. Then a small crab came out of the sand and sat down on the highest spot. "There
  is the king!" shouted {friend}, and {hero} had to laugh.
? When they went home, there was sand in their shoes and in their hair.
| {elder} called them, and they ran back with their buckets.
"Tomorrow I will build it farther from the water," said {hero}.
| {hero} kept one shell from the castle and put it next to {his} bed.

== anyone: The little bird
place: under a bush | on the path | in the grass | next to a big tree

One spring morning, {hero} heard a cry in the garden.
| {hero} was on a walk when {he} heard a very small voice. "Peep, peep!"
| {who} was on the way home and heard a sad little sound. "Peep!"
| One spring day, {who} almost stepped on something soft.
There was a baby bird {place}. It could not fly.
| It was a baby bird. It sat {place}, all alone, and shook with fear.
? "Did you fall out of your nest?" asked {hero}.
| "Do not be afraid," said {hero} softly. "I will help you."
{hero} looked up and saw a nest high in a tree.
| {hero} looked around. Far up on a branch, there was a nest.

{hero} put the bird in {his} hat and climbed up, very slowly, from branch to branch. At last {he} put it into the nest.
| The nest was too high. So {hero} ran to get {elder}, who had a long ladder. {elder} held the ladder, and {hero} put
  the bird back into the nest.

Soon the mother bird came and sang and sang, because everything was good again.
| The mother bird flew around {hero}'s head three times, as if to say thank you.
All summer, the little bird came to {hero}'s window and sang a song.
| A few weeks later, a young bird landed on {hero}'s arm. "I know you!" said {hero}.
And sometimes {hero} sang a song for the birds, as well as {he} could.
| "Sing something," said {hero}, and the bird did.

== child: The puppy without a name
color: brown | white | black | spotted
dogname: Biscuit | Button | Socks | Lucky

{hero} always wanted to have a dog. One day, a {color} puppy sat in front of the door.
| One day, {hero} met a {color} puppy in the park. It was all alone.
| On the way home from school, {who} saw a {color} puppy by the road. It had no one.
| A {color} puppy followed {who} all the way home.
It had one ear up and one ear down, and it licked {hero}'s hand. {hero} called it {dogname}.
| "I will call you {dogname}," said {hero}. The puppy wagged its tail so hard that it fell over.
"Can we keep it?" asked {hero}. {elder} thought about it. "First we must ask if it belongs to somebody."
| "Somebody may be looking for it," said {elder}. "We have to try to find out."
? {hero} made a sign with a picture of the puppy and put it up on a tree.
| They asked the baker, and they asked the man with the flowers. Nobody knew the puppy.

A day later, a {friend.kind} came to the door. "That is my puppy!" {friend.he} cried. {hero} was sad to say goodbye.
  "I am {friend}," said the {friend.kind}. "You can come and play with it every day."
| They waited one week. Nobody came. "Well," said {elder}, "it looks like this puppy belongs to you." {hero} jumped so
  high that {he} bumped into the lamp.

From that day on, {hero} and {dogname} ran in the park every afternoon.
| {hero} threw a stick, and {dogname} brought back a shoe. They still had a lot to learn.

== anyone: The last cookie
food: cookie | pancake | muffin | bun

There was one {food} left on the plate, and {hero} wanted it very much.
| {hero} loved {food}s more than anything else. Now there was only one left.
| {who} looked at the plate. There was only one {food} left.
| {elder} had made ten {food}s. Now {who} saw that there was just one left on the plate.
{pal} looked at the last {food} too. "I saw it first," said {friend}.
| "That one is mine," said {hero}. "No, mine!" said {pal}.
? They looked at each other. They looked at the {food}. Nobody moved.
| "You had four," said {hero}. "And you had five," said {friend}.
"The one who jumps the farthest gets it," said {hero}. They went outside and jumped.
| "Let us have a race to the gate," said {friend}. They ran as fast as they could.

But while they were busy, a bird flew in at the window. It picked up the {food} and flew away! {hero} and {friend}
  looked at the empty plate. Then they laughed until their tummies hurt.
| {hero} won. {He} picked up the {food}. But {friend} looked so sad that {hero} broke it in two. "Half for you," {he}
  said. It tasted even better that way.

"Next time we share right away," said {hero}.
| "Next time," said {friend}, "we eat faster." {hero} agreed.
Then {hero} and {friend} went out to play again.
| {hero} and {friend} stayed friends, with or without a {food}.

== anyone: The tall tower

{hero} liked to build, and today {he} wanted to build a tower.
| One rainy day, {hero} took out all the blocks {he} had.
| {who} had a big box of wooden blocks. "I will build a tower up to the sky," {he} said.
| Block on block on block, {who} built a tower.
{He} used the red blocks first, then the blue ones. Soon the tower was as tall as a chair.
| "Ten, eleven, twelve," {hero} counted. The tower got taller and taller.
Then {pal} ran in. "Look at me!" called {friend}. Bump! Crash! All the blocks fell down.
| But {pal} opened the door, the wind came in, and the tower fell down with a crash.
? "My tower!" cried {hero}. {He} was so angry that {his} face turned red.
| {hero} did not say anything. {He} just looked at the blocks on the floor.

"I am sorry," said {friend}. "I will help you." {friend} gave {hero} the blocks, and {hero} put them up, one by one.
| "Maybe the bottom was too small," said {friend}. So {hero} began again, with the biggest blocks at the bottom.

They played until dinner, and {elder} had to call them three times.
| {elder} came in and said, "That is the best thing I have seen all week."
"Tomorrow we will build it again," said {hero}.
| "Two can build better than one," said {hero}.

== child: The new bike
color: red | green | silver | orange

{hero} got a bike, but {he} did not know how to ride it.
| {hero} had a {color} bike with a small bell.
| On Saturday, {who} stood next to a {color} bike and looked at it. It looked very tall.
| {who} wanted to learn to ride a bike before the summer was over.
"I will hold you," said {elder}. {hero} got on, and off they went.
| {elder} held the seat, and {hero} held on to the {color} bike with both hands.
It went well for three seconds. Then {hero} fell over into the grass.
| {hero} went left, then right, and then into a bush.
"I can't do it," said {hero}. {His} knee was red.
| "Bikes are silly," said {hero}, and {he} sat down on the path.
"I fell ten times when I was small," said {elder}. "Try again."
| {pal} rode past and rang a bell. "Look ahead, not down at your feet!" called {friend}.

{hero} tried again. This time {he} looked at the big tree at the end of the road. {elder} ran behind. Then {elder} let
  go, and {hero} did not even know!
| The next day, {hero} tried on the soft grass. {He} fell, but it did not hurt. {He} tried all day. In the evening,
  {he} rode in a big circle without help.

? "I am riding!" cried {hero}. The wind was in {his} hair, and the bell went ding, ding, ding.
| {hero} laughed out loud. It felt like flying.
After that, {hero} rode {his} {color} bike to the shop, to the park and to school.
| That night, {hero} put a ribbon on the bike to say thank you.

== duck | frog | otter: The one who would not swim
home: near a blue pond | beside a small pond | by the green pond in the forest

All {his} brothers and sisters liked the water, but {hero} did not.
| The other {kind}s swam in the pond all day. {hero} stayed on the grass.
| {who} did not like water. It was wet, it was cold, and it was deep.
| "Come in!" called the others. But {who} would not go into the water.
"A {kind} who cannot swim? That is funny," said an old fish.
| "What if I sink?" thought {hero}. "What if there is a big fish?"
{elder} did not push. "You will know when it is time," said {elder}.
| {elder} said, "Just put one foot in today. That is enough."
Every day, {hero} sat by the water and looked at it. A blue fly sat next to {him}.
| {hero} tried a puddle first. The puddle was nice, but it was too small.

Then one day, {pal} was on a log in the middle of the pond. The log began to roll. "Help!" cried {friend}. "I cannot
  swim!" {hero} did not think. {He} jumped in, swam to the log and pulled {friend} to the shore.
| One hot day, a ball rolled into the pond. It belonged to {pal}, and {friend} was sad. {hero} took one step, and
  another step, and one more. Suddenly {his} feet did not touch the ground. {hero} was swimming!

? "You are swimming!" shouted everyone.
| "Look at me, {elder}!" called {hero}.
From then on, {hero} was the first in the water and the last to get out.
| {hero} swam around the pond three times, and the blue fly came too.

== child: The train ride

{hero} was going to visit Grandma, far away, and {he} was going by train.
| {hero} loved trains, but {he} had never been on one. Today {he} was going to visit Grandma by train.
| Early in the morning, {who} stood at the station with a small bag. The train was coming!
| "All aboard!" called the man in the blue hat, and {who} climbed onto the train.
Dad found two seats by the window. The train began to move, slow at first and then fast.
| Chug, chug, chug went the train. {hero} pressed {his} nose to the window, and Dad read the paper.
? {hero} saw cows, then a river, then a white church on a hill.
| They went over a bridge and past a field of yellow flowers. A horse ran next to the train.
? Then it was dark! "Who turned off the sun?" cried {hero}. "It is only a tunnel," said Dad.
| An old woman gave {hero} a pear. "It is from my own tree," said the woman.

Suddenly the train stopped. A sheep was standing in the way, and it would not move. {hero} held some grass out of the
  window, and the sheep came to eat it. Then the train could go on.
| Then {hero} saw that {his} hat was gone. {He} looked under all the seats. A baby sat in the next row, and the baby
  wore the hat! Everybody laughed, and {hero} let the baby wear it until they got out.

At the last station, Grandma stood there and waved with both arms.
| There was Grandma! {hero} ran up to Grandma and talked and talked.
"What was the best part?" asked Grandma. "All of it," said {hero}.
| That night, in the soft bed, {hero} could still hear it. Chug, chug, chug.

== anyone: The paper boat
paper: an old newspaper | a blue letter | a page with a picture of a cat | a piece of green paper

{hero} had nothing to do, so {he} made a boat from {paper}.
| One day after the rain, {hero} made a boat from {paper}.
| {who} made a little boat. It was made from {paper}.
| By the stream, {who} sat and folded {paper} into a boat.
{He} put the boat into the stream, and away it went.
| "Have a good trip," said {hero}, and {he} put the boat into the water.
? The boat went past the big stone and under the bridge. {hero} ran along the side.
| It turned left, it turned right, and it danced on the little waves. {hero} followed it.
{pal} saw the boat go by. "Where is it going?" asked {friend}. "To the sea," said {hero}. They ran on together.
| "Wait for me!" called {pal}. So they both ran after the boat.

Then the boat got stuck between two stones. A little ant was sitting on one of them. It climbed onto the boat, and
  {friend} pushed the boat with a stick. "Now it has a captain," said {hero}.
| Then a duck took the boat for bread and bit off a piece. "Hey!" shouted {hero}. "That is not for eating!" The duck
  looked surprised, and the boat went on with a hole in the side.

They watched until there was nothing more to see.
| Soon the stream became wide, and they could not follow any farther.
That evening, {hero} made ten more boats, one for every day and some for {friend}.
| {hero} waved. Maybe somebody would find it, far away, and wave back.

== anyone: The snowman with no nose

It had snowed all night, and {hero} could not wait to go outside.
| In winter, {hero} liked to play in the snow.
| {who} opened the door. Everything was white!
| The first snow of the year fell, and {who} ran out without a hat.
{pal} was outside too. They made a big ball, a smaller ball and a very small ball.
| {hero} and {pal} rolled the snow until they had three big balls.
They put the balls on top of each other. {hero} gave the snowman two stones for eyes.
| {hero} found two black buttons for the eyes, and {friend} found sticks for the arms.
"It needs a nose," said {hero}. {He} went in and came back with a carrot.
| "Something is missing," said {friend}. "A nose!" {hero} got a carrot from the kitchen.

But the next morning, the nose was gone! {hero} put in another carrot and hid behind a tree. Soon a small deer came
  and ate it. "So it was you," whispered {hero}. After that, {he} brought two carrots, one for the nose and one for
  the deer.
| But {friend} was hungry, and while {hero} looked away, {friend} ate the carrot. Crunch! "That was the nose!" said
  {hero}. They looked at each other and laughed. Then they used a red apple, and {friend} promised not to eat it.

? Then {elder} called them in for hot soup.
| When their feet were cold, they went in and sat by the fire.
{hero} looked out of the window and waved. It seemed that the snowman waved back.
| "Good night, snowman," said {hero}. Outside, it began to snow again.

== anyone: To catch the moon

{hero} looked at the moon every night. It was so round and so bright.
| One night, {hero} decided to catch the moon.
| "I want the moon," said {who} one evening. "I want to keep it in my room."
| One clear night, {who} saw the moon sit right on top of the hill.
First {hero} climbed the hill with a net. But when {he} got there, the moon was above the trees.
| {He} took a long ladder and put it against a tree. {hero} climbed to the top, but the moon was still too far.
Then {hero} saw the moon in the pond! {He} put a bucket into the water, very slowly.
| On the way home, {hero} came to the pond. There was the moon, in the water. {hero} put in a {hand}, but the moon
  broke into a hundred pieces.

"What are you doing?" asked {pal}. "I am catching the moon," said {hero}. {friend} put down a bowl of water. "Look in
  here," said {friend}. And really, there was a little moon in the bowl.
| An old owl watched from a branch. "If you take it," said the owl, "how will I find my way home?" {hero} had not
  thought of that. "Then I will leave it in the sky," {he} said.

? "Good night, moon," said {hero}.
| {hero} {smiled} up at the sky, and it seemed that the moon smiled too.
At home, {hero} closed {his} eyes and slept.
| After that, {hero} never tried to catch the moon again. {He} only waved.

== anyone: The loud drum
sound: Boom, boom, boom | Rum, tum, tum | Bam, bam, bam

{hero} got a drum and played it all day long.
| For {his} birthday, {hero} got a shiny drum.
| "{sound}!" {Who} had a drum, and everybody knew it.
| On Monday, {who} found an old drum in the attic.
"{sound}!" It was loud in the morning, and it was loud in the evening.
| {hero} played in the kitchen, in the garden and even in the bath. "{sound}!"
? {elder} had cotton in both ears. The cat hid under the bed.
| "Please stop," said {elder}. "My head hurts." {hero} did not hear it, because the drum was so loud.
"Can you play softly?" asked {pal}. "No," said {hero}. "A drum is loud."
| "I like your drum," said {pal}. "But I like it best from far away."

One day there was a thick fog. {friend} was lost in it and did not know where to go. "{sound}!" played {hero}, as loud
  as {he} could. {friend} walked toward the sound and came home safe.
| Then {hero} tried it with two feathers. It sounded like rain on the roof. {elder} came to listen, and the cat came
  out from under the bed.

After that, nobody said that the drum was too loud.
| "That was beautiful," said {elder}, and {hero} was {proud}.
But at night, {hero} put a blanket over the drum, so that it could sleep too.
| And {hero}? {He} played one more time, very softly. "{sound}."

== squirrel: Where are the nuts?
home: in a hollow tree | at the edge of the woods | in an old oak tree

It was fall, and {hero} was hiding nuts for the winter.
| {hero} had one hundred nuts, and winter was coming.
| {who} ran up and down the tree. Winter was coming, and there was so much to do.
| In the fall, {who} put nuts into a hundred holes.
{He} put one under a stone, two in a hollow log and three beside the path.
| "This one goes here, and that one goes there," said {hero}. "I will remember it all."
Then the snow came. Everything was white and looked the same.
| One morning there was snow. {hero} was hungry and wanted a nut.
"Where are my nuts?" said {hero}. {He} dug here and {he} dug there. {He} found a key, a button and a sleeping frog.
| {hero} looked under the stone. But which stone? There were so many of them.
{pal} heard the noise. "Did you lose something?" asked {friend}. "All my nuts!" said {hero}.
| "Why are you digging?" asked {pal}. "I am hungry, and I forgot where my nuts are," said {hero}.

"Close your eyes," said {friend}. "What did you smell when you hid them?" {hero} thought of the fall. "Mint!" {he}
  said. They dug by the mint plant, and there were the nuts.
| "I have bread," said {friend}. "Come and eat with me, and in spring you can help me in the garden." So {hero} ate
  with {friend} all winter.

? They sat by the fire and told stories until it was late.
| {hero} was not hungry anymore, and {he} hugged {friend}.
In spring, little trees grew all over the forest. "Oh," said {hero}. "There are the other nuts."
| The next year, {hero} made a map.

== anyone: The spilled paint
color: blue | red | green | yellow

{hero} liked to paint, and today {he} was painting a picture for {elder}.
| One quiet afternoon, {hero} painted a picture of the house.
| {who} had a brush, a big piece of paper and six jars of paint.
| On the table was a big white sheet of paper. {who} began to paint.
{He} painted a house, a tree and a sun with a smile.
| First {he} made the sky. Then {he} made the grass, and then a long fence.
? The picture was almost done. {hero} wanted to paint one more bird.
| "This will be my best picture," said {hero}.
Then {his} arm touched the jar. Splash! A big {color} spot was in the middle of the picture.
| Then {pal} came in and bumped into the table. The {color} paint ran over the whole sky.
"It is ruined!" cried {hero}.
| {hero} looked at it, and {his} eyes were full of tears.

"Wait," said {elder}, and turned the paper around. "What do you see now?" {hero} looked at the spot. It had a nose and
  a tail. "A {color} elephant!" {he} said, and {he} painted the ears.
| {hero} wanted to throw it away. But the longer {he} looked, the more {he} saw. It was a lake! {He} painted two boats
  and a fish, and now it was even better.

{elder} put the picture on the wall, right next to the door.
| "May I keep it?" asked {elder}. "It is for you," said {hero}.
After that, {hero} made a spot first and then looked at what it wanted to be.
| {hero} had paint on {his} nose for three days.

== anyone: The picnic
meal: bread and cheese | cherries and cake | apples and pie | eggs and jam

It was a warm day, just right for a picnic.
| {hero} wanted to have a picnic by the river.
| On a sunny morning, {who} packed a basket. In it were {meal}.
| {who} had a basket with {meal}. It was time for a picnic!
{hero} and {pal} walked through the tall grass until they found a good place.
| {hero} met {pal} under the old tree, and they put a blanket on the grass.
"I am so hungry," said {friend}. "First we must swim," said {hero}. So they swam.
| "Let us pick some flowers for the blanket," said {friend}. They looked for red ones.
When they came back to the basket, {hero} opened it. "It is empty!" {he} cried.
| Then {hero} opened the basket. There was almost nothing left!

A long line of ants went by. Each ant had a crumb on its back. "It is their picnic now," laughed {hero}. They ate
  berries from the bush.
| Behind the tree, they heard a burp. There sat a fat goose with crumbs on its beak. "You could have asked," said
  {friend}. The goose looked at its feet.

? Then dark clouds came, and it began to rain. They sat under the blanket and told stories.
| They stayed until the sun went down behind the hills.
"That was a funny picnic," said {hero}. "The best one," said {friend}.
| On the way home, {hero} said, "Next time we will take two baskets."

== anyone: Hide and seek

{hero} loved to play hide and seek.
| {hero} was very good at hiding.
| {who} knew the best game of all. It was hide and seek.
| One afternoon, {who} wanted to find the best hiding place in the world.
One day, {pal} counted to ten, and {hero} ran to hide.
| "You count, and I will hide," {hero} said to {pal}.
{He} did not hide behind the door. Everyone hides there. {hero} climbed into a big basket and pulled a blanket over it.
| {hero} crept into an old barrel behind the barn. It was dark in there and smelled of apples.
? {friend} looked behind the bush. {friend} looked under the bench. {hero} was nowhere.
| {hero} heard steps. They came near, and then they went away again.

It was warm and quiet, and {hero} fell asleep. When {he} woke up, the sun was low. "{hero}! {hero}!" everybody called.
  "Here I am!" said {hero}. "Did I win?"
| A butterfly came in and sat on {his} nose. It tickled. "Achoo!" sneezed {hero}, so loud that all the birds flew up.
  "Found you!" laughed {friend}.

"Now it is my turn to look," said {hero}.
| They played until {elder} called them for dinner.
"You are the best at hiding," said {friend}, "and I am the best at looking."
| {hero} never told anybody about the hiding place. {He} might need it again.

== child: The loose tooth

{hero} had a loose tooth. It moved to the left and to the right.
| One morning, {hero} bit into an apple and felt something strange. {He} had a loose tooth!
| {who} had a tooth that moved when {he} talked.
| At breakfast, {who} felt something funny. A tooth was loose.
"When will it fall out?" asked {hero}. "Soon," said {elder}. "You must wait."
| {hero} pushed it with {his} tongue all day, but the tooth did not want to come out.
{pal} already had two gaps and could whistle through them. {hero} wanted to whistle too.
| "I can help," said {pal}. {friend.He} wanted to tie a string to the door. "No, thank you!" said {hero}.
? {hero} ate hard bread. {He} ate a carrot. The tooth was still there.
| {hero} was a little scared. "Will it hurt?" {he} asked. "Not more than a mosquito," said {elder}.

Then {friend} told a joke about a cow on a bike. {hero} laughed so hard that the tooth flew out and landed in the soup.
| Then {hero} had to sneeze. "Achoo!" Something small flew across the room. It was the tooth! They looked for it on
  the floor for an hour, and {friend} found it in a shoe.

{hero} ran to the mirror. There was a hole in {his} smile.
| "Look!" called {hero}, and {he} showed everybody the gap.
? {elder} gave {hero} a tiny box for the tooth.
| Now {hero} could whistle. It sounded like an old kettle.
{hero} whistled all day long, until {elder} asked {him} to stop.
| "The next one is loose too," said {hero} a week later.

== anyone: The treasure map
treasure: a box full of marbles | a jar of honey candy | an old golden bell | a small silver cup
tree: old oak | crooked apple tree | big pine tree

{hero} found an old map in a book. There was a red cross on it.
| One day, {hero} found a piece of paper under a stone. It was a treasure map!
| {who} was digging in the garden and found a bottle. In the bottle was a map.
| An old map lay in the attic. One day, {who} found it.
"Let us find the treasure," {hero} said to {pal}. They took a lamp and some bread.
| {hero} took {pal} along, because a treasure hunt is better with two.
The map said to walk twenty steps to the {tree} and turn left.
| First they had to find the {tree}. It stood at the end of the path.
? Then they had to cross a stream. {friend} jumped, but {hero} fell in. "The map is wet!" said {friend}.
| Then they came to a dark cave. {hero} was scared, but {he} went in first. There was only a bat, and it was asleep.
At last they stood at the place with the red cross.
| "Here it is," said {hero}. "Here is the cross."

They dug and dug. Then they hit something hard. It was {treasure}!
| They dug until it was almost dark and found nothing. {friend} sat down on a stone, and the stone moved. Under it was
  {treasure}.

"We are rich!" shouted {hero}.
| {hero} and {friend} danced around the hole.
? They sat in the grass until the sun went down.
| They promised to tell nobody.
The next day, {hero} made a new map for somebody else to find.
| {hero} kept the old map on the wall, over {his} bed.

== child: The cat in the tree
cat: Whiskers | Snowy | Tiger | Mittens

{hero} had a cat named {cat}, and {cat} liked to climb.
| One day, {hero} could not find the cat. {cat} was not in the house and not in the garden.
| {who} had a cat. Its name was {cat}, and it was not afraid of anything.
| "Meow!" {who} looked up. There was {cat} the cat, at the top of the tallest tree.
{cat} had run after a bird, up and up into the leaves of a tree, and did not know how to come down.
| {cat} sat on a thin branch, high up in the tree, and looked very small.
? "Come down, {cat}!" called {hero}. "Meow," said {cat} and stayed.
| {hero} held up a bowl of milk. {cat} looked at it, but the tree was too high.
{hero} tried to climb up, but the first branch was far above {his} head.
| {hero} played a song on the flute. {cat} did not like it.
? {elder} got a ladder. It was too short.
| A crowd of people stood under the tree. Everybody knew what to do, but nobody did it.

Then a fire truck came! A tall man climbed up the ladder. But {cat} jumped onto the red helmet and rode down on it.
  Everybody clapped.
| "I know," said {hero}. {He} tied a basket to a rope, and {pal} threw the rope over a branch. They pulled the basket
  up, {cat} sat down in it, and down it came.

"You silly cat," said {hero}, and {he} hugged {cat}.
| {cat} looked at them all as if to say, "What is the matter?"
The next day, {cat} was on the roof.
| From then on, {cat} only climbed onto the couch.
"Oh no, not again," said {hero}, when the cat looked at the lamp.
| "Good night, {cat}," said {hero}. "Please stay on the ground."

== anyone: The big fish

{hero} wanted to catch a big fish.
| One day, {hero} went fishing with {elder}.
| {who} sat by the river with a fishing rod and waited.
| Early in the morning, {who} and {elder} went to the lake in a small boat.
{elder} showed {hero} how to hold the rod. "Now we wait," said {elder}.
| "Fishing is easy," said {elder}. "You only have to be quiet." That was not easy for {hero}.
? They waited for a long time. A dragonfly sat down on the rod and flew away again.
| The water was smooth and green. {hero} counted to one hundred, two times.
Then something pulled. "I have one!" shouted {hero}. "It is huge!"
| Suddenly the rod bent down. "Help me, {elder}!" called {hero}. They pulled together.

It was an old boot. {hero} was sad, but then something moved in the boot. A tiny fish looked out! "That is its house,"
  said {hero}, and {he} put the boot back carefully.
| Out of the water came a fish as long as {his} arm. It looked at {hero} with round eyes. "I think it wants to go
  home," said {hero}. {He} let it go, and the fish jumped once, like a silver moon.

On the way home, they told the story again, and it got bigger with every step.
| They ate bread and cheese for dinner. It was good too.
"Can we go again tomorrow?" asked {hero}.
| {hero} was wet and tired and very happy.

== anyone: The red balloon
color: red | blue | yellow | silver

At the fair, {hero} got a {color} balloon.
| {hero} had a {color} balloon and took it for a walk every day.
| {who} held a {color} balloon on a long string.
| {elder} gave a {color} balloon to {who}. It was as round as the sun.
{hero} tied it to {his} arm. The balloon danced behind {him}.
| {hero} drew a face on it and called it Bob.
On the way, {hero} met {pal}. They took turns with the balloon.
| {hero} showed it to {pal}. "Can I hold it for a minute?" asked {friend}. "Only for a minute," said {hero}.
Then the string slipped away, and the balloon flew up and up.
| Then a bee came. {hero} jumped, and the balloon was gone. It was already over the trees.

"Come back!" cried {hero}. But the balloon got smaller and smaller. "Maybe it wants to see the world," said {friend}.
  "It can see the sea from there, and the mountains." {hero} waved until it was only a dot.
| It flew against a branch, and there was a loud bang. {hero} was sad. {friend} picked up the little piece and blew
  into it. It made a noise like a duck! They laughed all the way home.

That evening, {hero} looked at the sky for a long time.
| {hero} told {elder} all about it.
And {hero} dreamed that {he} was as light as a balloon.
| And sometimes, when {hero} sees a round cloud, {he} waves.

== anyone: The apples too high
fruit: apple | pear | plum | cherry

In the garden stood a tree with one big {fruit} at the top.
| {hero} wanted to eat the {fruit} at the very top of the tree.
| {who} looked up at the tree. There was one more {fruit}, and it was the best one.
| One fall day, {who} saw a big {fruit} on a very high branch.
{hero} jumped, but {he} was too small.
| {hero} shook the tree. One leaf came down, and that was all.
? {He} threw a stick. The stick got stuck in the tree.
| {He} stood on a bucket. The bucket fell over, and so did {hero}.
{pal} wanted to help. {friend} stood on {hero}'s back, but they were still too small.
| "Let me try," said {pal}. {friend} jumped and got a bump on the head.
Then {elder} came out. {elder} stood at the bottom, {hero} in the middle and {friend} at the top. It was almost enough!
| They called a goat. The goat stood at the bottom, then {friend}, and then {hero}. It was almost enough!

A little mouse ran up all of them, bit through the stem, and down came the {fruit}. "Hurray!" they shouted.
| Then they fell down in a heap and laughed. And plop! The {fruit} fell down too, all by itself, right into {hero}'s
  lap.

After that, they were tired, and they sat down in the shade.
| {elder} made a pie with the other fruit, and everybody had some.
{hero} planted a {fruit} seed in the garden. "This will be a small tree at first," {he} said. "Then I can reach it."
| It was the sweetest day of the year.
"I will wait," said {hero}.
| And {hero} fell asleep under the tree.

== child: The ball over the fence
color: red | blue | yellow | new

{hero} kicked the ball too hard, and it flew over the fence.
| {hero} had a {color} ball. One day, it flew over the fence.
| Whoosh! The {color} ball of {who} flew over the fence.
| {who} was playing with a {color} ball. Then it flew over the fence.
Behind the fence lived an old man who never laughed. Everybody said, "That is Mister Grump."
| Over there was the garden of Mister Grump. Nobody had ever been in it.
"You go," said {pal}. "No, you go," said {hero}.
| "Now it is gone," said {pal}. "Mister Grump eats balls for breakfast."
{hero} took a deep breath and knocked on the gate. It opened slowly.
| {hero} looked through a hole in the fence. {He} saw flowers, and a bench, and a pair of big boots. Then {he} knocked
  on the gate.

"Is this your ball?" asked the old man. "It broke my window." {hero} wanted to run away, but {he} said, "I am sorry. I
  can help you clean up." The old man looked surprised.
| The old man sat on the bench. "I cannot find my glasses," said the old man. {hero} looked up and giggled. "They are
  on your head!" The old man touched his head and began to laugh.

Then there were sweet plums for {hero} and {friend}, right from the tree.
| Soon they all sat on the bench and drank lemonade.
? "That is not a grump at all," said {friend} on the way home.
| "Mister Grump was just alone," {hero} told {elder} that night.
Now {hero} kicks the ball over the fence every week. But not by mistake.
| After that, {hero} and {friend} went to see Mister Grump every Sunday.

== child: The tent in the garden

{hero} wanted to sleep outside, in a tent.
| One summer night, {hero} was allowed to sleep in a tent in the garden.
| "May I sleep in a tent?" asked {who}. "In the garden, yes," said {elder}.
| {who} put up a small tent behind the house.
{pal} came with two pillows and a bag full of cookies.
| {elder} gave {hero} a lamp and a warm blanket, and {pal} brought the cookies.
? They told stories about ghosts until {friend} said, "Stop! I am scared."
| "I am not afraid at all," said {hero}. "I am not afraid either," said {friend}.
Then they turned off the lamp. It was very dark and very quiet.
| An owl called. Then it was quiet.
Suddenly there was a sound. Crunch, crunch, crunch. Something was walking around the tent!
| "What was that?" whispered {friend}. There was a big black shadow on the tent!

{hero} turned on the lamp and looked out. It was a hedgehog! It had found the cookies and was eating one after the
  other.
| {hero} and {friend} both screamed. Then the shadow said, "Do not scream, it is only me." It was {elder} with two
  cups of hot milk.

{hero} and {friend} laughed until they were tired.
| "Some ghost!" laughed {hero}.
? Then they looked up and counted the stars. At thirty they were asleep.
| Later it began to rain. The drops on the tent made a soft song.
In the morning, {elder} found them deep asleep, nose to nose.
| The next day, {hero} told everybody that {he} had slept outside all night.

== anyone: Grandpa's clock

Grandpa had a tall old clock, and {hero} loved its sound.
| In Grandpa's house stood a big clock. {hero} liked to listen to it.
| "Tick, tock," said the clock, and {who} said it too.
| Every Sunday, {who} went to see Grandpa and the big old clock.
Each hour, a little door opened, and a wooden bird came out and sang.
| It was taller than {hero} and it had a golden moon on its face.
But one day, the clock was silent. "It stopped last night," said Grandpa in a sad voice.
| One day, {hero} listened, but there was no sound. "My old clock has stopped," said Grandpa.
? "Can we fix it?" asked {hero}. Grandpa got a lamp and a box of tools.
| "Maybe it is tired," said {hero}. Grandpa opened the back of the clock.
There were so many wheels, big ones and small ones. {hero} held the lamp.
| "You have small {hand}s," said Grandpa. "You can reach in." {hero} put a {hand} in, very carefully.

Deep inside, {hero} felt something round. {He} pulled, and out came a button! It was the blue button from Grandpa's
  coat. "I lost it last week," said Grandpa.
| Between the wheels sat a ladybug. {hero} let it walk onto {his} {hand} and carried it to the window. Then one wheel
  moved, and another one.

"Tick, tock," said the clock. {hero} clapped.
| Tick. Tock. Tick. Tock. "It is alive!" called {hero}.
"Now you are the clock doctor," said Grandpa.
| Grandpa gave {hero} a piece of cake, and the clock struck four.
That night, {hero} dreamed of little wheels.
| From then on, {hero} was allowed to wind it up every Sunday.

== child: Lemonade
drink: lemonade | apple juice | berry juice

It was a hot day, and {hero} wanted to sell {drink}.
| {hero} wanted to buy a present for {elder}, but {he} had no money.
| "Cold {drink}!" called {who}. "Who wants cold {drink}?"
| {who} put a table in front of the house. On it stood a big jug of {drink}.
{pal} helped {hero} to make a sign. They painted a yellow sun on it.
| {hero} made a whole jug of {drink}, and {pal} carried the cups.
They sat down and waited. Nobody came.
| One hour went by. A bee came, but it had no money.
? "Maybe it is too warm," said {friend} and drank a cup. "Maybe," said {hero} and drank one too.
| "We must shout louder," said {hero}. They shouted so loud that a dog ran away.

Then a farmer came by. "I am so thirsty!" said the farmer and drank three cups. After that, everybody wanted some, and
  soon there was a long line.
| Then an old woman came by. "I have no money," said the woman. {hero} gave away a cup for nothing. The next day, a
  box full of apples stood at the door.

"That was a good day," said {hero}.
| {hero} looked into the empty jug and laughed.
In the evening, {hero} made one more cup, just for {elder}.
| Then {hero} made a new jug. The first cup was for {elder}.
"This is the best {drink} in the town," said {elder}.
| "Thank you, {hero}," said {elder}. "What a lovely surprise!"

== child: The new baby
thing: small picture | toy duck | soft blanket | tiny hat

Mom had a big tummy, and in it was a baby. {hero} could not wait.
| {hero} was going to get a baby brother or a baby sister.
| "When will the baby come?" asked {who}. {he} asked it every day.
| There was a new baby in the house, and {who} did not know what to think.
{hero} made a {thing} for the baby.
| {hero} had a {thing} ready for the baby.
Then one day, the baby was there. It was red and small, and it cried a lot.
| Then Dad brought Mom and the baby home. "This is Ivy," said Dad.
"It cannot play ball," said {hero}. "It cannot even sit." "You must wait," said Mom.
| Everybody looked at the baby. Nobody looked at {hero}.
"Mom, can you read to me?" asked {hero}. "Not now, my dear," said Mom. "The baby is hungry."
| {hero} wanted to show Dad a picture, but Dad had to hold the baby.

One night, the baby cried and cried. Mom sang, and Dad danced, but nothing helped. {hero} came in and made a face like
  a fish. The baby stopped. Then it laughed for the very first time.
| {hero} hid under the table. After a while, Mom sat down on the floor next to {him}. "You will always be my first
  baby," said Mom, and they read two stories.

? "You are good at this," said Mom.
| Dad took a photo of the two of them.
Now {hero} tells the baby about the world. "This is a dog," {he} says. "This is the rain."
| From then on, {hero} helped with the bath and with the songs.
{hero} put the {thing} into the little bed. The baby slept with it that night.
| "Hurry up and grow," said {hero}. "We have so much to do."

== anyone: The long soup

{hero} was cooking soup in a big pot.
| It was a cold day, and {hero} wanted to make soup. But {he} only had one carrot.
| One cold evening, {who} looked into the kitchen. There was nothing but one small carrot.
| {who} put a pot of water on the fire and put one carrot in it.
"It tastes like warm water," said {hero}, and {he} was sad.
| {hero} tried it with a spoon. "It is so thin," {he} said.
There was a knock at the door. {pal} stood outside. "It smells good here," said {friend}. "May I have some?"
  {friend.He} had a potato.
| Knock, knock! It was {pal}. "I am cold and hungry," said {friend}, "and I only have a potato." "Come in," said {hero}.
? Then a duck came and brought some beans. A mouse came and brought a piece of cheese.
| Soon the neighbor came with two onions, and a goat came with some cabbage.

Everybody put something into the pot. {hero} turned the spoon around and around. Now it smelled wonderful!
| The pot got fuller and fuller. Then the soup ran over, and {hero} had to get a second pot. They ate from both.

They sat around the fire and ate until the pot was empty.
| There was enough for everyone, and even some for the next day.
? "What is the soup called?" asked {friend}. {hero} thought about it. "Soup of all of us," {he} said.
| "How did you make it?" they asked. "I had a carrot," said {hero}.
After that, they cooked together every week, and {hero} always brought the carrot.
| When they had all gone home, it was still warm in {hero}'s house.

== dragon: The dragon with no fire
home: in a cave on a hill | on a high mountain | in a valley far away

{hero} was a dragon, but {he} could not make fire.
| All the other dragons could make fire. {hero} could only make bubbles.
| {who} opened {his} mouth as wide as {he} could. But no fire came out.
| "Fire!" shouted the other dragons. But {who} only made a small cloud of smoke.
? The other dragons laughed. "You are a kettle," they said.
| {hero} tried it every day. {He} ate pepper. {He} ate hot stones. It did not help.
So {hero} flew away and sat down on a hill, all alone.
| One evening, {hero} walked into the forest. {He} did not want anyone to see {him} cry.
There {he} met {pal}. "Are you going to eat me?" asked {friend}. "No," said {hero}. "I only eat pancakes."
| There sat {pal}. {friend} was not afraid. "You look sad, dragon," {friend.he} said.

{friend} had cold feet. {hero} blew on them, and out came soft, warm air. "That is better than fire," said {friend}.
  Soon all the animals of the forest came to warm their feet.
| {friend} tickled {hero} on the nose with a feather. "Ah, ah, achoo!" Out came a long red flame. It burned a bush.
  "There it is!" cried {friend}. "It was only stuck."

{hero} was so happy that {he} flew three circles over the trees.
| "You are the best dragon in the world," said {friend}.
? The other dragons came too. "Can you show us how you do that?" they asked.
| Now nobody laughed anymore.
After that, {hero} and {friend} ate pancakes every Sunday.
| And {hero} was the only dragon who was ever invited to birthday parties.

== pig | lamb | goat: The bath
home: on a farm | on a small farm by the river | in an old barn

{hero} loved mud, and {he} did not like baths.
| There were many animals on the farm, but none was as dirty as {hero}.
| "No bath!" cried {who} and ran out of the barn.
| {who} sat in the mud and was happy.
It was Sunday. "Today we will all be clean," said {elder}. "Aunt Rose is coming."
| "Bath time!" called {elder}. There was a tub of warm water and a big brush.
{hero} ran away. {He} ran under the fence and around the barn, and {elder} ran after {him}.
| {hero} hid behind the hay. But {his} nose stuck out.
? "I am not {hero}," said {hero}. "I am a stone."
| "Mud is good for the skin," said {hero}.
{elder} laughed, but the water was getting cold.
| "We will see," said {elder}.

Then {hero} ran into the lake by mistake. Splash! When {he} came out, {he} was as clean as snow. {hero} was very angry
  about it.
| Then {pal} came. "Where is {hero}?" asked {friend}. "I am here!" said {hero}. "No," said {friend}. "{hero} has ears
  and a nose. You are only mud." So {hero} went into the bath very quickly.

That evening, everybody ate corn and apples.
| The hens had seen it all, and they could not stop laughing.
"You smell like flowers," said the goose. {hero} did not know if that was good.
| "What a nice clean {kind}," said the cow.
The next morning, {hero} was back in the mud.
| {hero} was clean for one whole hour.

== anyone: The firefly lamp

One night, {hero} was far from home, and the sun went down.
| {hero} stayed too long in the forest. Now it was getting dark.
| It was getting dark, and {who} was still in the forest.
| {who} picked berries until {he} could not see them anymore. It was night.
"Which way is home?" {he} asked. All the trees looked the same.
| {hero} walked left and came to a rock. {He} walked right and came to the same rock.
Then {hero} saw a small light between the leaves. It was a firefly, and it was caught in a web.
| Then something blinked in the grass. A firefly was caught in a web.
? "Help me, please," it said in a tiny voice.
| "I cannot fly," said the firefly.

{hero} freed it very carefully. "Thank you," said the firefly. "Now I will help you." It called all its friends, and
  they made a long road of light. {hero} walked along the road to {his} own door.
| {hero} freed it and put it into {his} hat, and the hat became a lamp. They went on together. "Left," said the
  firefly, "and now past the pond." Soon {hero} heard {elder}'s voice.

{elder} stood at the gate. "I was so worried," {elder} said.
| At home there was soup, and a warm bed.
? "This is my friend," said {hero}, but the firefly was already gone.
| {hero} said goodbye to the firefly. "Come and see me," {he} said.
Every summer night, a small light blinked at {hero}'s window.
| And {hero} never picked berries without a lamp again.

== anyone: The hill of snow
sled: a red sled | an old sled | a wooden sled | a fast sled

{hero} had {sled}, and the hill was white with snow.
| {hero} got {sled} from {elder}. Now {he} needed a hill.
| {who} pulled a sled up the hill. It was a very high hill.
| "Today I will go down the big hill," said {who}.
From the top, the houses looked like toys. {hero} was not so brave anymore.
| At the top, {hero} looked down. It was a long way.
"Are you scared?" asked {pal}. "No," said {hero}. But {his} knees were shaking.
| {pal} was there too. "You go first," said {friend}. "No, you can go first," said {hero}.
? They stood there and looked down for a long time. Their noses got cold.
| A little mouse went down on a leaf. "Hurray!" it called. Then it walked up and did it again.

"Let us go together," said {friend}. {hero} sat in front, {friend} sat behind. They shut their eyes, and whoosh, down
  they went! They screamed all the way and then they laughed.
| {hero} only wanted to sit on it for a moment. But the sled did not know that. Whoosh! It flew down the hill, over a
  bump and into a soft heap of snow. Two feet stuck out. "Again!" said {hero}.

They went up and down until it was dark.
| "One more time," said {hero}. They did it ten more times.
? {elder} had hot cocoa for them, and there was steam on the window.
| Then their mittens were wet and they went home.
"It was not high at all," said {hero}.
| "Tomorrow we will go even faster," said {hero}.

== anyone: The storm

{hero} was brave in the day, but {he} did not like thunder.
| It was evening, and dark clouds came over the hills.
| The sky turned black. {who} looked out of the window and felt very small.
| "Boom!" said the sky, and {who} jumped under the blanket.
First came the wind, then the rain, and then a big flash. Boom!
| There was a flash, and then a loud boom. The windows shook.
"Is the sky angry?" asked {hero}. "No," said {elder}. "It is only cleaning up."
| {hero} held on to {elder} with both arms. "Make it stop," {he} said.
? The lamp went out. Now it was dark in the whole house.

"Let us count," said {elder}. They counted after each flash. One, two, three, boom! Then it was five, and then it was
  ten. "It is going away," said {hero}.
| {elder} got two pots and two spoons. Each time the thunder said boom, {hero} said boom too. Soon {hero} was louder
  than the storm.

? Outside, drops fell from the trees, and the air smelled fresh.
The next morning, the garden was full of puddles, and the sun was in all of them.
| In the morning, the sky was as blue as the sea.
"Good morning, sky," said {hero}. "Are you clean now?"
| After that night, {hero} always counted when there was thunder.
"""


class Plot(NamedTuple):
    title: str
    heroes: list[str]
    slots: dict[str, list[str]]
    beats: list[list[str]]  # the ways to tell each beat; an empty list is a possible paragraph break


class Story(NamedTuple):
    plot: str
    words: dict[str, str]  # what the {slots} of its plot stand for
    text: str


def parse(script: str) -> list[Plot]:
    """Read plots in the notation described at the top of this file."""
    plots = []
    for block in re.split(r"^== ", script, flags=re.M)[1:]:
        head, *paragraphs = block.strip().split("\n\n")
        title, *slots = head.split("\n")
        heroes, title = title.split(": ")
        beats: list[list[str]] = []
        for paragraph in paragraphs:
            beats.append([])
            for line in re.sub(r"\n  +", " ", paragraph).split("\n"):
                if line.startswith("| "):
                    beats[-1].append(line[2:])
                else:
                    beats.append([line])
        pairs = [slot.split(": ") for slot in slots]
        # No break before the first paragraph.
        plots.append(Plot(title, heroes.split(" | "), {k: v.split(" | ") for k, v in pairs}, beats[1:]))
    return plots


PLOTS = parse(SCRIPT)


def fill(text: str, words: dict[str, str], rng: random.Random) -> str:
    """Make every [choice|in] a text and replace its {slots}; {He} is {he} with a capital letter."""
    while "[" in text:
        text = re.sub(r"\[([^\[\]]*)\]", lambda match: rng.choice(match[1].split("|")), text)

    def word(match: re.Match) -> str:
        key = match[1]
        if key in words:
            return fill(words[key], words, rng)
        value = fill(words[key.lower()], words, rng)
        return value[0].upper() + value[1:]

    return re.sub(r"\{([\w.]+)\}", word, text)


def choose_cast(heroes: list[str], rng: random.Random) -> dict[str, str]:
    """Choose the people of a story: a hero, a friend and an elder, with their pronouns."""
    kind = rng.choice(heroes)
    if kind == "anyone":
        kind = rng.choice(["child", "animal"])
    role = "child" if kind == "child" else "animal"
    names = CHILDREN if role == "child" else ANIMALS
    # The friend takes the other pronoun, so that it is always clear who "he" and "she" are.
    he, other = rng.choice([("he", "she"), ("she", "he")])
    if role == "child":
        kind, friend_kind = KINDS[he], KINDS[other]
    else:
        kind = rng.choice(BEASTS) if kind == "animal" else kind
        friend_kind = rng.choice([beast for beast in BEASTS if beast != kind])
    elder = rng.choice(ELDERS)
    return {
        "hero": rng.choice(names[he]),
        "kind": kind,
        "friend": rng.choice(names[other]),
        "friend.kind": friend_kind,
        "elder": elder,
        "hand": "hand" if role == "child" else "paw",
        "who": f"{{{role}_who}}",
        "pal": f"{{{role}_pal}}",
        "home": f"{{{role}_home}}",
        **PRONOUNS[he],
        **{f"friend.{key}": value for key, value in PRONOUNS[other].items()},
    }


def tell(plot: Plot, rng: random.Random) -> Story:
    """Tell a plot once."""
    words = PHRASES | choose_cast(plot.heroes, rng)
    for slot, options in plot.slots.items():
        words[slot] = fill(rng.choice(options), words, rng)

    introduced = rng.random() < INTRODUCED
    opening = rng.choice([way for way in plot.beats[0] if ("{who}" not in way) == introduced])
    if introduced:
        opening = ("{once} " if rng.random() < ONCE else "{meet} ") + opening
    break_chance = rng.choice([0, 0.8])

    paragraphs: list[list[str]] = [[]]
    for ways in [[opening], *plot.beats[1:]]:
        if not ways:
            if rng.random() < break_chance:
                paragraphs.append([])
        elif not ways[0].startswith("? ") or rng.random() < 0.5:
            beat = fill(rng.choice(ways).removeprefix("? "), words, rng)
            paragraphs[-1].append(beat[0].upper() + beat[1:])
    if rng.random() < THE_END:
        paragraphs[-1].append("The end.")
    text = "\n\n".join(" ".join(beats) for beats in paragraphs)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    text = re.sub(r"(?<=[.!?] )[a-z]", lambda match: match[0].upper(), text)
    return Story(plot.title, words, text)


def stories(count: int = 20_000, seed: int = 1234) -> Iterator[str]:
    """Yield `count` distinct stories of 60 to 200 words; the first n do not depend on `count`."""
    rng = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        text = tell(rng.choice(PLOTS), rng).text
        if 60 <= len(text.split()) <= 200 and text not in seen:
            seen.add(text)
            yield text


def main() -> None:
    parser = argparse.ArgumentParser(description="Print stories of the sample corpus.")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1234)
    args = parser.parse_args()
    print("\n\n----\n\n".join(stories(args.count, args.seed)))


if __name__ == "__main__":
    main()

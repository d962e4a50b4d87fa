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
    "he": "Tom Ben Sam Max Tim Jack Leo Finn Dan Nick Luke Adam Peter Oscar Henry Theo".split(),
    "she": "Lily Mia Anna Lucy Sara Emma Ella Clara Nora Amy Kate Ruby Jane Eva Alice Zoe".split(),
}
ANIMALS = {
    "he": "Pip Bobo Rusty Toby Hugo Bruno Otto Milo Teddy Charlie".split(),
    "she": "Dot Daisy Poppy Rosie Bella Coco Molly Penny Tilly Pearl".split(),
}
KINDS = {"he": "boy", "she": "girl"}
BEASTS = "rabbit bear fox mouse squirrel hedgehog badger beaver".split()
ELDERS = "Mom Dad Grandma Grandpa".split()

# Phrases that any plot may use. Unlike a slot, a phrase is chosen anew each time.
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
| "Fly, kite, fly!" {hero} shouted, and the wind lifted it up to the clouds.
Then the string broke with a snap, and the kite fell into a tall tree.
| Then a big wind pulled hard, and the kite came down in the top of an old tree.
| But soon the kite turned around, dived down and got stuck in a tree.
"Oh no!" said {hero}. {He} jumped and jumped, but {he} could not reach it.
| {hero} tried to climb up, but the tree was too big. {He} sat down on the grass and sighed.

{pal} came by and saw the kite. "I have an idea," said {friend}. "Let us throw a ball at it." {friend} threw the ball,
  and on the third try the kite came down.
| Just then {pal} came along with a long stick. {friend} pushed the branch, {hero} shook the tree, and the kite fell
  down at last.
| A black bird sat in the tree. It looked at the kite, pulled at the tail with its beak, and the kite fell right onto
  {hero}'s nose. "Thank you, bird!" {hero} laughed.
| {pal} said, "Do not be sad. Let us wait for the wind." They sat and ate an apple. Soon the wind blew again, and the
  kite came down all by itself.

? There was a small hole in it, so {hero} put a yellow patch on it at home.
| The kite had lost its tail, so {hero} made a new one from an old sock.
| The kite was not even broken.
After that, {hero} only flew the kite far away from trees.
| {hero} named the kite Jumper, because it liked to jump into trees.
| That evening, {hero} hung the kite over the bed and dreamed of flying.

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
| {hero} looked in the kitchen, and {elder} looked behind the couch.

Then {hero} remembered. {He} had played in the garden! {elder} took a lamp, and they went outside in the dark. The
  {toy} sat under the apple tree, a little wet but safe.
| Then they heard a small sound. The cat was asleep in a basket, and under its paw was the {toy}. "You took my {toy}!"
  laughed {hero}. {elder} gave the cat another toy.
| {hero} began to cry. {elder} lifted the blanket to make the bed again, and out fell the {toy}. It had been at the
  bottom of the bed all the time!
| "I had a tea party today," {hero} said slowly. {He} ran to the little table. There sat the {toy}, in front of an
  empty cup, as if it was still waiting for tea.

? {hero} hugged the {toy} tight. "Never hide again," {he} said.
| "There you are," said {hero}, and {he} gave the {toy} a kiss on the nose.
{elder} turned off the light, and soon {hero} and the {toy} were asleep.
| "Good night, {hero}. Good night, {toy}," said {elder}. Soon the house was quiet.
| That night, {hero} held the {toy} with both arms and slept until morning.

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
| Then {hero} saw the sky in the puddle, with a white cloud in it. "I am standing on a cloud!" said {hero}. {friend}
  came to look, and they walked on the clouds together.
| {hero} jumped too far and sat down in the water with a plop. {His} pants were wet, and so were {his} ears. For a
  moment {he} wanted to cry, but {friend} sat down in the puddle too.

? When they came home, {elder} had warm towels and hot cocoa for them.
| At home, {elder} looked at the muddy feet and laughed. "Who are you? Are you made of mud?"
"I hope it rains tomorrow," said {hero}.
| {hero} put the {color} boots by the door, ready for the next rainy day.
| From then on, {hero} was happy about every gray cloud.

== anyone: The salty cake
cake: apple cake | chocolate cake | carrot cake | lemon cake
guest: Grandma | Grandpa | Aunt Rose

{hero} wanted to bake a cake, because {guest} was coming to visit.
| One day, {hero} said, "Today I will bake a cake all by myself."
| {who} stood on a chair in the kitchen. It was time to bake a cake.
| On Sunday morning, {who} wanted to make a surprise. It was going to be a {cake}.
{hero} put flour in a bowl. Then {he} added eggs and milk and mixed everything with a big spoon.
| First came the eggs, then the flour, then the butter. There was flour on the table and on {hero}'s nose.
"Now the sugar," said {hero}, and {he} took the white jar from the shelf.
| Then {hero} needed sugar. There were two white jars, and {he} took the one on the left.
? Soon a sweet smell came from the oven. The {cake} looked perfect.
| The {cake} came out of the oven, round and brown. {hero} was {proud}.

In the afternoon, {guest} came and took a big bite. Then {guest} made a very funny face.
| At the table, {guest} took the first bite and quickly drank a whole cup of water.

"Is it good?" asked {hero}. "Well," said {guest}, "it tastes like the sea!"
| "What is wrong?" asked {hero}. {He} took a bite too. It was full of salt!
"Oh no, I took the wrong jar!" said {hero}. Then they both began to laugh. They went back to the kitchen and baked a
  new {cake} together.
| {hero} was sad for a moment. But {guest} said, "I once put soap in the soup." {hero} laughed, and they ate bread and
  jam in the garden.
| {hero} took the {cake} outside and put it by the fence. The goat came and ate it all. "At least the goat likes it,"
  said {hero}, and {guest} laughed too.
After that, {hero} drew a picture of a fish on the salt jar, and {he} never took the wrong one again.
| The next time, {hero} put one finger in the jar first. It was sweet. Good!
| "Next week I will make soup," said {hero}. "Soup needs salt."

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
| {hero} told the seed a story every evening, so that it would not be lonely.

It rained, and the sun came out, and it rained again. Then one morning there was a green leaf!
| Many days went by. {hero} almost forgot the seed. Then {he} saw something small and green.

? The plant grew and grew. Soon it was taller than {hero}.
| Every day the plant was a little bigger. A ladybug came to live on it.
| One night there was a storm. {hero} was afraid for the plant, so {he} tied it to a stick. In the morning it was
  still standing.
At the end of the summer, {hero} had a big, beautiful {plant}. "It is a {plant}!" {he} called.
| One warm day, {hero} saw what it was. "Look, {elder}! It is a {plant}!"
"You did it," said {elder}. "You took good care of it."
| {hero} danced around the {plant} three times.
{hero} kept one new seed in a little box, for the next spring.
| And because it had made new seeds, {hero} gave one to each friend.
| "It was so small," said {hero}, "and now look!" {He} was the happiest {kind} in the garden.

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
| {hero} called {elder}, and together they went to look.

It was only a tiny kitten! It was cold and wanted to come in. {hero} gave it some milk and a warm place by the bed.
| It was only a branch. The wind moved it, and it touched the window. "Good evening, tree," said {hero}, and {he}
  began to giggle.
| It was a little mouse with a nut that was much too big for its door. {hero} broke the nut, and the mouse took the
  pieces home.
| It was {pal}! "I could not sleep," said {friend}. "May I stay with you?" {hero} was very glad, because now {he} was
  not alone.

? "I am glad I looked," said {hero}. "A noise is just a noise."
| "So there was no monster at all," said {hero}.
| "That was brave," said {elder} from the door.
Then {hero} went back to bed and slept until the sun came up.
| After that night, {hero} was not afraid of the dark anymore.
| Soon it was quiet, and {hero} fell asleep with a smile.

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
| At lunch, {hero} opened {his} box and a frog jumped out! Everybody screamed and then laughed. A {friend.kind} named
  {friend} caught the frog. "Can we be friends?" asked {friend}.

? In the afternoon, they painted a big picture together.
| The teacher read a story about a whale, and {hero} and {friend} sat side by side.
| They played on the swing, and they built a tower with blocks.
When {elder} came, {hero} did not want to go home. "Can I come back tomorrow?" {he} asked.
| "How was it?" asked {elder}. "I have a friend!" said {hero}.
On the way home, {hero} talked and talked and talked.
| That evening, {hero} packed the bag again, all by {himself}.
| {hero} {smiled}. School was not so bad after all.

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
| {hero} climbed onto a big rock and looked at the clouds. A tear ran down {his} nose.

When it was getting dark, {hero} went home. There was no light in the house. {He} opened the door. "Surprise!" they
  all shouted.
| Then {friend} came running. "Come quickly, something is wrong at your house!" {hero} ran as fast as {he} could. But
  nothing was wrong. In the garden there were lamps in all the trees. "Surprise!"
| Then {hero} smelled something sweet. {He} followed the smell, around the house and into the garden. There stood a
  long table with a huge cake. "There you are!" said {friend}.

Everybody sang, and {elder} gave {hero} a big hug.
| "Did you think we forgot?" asked {friend}. "I was busy with your present!" It was a little wooden boat.
| {elder} gave {hero} a box. In the box was a hat, and in the hat was a bell.
? {hero} laughed and cried at the same time.
| "You were all so bad at saying nothing," {hero} laughed.
It was the best birthday {hero} ever had.
| That night, {hero} went to bed with cake on {his} chin and a big smile.
| They danced until the moon was high, and {hero} danced the most.

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
| Then they went to get ice cream. When they came back, there was only a round hill of sand, and the sea was all
  around it.

{hero} was sad and kicked the sand. But {friend} said, "Now we can build a new one, even bigger!"
| For a moment {hero} wanted to cry. Then a small crab came out of the sand and sat down on the highest spot. "There
  is the king!" shouted {friend}, and {hero} had to laugh.
| "It took us all day," said {hero}. "We can make a boat now," said {friend}. They made a boat of sand and sat in it,
  and in their game they sailed across the sea until the sun went down.
? When they went home, there was sand in their shoes and in their hair.
| {elder} called them, and they ran back with their buckets.
"Tomorrow I will build it farther from the water," said {hero}.
| {hero} kept one shell from the castle and put it next to {his} bed.
| {hero} could still hear the waves when {he} fell asleep.

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
| The nest was broken. So {hero} and {pal} made a new one from a basket and some hay. {friend} hung it in the tree,
  and they hid behind a bush and waited.
| "What do birds eat?" {hero} asked {pal}. "Worms," said {friend}. They fed the bird for many days, until it was
  strong enough to fly up to the nest.

Soon the mother bird came and sang and sang, because everything was good again.
| The mother bird flew around {hero}'s head three times, as if to say thank you.
All summer, the little bird came to {hero}'s window and sang a song.
| A few weeks later, a young bird landed on {hero}'s arm. "I know you!" said {hero}.
| {hero} waved to the birds every morning on {his} way.
And sometimes {hero} sang a song for the birds, as well as {he} could.
| "Sing something," said {hero}, and the bird did.
| {hero} was glad that {he} had stopped to listen.

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
| Then an old woman came. "This is my dog," said the woman. "But my legs are tired. Could you take it for a walk each
  day?" {hero} did not have to think at all. "Yes!" {he} said.
| Nobody came. But the puppy got away and ran through the park, right to a bench. There sat a {friend.kind} named
  {friend}, who had looked for it all day. "Let us share the walks," said {friend}, and {hero} was happy.

From that day on, {hero} and {dogname} ran in the park every afternoon.
| {hero} threw a stick, and {dogname} brought back a shoe. They still had a lot to learn.
| {dogname} slept in the sun, and {hero} sat next to the puppy and read a book aloud.

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
| "The one who is quiet the longest gets it," said {friend}. They sat and did not say a word.

But while they were busy, a bird flew in at the window. It picked up the {food} and flew away! {hero} and {friend}
  looked at the empty plate. Then they laughed until their tummies hurt.
| {hero} won. {He} picked up the {food}. But {friend} looked so sad that {hero} broke it in two. "Half for you," {he}
  said. It tasted even better that way.
| Then they looked at the plate again. It was empty, and there were crumbs all over {elder}. "Oh," said {elder}. "Did
  you want that?" Then {elder} had to bake new ones, and {hero} and {friend} helped.
| In the end, nobody won. "Let us give it to {elder}," said {hero}. {elder} was so pleased that there were soon ten
  warm {food}s on the table.

"Next time we share right away," said {hero}.
| "Next time," said {friend}, "we eat faster." {hero} agreed.
| "I was not even hungry," said {hero}, and {friend} giggled.
Then {hero} and {friend} went out to play again.
| {hero} and {friend} stayed friends, with or without a {food}.

== anyone: The tall tower

{hero} liked to build, and today {he} wanted to build a tower.
| One rainy day, {hero} took out all the blocks {he} had.
| {who} had a big box of wooden blocks. "I will build a tower up to the sky," {he} said.
| Block on block on block, {who} built a tower.
{He} used the red blocks first, then the blue ones. Soon the tower was as tall as a chair.
| "Ten, eleven, twelve," {hero} counted. The tower got taller and taller.
| {hero} worked slowly, with the tip of {his} tongue out. The tower was almost as tall as {he} was.
Then {pal} ran in. "Look at me!" called {friend}. Bump! Crash! All the blocks fell down.
| But {pal} opened the door, the wind came in, and the tower fell down with a crash.
| {hero} wanted to put on one more block. The tower moved to the left, then to the right. Crash! {pal} came to see
  what the noise was.
? "My tower!" cried {hero}. {He} was so angry that {his} face turned red.
| {hero} did not say anything. {He} just looked at the blocks on the floor.

"I am sorry," said {friend}. "I will help you." {friend} gave {hero} the blocks, and {hero} put them up, one by one.
| "Maybe the bottom was too small," said {friend}. So {hero} began again, with the biggest blocks at the bottom.
| {friend} looked at the mess. "It looks like a city now," {friend.he} said. {hero} looked again. It was true! They
  made streets and a bridge and a tiny zoo.
| "Can we make it fall again?" asked {friend}. "It was so loud!" {hero} had to laugh. They built it and knocked it
  down, again and again.

They played until dinner, and {elder} had to call them three times.
| {elder} came in and said, "That is the best thing I have seen all week."
"Tomorrow we will build it again," said {hero}.
| "Two can build better than one," said {hero}.
| At the end of the day, {hero} was tired, and the blocks went back to sleep in the box.

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
| Then a duck walked across the road. {hero} wanted to see where it was going. {He} got on and followed the duck,
  faster and faster. "You are riding!" shouted {elder}.

? "I am riding!" cried {hero}. The wind was in {his} hair, and the bell went ding, ding, ding.
| {hero} laughed out loud. It felt like flying.
| But {hero} did not know how to stop. {He} rode three times around the house, until {elder} caught the bike.
After that, {hero} rode {his} {color} bike to the shop, to the park and to school.
| That night, {hero} put a ribbon on the bike to say thank you.
| "Tomorrow," said {hero}, "I will ride to the moon." "Be home for lunch," said {elder}.

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
| One evening, the moon was in the water, round and yellow. {hero} wanted to touch it. {He} leaned forward and fell in
  with a splash. But {hero} did not sink! {His} feet knew just what to do.
| One day it rained so much that the pond came up to the grass where {hero} sat. {He} wanted to run away. But the
  water lifted {him} up, soft as a pillow. "Oh," said {hero}. "Is that all?"

? "You are swimming!" shouted everyone.
| "Look at me, {elder}!" called {hero}.
From then on, {hero} was the first in the water and the last to get out.
| {hero} swam around the pond three times, and the blue fly came too.
| That night, {hero} was so tired that {he} fell asleep with wet feet.

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
| "Tickets, please," said the man in the blue hat. {hero} showed {his} ticket, and the man made a hole in it.

Suddenly the train stopped. A sheep was standing in the way, and it would not move. {hero} held some grass out of the
  window, and the sheep came to eat it. Then the train could go on.
| Then {hero} saw that {his} hat was gone. {He} looked under all the seats. A baby sat in the next row, and the baby
  wore the hat! Everybody laughed, and {hero} let the baby wear it until they got out.
| A {friend.kind} sat across from {hero} and looked sad. "I am {friend}," said the {friend.kind}. "We are moving
  away." {hero} shared {his} bread, and they counted all the bridges. When {friend} got out, they waved for a long
  time.
| Dad fell asleep. "We must get out soon," thought {hero}. {He} read the signs, one by one. When {he} saw the right
  one, {he} shouted, "Wake up, Dad!" They jumped out just in time.

At the last station, Grandma stood there and waved with both arms.
| There was Grandma! {hero} ran up to Grandma and talked and talked.
"What was the best part?" asked Grandma. "All of it," said {hero}.
| That night, in the soft bed, {hero} could still hear it. Chug, chug, chug.
| When {hero} grows up, {he} is going to drive a train.

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
| Then came the place where the water fell down over the rocks. {hero} shut {his} eyes. "Look!" said {friend}. The
  boat had jumped, and it was still swimming.
| Then the boat got wet and slow, and it lay on its side. "It is tired," said {friend}. {hero} blew as hard as {he}
  could, and the boat sailed on.

They watched until there was nothing more to see.
| Soon the stream became wide, and they could not follow any farther.
That evening, {hero} made ten more boats, one for every day and some for {friend}.
| {hero} waved. Maybe somebody would find it, far away, and wave back.
| Two days later, {friend} came with a wet piece of paper. "It came back!" said {hero}, and they laughed.

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
| The snowman looked cold, so {hero} gave it {his} scarf. "Now you are cold," said {friend}, and {friend.he} put one
  end of {friend.his} own long scarf around {hero}. They stood there, three friends with two scarves.
| In the afternoon, the sun came out, and the snowman got smaller and smaller. "Do not go!" said {hero}. They put new
  snow on its head and its feet, one bucket after the other, until the sun went down.

? Then {elder} called them in for hot soup.
| When their feet were cold, they went in and sat by the fire.
{hero} looked out of the window and waved. It seemed that the snowman waved back.
| "Good night, snowman," said {hero}. Outside, it began to snow again.
| All winter, {hero} said good morning to the snowman first.

== anyone: To catch the moon

{hero} looked at the moon every night. It was so round and so bright.
| One night, {hero} decided to catch the moon.
| "I want the moon," said {who} one evening. "I want to keep it in my room."
| One clear night, {who} saw the moon sit right on top of the hill.
First {hero} climbed the hill with a net. But when {he} got there, the moon was above the trees.
| {He} took a long ladder and put it against a tree. {hero} climbed to the top, but the moon was still too far.
| {hero} threw a rope up high. It came down again and landed on {his} own head.
Then {hero} saw the moon in the pond! {He} put a bucket into the water, very slowly.
| On the way home, {hero} came to the pond. There was the moon, in the water. {hero} put in a {hand}, but the moon
  broke into a hundred pieces.

"What are you doing?" asked {pal}. "I am catching the moon," said {hero}. {friend} put down a bowl of water. "Look in
  here," said {friend}. And really, there was a little moon in the bowl.
| An old owl watched from a branch. "If you take it," said the owl, "how will I find my way home?" {hero} had not
  thought of that. "Then I will leave it in the sky," {he} said.
| {hero} was tired and went to bed. But then {he} saw a white light on the floor. The moon had come in through the
  window all by itself!
| "I cannot get it," {hero} told {elder}. {elder} smiled and baked a big yellow pancake. "Here is your moon," said
  {elder}. {hero} ate it with honey.

? "Good night, moon," said {hero}.
| {hero} {smiled} up at the sky, and it seemed that the moon smiled too.
| The next night, the moon was thinner. "Somebody took a bite," said {hero}.
At home, {hero} closed {his} eyes and slept.
| After that, {hero} never tried to catch the moon again. {He} only waved.
| "Tomorrow I will catch a star," said {hero}, and {he} went to bed.

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
| The birds flew away, and the baby next door began to cry.
"Can you play softly?" asked {pal}. "No," said {hero}. "A drum is loud."
| "I like your drum," said {pal}. "But I like it best from far away."

One day there was a thick fog. {friend} was lost in it and did not know where to go. "{sound}!" played {hero}, as loud
  as {he} could. {friend} walked toward the sound and came home safe.
| Then {hero} tried it with two feathers. It sounded like rain on the roof. {elder} came to listen, and the cat came
  out from under the bed.
| Then there was a parade in the town. They had trumpets and flags, but no drum. "I have one!" called {hero}, and {he}
  walked in front of them all.
| One morning, the whole village slept too long, because the clock had stopped. "{sound}!" played {hero}, and
  everybody woke up. "What would we do without your drum?" they said.

After that, nobody said that the drum was too loud.
| "That was beautiful," said {elder}, and {hero} was {proud}.
| "Play it again," said {friend}.
But at night, {hero} put a blanket over the drum, so that it could sleep too.
| And {hero}? {He} played one more time, very softly. "{sound}."
| {hero} took a bow, and everyone clapped.

== bird | cricket | frog: The shy singer
home: near a blue pond | in the tall grass | beside a small stream

{hero} could sing better than anyone, but nobody knew it.
| {hero} loved to sing, but only when {he} was alone.
| {who} sang every night, when all the others were asleep.
| {who} had a lovely voice and was too shy to use it.
? When somebody came near, {hero} closed {his} mouth and turned red.
| {He} was afraid to sing for the others. "What if they laugh at me?" thought {hero}.
In summer, there was a big concert by the pond. All the animals wanted to sing.
| "Who will sing at the summer party?" asked the old owl. {hero} looked at the ground.
"Will you sing too?" asked {pal}. "No, no," said {hero} quickly. "I cannot sing."
| {pal} said, "I heard somebody sing last night. It was wonderful. Was it you?" {hero} did not answer.

At the concert, a duck sang, and then a goose. Then the lamps went out. It was so dark that nobody could see anything.
  {hero} took a deep breath and began to sing. When the lamps were on again, everyone looked at {him}.
| On that night, a baby rabbit cried and cried, and nobody could begin. {hero} sang a soft song, and the baby closed
  its eyes. "So it was you!" said {friend}.
| On the big night, {hero} shook like a leaf. "Close your eyes," said {friend}. {hero} closed {his} eyes and sang.
  {He} forgot where {he} was. {He} only heard the song.
| "Let us sing together," said {friend}. So they stood up side by side and began to sing. After a while, {friend}
  stopped, but {hero} sang on and did not even know that {he} was alone.

When the song was over, it was quiet. Then everybody clapped and shouted, "More!"
| Nobody laughed. The old owl had a tear in one eye.
? "I did not know that you could do that," said the goose.
| {hero} sang three more songs, and the fish danced in the pond.
Now {hero} sings every evening, and the whole pond goes quiet to listen.
| {hero} was still a little shy after that. But not when {he} sang.
| "Thank you, {friend}," whispered {hero}.

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
| {friend} knew what to do. "Walk the way you walked then." {hero} walked three steps, turned around twice and fell
  into a hole. It was full of nuts!
| They looked all day. In the evening, an old {kind} laughed at them. "Look up, {hero}!" There was a bag in the tree,
  full of nuts. {hero} had put it there {himself}.

? They sat by the fire and told stories until it was late.
| {hero} was not hungry anymore, and {he} hugged {friend}.
In spring, little trees grew all over the forest. "Oh," said {hero}. "There are the other nuts."
| The next year, {hero} made a map.
| "Next fall," said {hero}, "I will put them all in one place." But {he} forgot that too.

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
| Then the cat jumped on the table. It walked through the {color} paint and right across the picture.
"It is ruined!" cried {hero}.
| {hero} looked at it, and {his} eyes were full of tears.

"Wait," said {elder}, and turned the paper around. "What do you see now?" {hero} looked at the spot. It had a nose and
  a tail. "A {color} elephant!" {he} said, and {he} painted the ears.
| {hero} wanted to throw it away. But the longer {he} looked, the more {he} saw. It was a lake! {He} painted two boats
  and a fish, and now it was even better.
| {hero} was angry for a while. Then {he} dipped one finger in the paint and made dots all around the spot. It became
  a big flower.
| "I like it," said {elder}. "It looks like a dragon." {hero} thought about that. {He} gave it wings and let it fly
  over the house.

{elder} put the picture on the wall, right next to the door.
| "May I keep it?" asked {elder}. "It is for you," said {hero}.
After that, {hero} made a spot first and then looked at what it wanted to be.
| {hero} had paint on {his} nose for three days.
| "It was a good spot," said {hero}.

== child: The broken cup
thing: cup | vase | plate | teapot
color: blue | white | golden | green

{hero} was playing with a ball in the living room.
| One day, {hero} was dancing in the kitchen.
| {who} was playing inside, because it was raining. {He} threw a ball against the wall.
| It was too cold to go out, so {who} jumped from chair to chair.
On the shelf was a {color} {thing}. It was very old, and {elder} loved it.
| {elder} had a {color} {thing} with a flower on it. Nobody was allowed to touch it.
Then {hero} bumped into the shelf. Crash! The {thing} lay on the floor in many pieces.
| Suddenly there was a crash. {hero} had touched the {thing} with one arm, and now it was broken.
{hero} felt cold and hot at the same time. "What should I do?" {he} thought.
| {hero} looked at the door. Nobody had heard it.

{He} put the pieces in a box and hid it under the bed. But at dinner {hero} could not eat. At last {he} got the box.
  "I broke it," {he} said. "I am so sorry."
| The dog came in and looked at the pieces. "I could say that it was you," said {hero}. The dog licked {his} hand.
  "No," said {hero}, "that is not right." And {he} went to {elder} and told the truth.
| {hero} tried to glue it. But the glue was on {his} fingers, on the table and on {his} nose. When {elder} came in,
  the {thing} stuck to {hero}. "I broke your {thing}," {he} said in a small voice.
| {hero} went to {elder} right away. It was only ten steps, but they were long ones. "Your {thing} is broken," {he}
  said. "I did it."

{elder} was quiet for a while. "I am sad about the {thing}," {elder} said, "but I am glad that you told me."
| {elder} took {hero} in both arms. "A {thing} is only a {thing}," said {elder}. "Are you hurt?"
? Together they glued it. It had lines all over now, like a map.
| They put the pieces into the garden, between the flowers, and they looked pretty in the sun.
| On Saturday they made a new one out of clay. It was not very round, but it was {color}.
{hero} felt light again.
| From then on, {hero} played outside.
| And that night, {hero} slept very well.

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
| First they lay on the blanket and looked at the clouds. One looked like a shoe.
When they came back to the basket, {hero} opened it. "It is empty!" {he} cried.
| Then {hero} opened the basket. There was almost nothing left!

A long line of ants went by. Each ant had a crumb on its back. "It is their picnic now," laughed {hero}. They ate
  berries from the bush.
| Behind the tree, they heard a burp. There sat a fat goose with crumbs on its beak. "You could have asked," said
  {friend}. The goose looked at its feet.
| A tiny mouse sat in the basket. It was very thin. {hero} wanted to be angry, but {he} could not. "Let us eat
  together," {he} said, and {he} found one last piece in the corner.
| "The food is gone, but we are still here," said {friend}. They caught some fish for dinner and made a small fire.

? Then dark clouds came, and it began to rain. They sat under the blanket and told stories.
| They stayed until the sun went down behind the hills.
| They played in the grass all afternoon.
"That was a funny picnic," said {hero}. "The best one," said {friend}.
| On the way home, {hero} said, "Next time we will take two baskets."
| {hero} went home hungry, but very happy.

== anyone: Hide and seek

{hero} loved to play hide and seek.
| {hero} was very good at hiding.
| {who} knew the best game of all. It was hide and seek.
| One afternoon, {who} wanted to find the best hiding place in the world.
One day, {pal} counted to ten, and {hero} ran to hide.
| "You count, and I will hide," {hero} said to {pal}.
{He} did not hide behind the door. Everyone hides there. {hero} climbed into a big basket and pulled a blanket over it.
| {hero} crept into an old barrel behind the barn. It was dark in there and smelled of apples.
| {hero} found a hollow tree. It was just big enough for {him}.
? {friend} looked behind the bush. {friend} looked under the bench. {hero} was nowhere.
| {hero} heard steps. They came near, and then they went away again.

It was warm and quiet, and {hero} fell asleep. When {he} woke up, the sun was low. "{hero}! {hero}!" everybody called.
  "Here I am!" said {hero}. "Did I win?"
| A butterfly came in and sat on {his} nose. It tickled. "Achoo!" sneezed {hero}, so loud that all the birds flew up.
  "Found you!" laughed {friend}.
| There was somebody else in the hiding place. It was a little hedgehog baby. "Are you hiding too?" whispered {hero}.
  They sat side by side and did not make a sound, until {friend} found them both.
| {hero} waited and waited. Then {he} looked out. {friend} was sitting on the grass and crying. "I thought you were
  lost," said {friend}. {hero} hugged {friend.him}. "I am not lost. I am just good at hiding."

"Now it is my turn to look," said {hero}.
| They played until {elder} called them for dinner.
"You are the best at hiding," said {friend}, "and I am the best at looking."
| {hero} never told anybody about the hiding place. {He} might need it again.
| That evening, {hero} hid under the blanket, and {elder} found {him} right away.

== child: The big box
trip: to an island far away | to the end of the sea | to the land of ice | to the land of the whales

A big box stood in front of the house. It was empty.
| {elder} had bought a new fridge. {hero} did not care about the fridge, but {he} loved the big box.
| {who} found a big box behind the shop.
| "May I have the box?" asked {who}. "Of course," said {elder}. The box was as big as a table.
{hero} climbed in and pulled {pal} in too. "Where are we going?" asked {friend}. "We are going {trip}," said {hero}.
| {hero} painted buttons and a wheel on it. {pal} came to look. "This is a ship," {hero} told {friend}. "It goes
  {trip}."
"Three, two, one, go!" they shouted. The box began to shake.
| {hero} pushed the red button. "Hold on tight!" {he} said.
Outside it was dark, and a hundred stars went by.
| The wind was loud, and the ship went up and down.
They met a green fish with three eyes. It wanted to know what a cookie was, so {hero} gave it one.
| "A storm!" shouted {hero}. {friend} held the wheel, and {hero} held {friend}. The storm roared, and then it was gone.
| They landed, and everything was soft and white. They left a flag, which was really a sock.
| Then they saw a whale that was sad, because it had a fish bone between its teeth. {hero} pulled it out.
"Dinner!" called a voice from far away. "We must go back," said {hero}.
| Then {friend} was hungry. So they turned the ship around.
? They sailed home just in time for noodles.
| With one big bump, they were home again.

? "Where have you been?" asked {elder}. "We went {trip}," said {hero}. "But we are back for dinner."
| That night it rained, and the box got soft and fell apart. {hero} was sad, but {friend} said, "The shop gets a new
  fridge every week."
| {hero} slept in the box that night, with a pillow and a lamp.
"Where will we go tomorrow?" asked {friend}. {hero} already knew.
| {hero} {smiled}. It was only a box, but it was the best ship in the world.
| {elder} looked into the box and found a cookie crumb, and {hero} only {smiled}.

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
| Then {hero} forgot all about it. {He} played ball with {friend} until it was dark. When {he} drank some water, the
  tooth was gone. It must be somewhere in the grass! They looked with a lamp and found it next to a snail.
| At night, {hero} dreamed that {he} was a lion and bit into a big bone. When {he} woke up, the tooth was on the pillow.

{hero} ran to the mirror. There was a hole in {his} smile.
| "Look!" called {hero}, and {he} showed everybody the gap.
? {elder} gave {hero} a tiny box for the tooth.
| Now {hero} could whistle. It sounded like an old kettle.
{hero} whistled all day long, until {elder} asked {him} to stop.
| "The next one is loose too," said {hero} a week later.
| And {hero} put the tooth under the pillow, just in case.

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
| Then the wind took the map. {hero} ran after it and caught it with {his} hat.
At last they stood at the place with the red cross.
| "Here it is," said {hero}. "Here is the cross."

They dug and dug. Then they hit something hard. It was {treasure}!
| They dug until it was almost dark and found nothing. {friend} sat down on a stone, and the stone moved. Under it was
  {treasure}.
| They dug and found a box. In the box was a note. "Look behind you," it said. They turned around. There stood {elder}
  with a picnic! "I made that map when I was small," said {elder}.
| There was a hole, but somebody had been there before. In the hole was only a button. "Then this is our treasure,"
  said {hero}. {friend} laughed, and {hero} made a necklace out of it.

"We are rich!" shouted {hero}.
| {hero} and {friend} danced around the hole.
? They sat in the grass until the sun went down.
| They promised to tell nobody.
The next day, {hero} made a new map for somebody else to find.
| {hero} kept the old map on the wall, over {his} bed.
| "The best part was looking for it," said {hero}. "And the hole," said {friend}.

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
| It got dark, and everybody went home. {hero} put a chair under the tree and waited. {He} told {cat} a long story. In
  the middle of the story, something soft jumped onto {his} knees.
| {hero} opened a can of fish. The smell went up and up. {cat} turned around, walked down the tree as if it was
  nothing, and began to eat.

"You silly cat," said {hero}, and {he} hugged {cat}.
| {cat} looked at them all as if to say, "What is the matter?"
The next day, {cat} was on the roof.
| From then on, {cat} only climbed onto the couch.
| That night, {cat} slept on {hero}'s feet and purred.
"Oh no, not again," said {hero}, when the cat looked at the lamp.
| "Good night, {cat}," said {hero}. "Please stay on the ground."
| And {hero} was glad to have {cat} back.

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
| It was so strong that {hero} fell into the water. When {he} came up, {he} had a plant on {his} head and a fish in
  {his} pocket. {elder} laughed and laughed.
| It was a bottle with a letter in it. "Hello," said the letter. "I live up the river, and I am looking for a friend.
  Your {friend}." {hero} wrote a letter back that same day.
| It was a turtle, and the turtle was not happy. "I am sorry," said {hero}. {He} took the string away and gave the
  turtle some bread.

On the way home, they told the story again, and it got bigger with every step.
| They ate bread and cheese for dinner. It was good too.
"Can we go again tomorrow?" asked {hero}.
| {hero} was wet and tired and very happy.
| "That was a good day for us," said {elder}. "And for the fish," said {hero}.

== anyone: The hat and the wind
color: red | green | purple | yellow

{hero} had a {color} hat and never went out without it.
| {hero} got a new {color} hat and wanted to show it to everybody.
| One windy day, {who} walked over the bridge in a new {color} hat.
| {who} put on a {color} hat and went for a walk.
Then a strong wind came and took the hat away.
| But the wind liked the hat too. Whoosh! Away it went.
"Stop, hat!" cried {hero}. {He} ran after it, down the hill and over the bridge.
| {hero} jumped to catch it, but the hat was faster.
? It landed on a cow. The cow shook its head, and the hat flew on.
| It rolled through the mud like a wheel, and a dog barked at it.
"Did you see my hat?" {hero} asked {pal}. "It flew that way," said {friend}. "I will help you look."
| {pal} saw it too. "Run, {hero}, run!" called {friend}, and they ran together.
Then they could not see it anymore. They looked for it all day.
| The wind took it over the trees, and then it was gone.

A few days later, {hero} heard a sound above {him}. "Peep!" The hat was in a tree, and in the hat were four baby
  birds! "They need it more than I do," said {hero}.
| At last {hero} found it. It was on the head of an old scarecrow in a field. It looked very good there. "The poor
  scarecrow had nothing," said {hero}. "It can keep the hat."
| They found it in the pond. A frog was sitting in it and went around in circles. "May I have my hat back?" asked
  {hero}. "Croak," said the frog, and it jumped out.
| On the next day, the wind turned. {hero} stood at the door, and whoosh, there came the hat! It landed right on {his}
  head.

{hero} {smiled} and went home.
| It had been a long day, and {hero} went home.
? "I will make you a scarf," said {elder}. "It cannot fly so well."
| After that, {hero} tied a ribbon to everything that could fly.
| From then on, {hero} held on tight when the wind came.
But when the wind blows, {hero} always looks up.
| "Catch me if you can," sang the wind, and {hero} laughed.
| And {hero} waved to the wind, because {he} was not angry at all.

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
| {pal} came by. "What a lovely balloon!" said {friend}.
Then the string slipped away, and the balloon flew up and up.
| Then a bee came. {hero} jumped, and the balloon was gone. It was already over the trees.

"Come back!" cried {hero}. But the balloon got smaller and smaller. "Maybe it wants to see the world," said {friend}.
  "It can see the sea from there, and the mountains." {hero} waved until it was only a dot.
| It flew against a branch, and there was a loud bang. {hero} was sad. {friend} picked up the little piece and blew
  into it. It made a noise like a duck! They laughed all the way home.
| They ran after it. It flew over the field, and over the pond, and then it came down in a garden. A baby sat there
  and laughed at it. "You can keep it," said {hero}, and {friend} nodded.
| "I know what to do," said {friend}. {friend.He} climbed on {hero}'s back and caught the end of the string. "Got it!"
  {friend.he} shouted, and they both fell into the hay.

That evening, {hero} looked at the sky for a long time.
| {hero} told {elder} all about it.
| At home, {hero} drew a picture of the balloon.
And {hero} dreamed that {he} was as light as a balloon.
| And sometimes, when {hero} sees a round cloud, {he} waves.
| "Balloons like to fly," said {hero}. "I would too."

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
| "Stand on my back," said {pal}. {hero} climbed up. They shook, and then they fell into the grass.
Then {elder} came out. {elder} stood at the bottom, {hero} in the middle and {friend} at the top. It was almost enough!
| They called a goat. The goat stood at the bottom, then {friend}, and then {hero}. It was almost enough!

A little mouse ran up all of them, bit through the stem, and down came the {fruit}. "Hurray!" they shouted.
| Then they fell down in a heap and laughed. And plop! The {fruit} fell down too, all by itself, right into {hero}'s
  lap.
| "We will ask a bird," said {hero}. The bird flew up, looked at the {fruit} and ate it. "Was it good?" asked {hero}.
  "Tweet," said the bird. "Well," said {friend}, "at least somebody got it."

After that, they were tired, and they sat down in the shade.
| {elder} made a pie with the other fruit, and everybody had some.
{hero} planted a {fruit} seed in the garden. "This will be a small tree at first," {he} said. "Then I can reach it."
| It was the sweetest day of the year.
| "Next year I will be bigger," said {hero}. "So will the tree," said {friend}.
"I will wait," said {hero}.
| And {hero} fell asleep under the tree.
| {hero} {smiled} and looked up at the empty branch.

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
| "Can you do it again?" asked the old man. "Kick it over here once more. I was good at that when I was young." And
  they kicked the ball to each other until dinner.
| "A ball?" said the old man. "I have nine of them." There was a box, and all the lost balls were in it. "Nobody ever
  came to ask," said the old man.

Then there were sweet plums for {hero} and {friend}, right from the tree.
| Soon they all sat on the bench and drank lemonade.
? "That is not a grump at all," said {friend} on the way home.
| "Mister Grump was just alone," {hero} told {elder} that night.
Now {hero} kicks the ball over the fence every week. But not by mistake.
| After that, {hero} and {friend} went to see Mister Grump every Sunday.
| {hero} waved, and the old man waved back.

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
| "I will look," said {hero}, and {his} heart went boom, boom, boom. {He} opened the tent. There stood the cow of the
  farmer and looked at {him} with big eyes. "Moo," said the cow.
| {hero} and {friend} held hands and looked out together. It was the cat, and behind the cat came five tiny kittens.
  They all wanted to come into the tent.

{hero} and {friend} laughed until they were tired.
| "Some ghost!" laughed {hero}.
? Then they looked up and counted the stars. At thirty they were asleep.
| Later it began to rain. The drops on the tent made a soft song.
In the morning, {elder} found them deep asleep, nose to nose.
| The next day, {hero} told everybody that {he} had slept outside all night.
| "Can we do it again?" asked {friend} in the morning. "Yes," said {hero}, "but with more cookies."

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
| They cleaned every wheel with a soft brush. It took all afternoon. In the end, there was one little wheel left on
  the table. "Where does this go?" asked {hero}. They had to start again.
| Grandpa turned this and that, but nothing happened. Then {hero} saw a key on the wall. "What is this for?" {he}
  asked. "Oh," said Grandpa, "I forgot to wind it up!"

"Tick, tock," said the clock. {hero} clapped.
| Tick. Tock. Tick. Tock. "It is alive!" called {hero}.
"Now you are the clock doctor," said Grandpa.
| Grandpa gave {hero} a piece of cake, and the clock struck four.
That night, {hero} dreamed of little wheels.
| From then on, {hero} was allowed to wind it up every Sunday.
| And when Grandpa fell asleep in the big chair, {hero} and the clock were very quiet.

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
| They took the table to the park, where the big children played ball. "We want {drink}!" shouted everyone. In ten
  minutes, the jug was empty.
| In the end, {hero} and {friend} had drunk all of it. They had no money, but full tummies. "It was very good
  {drink}," said {friend}.

"That was a good day," said {hero}.
| {hero} looked into the empty jug and laughed.
In the evening, {hero} made one more cup, just for {elder}.
| Then {hero} made a new jug. The first cup was for {elder}.
"This is the best {drink} in the town," said {elder}.
| "Thank you, {hero}," said {elder}. "What a lovely surprise!"
| {elder} was so happy that {hero} got a kiss.

== anyone: The echo

{hero} climbed to the top of a mountain and shouted, "Hello!"
| One day, {hero} walked to the high rocks. "Hello!" {he} called.
| "Hello!" shouted {who} into the valley. "Hello!" somebody shouted back.
| {who} stood on a big rock and looked down into the valley. It was very quiet. "Hello!" {he} shouted.
"Hello!" said a voice from the other side.
| A voice answered, "Hello!"
{hero} was surprised. "Who are you?" {he} called. "Who are you?" said the voice.
| "Is somebody there?" called {hero}. "Somebody there," said the voice.
? "I asked you first!" cried {hero}. "Asked you first!" said the voice.
| "I am {hero}!" called {hero}. "I am {hero}!" said the voice. That was very strange. There were two of them!
| "Do not copy me!" cried {hero}. "Copy me!" said the voice.
Now {hero} was angry. "You are silly!" {he} shouted. "You are silly!" the voice shouted back.
| {hero} stuck out {his} tongue. The voice said nothing.

{hero} ran home. "There is somebody in the valley, and it is not nice to me," {he} told {elder}. "Try to be nice
  first," said {elder}. The next day, {hero} called, "You are my friend!" And what did the voice say? "My friend!"
| {pal} came up the path and laughed. "That is only an echo. It says what you say." {hero} thought for a while. "I
  like cake!" {he} called. "Like cake!" said the echo. "It is right," said {hero}.
| Then it began to rain, and {hero} was all alone. {He} sang a song, because {he} was a little scared. And the voice
  sang with {him}, all the way down the mountain. It was not so bad to be two.
| {hero} looked for the voice behind every rock. {He} did not find it, but {he} found {pal}, who was lost. "I heard a
  voice and walked to it," said {friend}. "That was me!" said {hero}. "Both times!"

In the evening, {hero} went back once more. "Good night!" {he} called softly.
| Before going home, {hero} shouted, "See you tomorrow!"
"Good night," said the echo.
| It took a little while. Then a soft voice came back from the rocks.
{hero} {smiled}. It is good to have somebody who always answers.
| And {hero} slept well that night.
| After that, {hero} came back every week to talk a little.

== anyone: The big shadow

{hero} was small, but {he} wanted to be big.
| "I am too small," said {hero}. {He} was the smallest {kind} of all.
| {who} was the smallest one in the family and did not like it.
| Early one morning, {who} went for a walk and saw something huge on the ground.
The sun was low that morning. {hero} turned around and saw a long, dark shadow on the grass.
| One morning, {hero} looked back. There was a giant behind {him}! It was black, and its legs were as long as trees.
? {hero} ran, and the shadow ran too. {hero} stopped, and the shadow stopped.
| "Go away!" cried {hero}. But the shadow did not go away.
{pal} was sitting on the fence and laughed. "That is your own shadow, {hero}!"
| {hero} hid behind a wall, and the shadow was gone. "That was only your shadow," said {pal}.
"Mine?" said {hero}. "Then I am a giant!" {He} lifted an arm, and the giant lifted an arm.
| {hero} looked at it again. It had {his} ears and {his} nose. "I am huge!" {he} said.

Now {hero} walked through the forest like a king. But at noon, the shadow was tiny. "What happened to me?" asked
  {hero}. "Nothing," said {friend}. "You are just as big as you were before."
| A wolf came along the path. {hero} stood in the sun and made {himself} as tall as {he} could. The wolf saw a giant
  with long arms, and it ran away as fast as it could.
| "Let us make animals," said {friend}. They made a bird, a snake and a dragon with two heads. A fox saw the dragon
  and jumped into the pond.
| Then a cloud came, and the shadow was gone. {hero} missed it. "It will come back," said {friend}. "It always does."
  They waited, and there it was, and it waved when {hero} waved.

{hero} looked at {his} feet. The shadow was still there, and it was {his} friend now.
| "Big or small," said {hero}, "I am me."
? In the evening, it grew long again and followed {hero} home.
| "Good night, shadow," {he} said, and {hero} turned off the lamp.
| {hero} was still small. But sometimes, early in the morning, {he} is a giant.
| And every evening, {hero} and the shadow walked home together.

== child: The missing sock
animal: puppy | kitten | cat | dog
color: red | blue | green | striped

{hero} had only one sock. The other one was gone.
| One morning, {hero} could not find a sock. It was the {color} one.
| "Where is my other sock?" asked {who}. It was {color}, and it was the best one.
| {who} looked at the sock, and then at the other foot. One sock was missing!
"I put it on the chair last night," said {hero}. "Socks do not walk," said {elder}.
| {elder} looked in the basket. There was no {color} sock. "How strange," said {elder}.
? The next day, a glove was gone, and then a spoon.
| Then a hat was gone too. "There must be a thief in the house," said {hero}.
{hero} and {pal} wanted to catch the thief. They put a sock on the floor and hid under the table.
| {hero} put some flour on the floor. In the morning, there were little steps in it. {hero} and {pal} followed them.

The {animal} came in, looked left, looked right and took the sock. Under the stairs was a big nest of socks. "You are
  the thief!" cried {hero}. The {animal} only yawned.
| At last they found it all behind the couch. In the middle slept the {animal}, deep and warm. "It was cold,"
  whispered {friend}. "It only wanted a bed."
| It was not a thief. It was {elder}! {elder} had walked around asleep and put everything into the oven. They laughed
  about it for a week.
| A mouse ran by with the sock on its back! It was the size of a mouse bed. {hero} wanted to take it back. But then
  {he} saw four baby mice in it.

? "It is all right," said {hero}. "I have other socks."
| {friend} laughed, and {hero} laughed too.
{elder} made a new sock for {hero}. It was not the same color, but it was warm.
| From then on, {hero} wore one {color} sock and one yellow sock, and soon all the children did the same.
{hero} put an old sweater in the basket, as a present for the thief.
| "Good night, sock thief," {he} said, and {hero} turned off the light.
| And {hero} never left a sock on the chair again.

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
| {hero} put one finger into the tiny hand. The baby held it and did not let go. "It knows me!" whispered {hero}.
| "I am a baby too," said {hero} and lay down in the little bed. But it was too small, and milk was boring. "I am
  big," {he} said. "I can have cake."

? "You are good at this," said Mom.
| Dad took a photo of the two of them.
Now {hero} tells the baby about the world. "This is a dog," {he} says. "This is the rain."
| From then on, {hero} helped with the bath and with the songs.
{hero} put the {thing} into the little bed. The baby slept with it that night.
| "Hurry up and grow," said {hero}. "We have so much to do."
| And when the baby said its first word, it was not Mom. It was {hero}!

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
| Then {pal} looked in at the window. "I have a potato and no fire," said {friend}. "I have a fire and no potato,"
  said {hero}.
? Then a duck came and brought some beans. A mouse came and brought a piece of cheese.
| Soon the neighbor came with two onions, and a goat came with some cabbage.

Everybody put something into the pot. {hero} turned the spoon around and around. Now it smelled wonderful!
| The pot got fuller and fuller. Then the soup ran over, and {hero} had to get a second pot. They ate from both.
| "Who put an apple in it?" asked {hero}. Nobody answered, but {friend} looked up at the ceiling. It was the best
  thing in the soup.
| Then somebody big knocked. It was a wolf! They were all afraid. But the wolf only said, "I have honey." So there was
  soup first and honey after.

They sat around the fire and ate until the pot was empty.
| There was enough for everyone, and even some for the next day.
? "What is the soup called?" asked {friend}. {hero} thought about it. "Soup of all of us," {he} said.
| "How did you make it?" they asked. "I had a carrot," said {hero}.
After that, they cooked together every week, and {hero} always brought the carrot.
| When they had all gone home, it was still warm in {hero}'s house.
| That night it snowed, but {hero} was warm from {his} nose to {his} toes.

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
| The next day, there was a fire in the village. The other dragons did not know what to do. But {hero} blew a thousand
  bubbles, and the bubbles put out the fire.
| "I have a birthday today," said {friend}, "and nobody to light the candle." {hero} wanted it so much that a tiny
  flame came out of {his} mouth. It was just big enough for one candle.

{hero} was so happy that {he} flew three circles over the trees.
| "You are the best dragon in the world," said {friend}.
? The other dragons came too. "Can you show us how you do that?" they asked.
| Now nobody laughed anymore.
After that, {hero} and {friend} ate pancakes every Sunday.
| And {hero} was the only dragon who was ever invited to birthday parties.
| That night, {hero} slept by the fire with {friend}, and the stars were bright.

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
| "There are bubbles in it," said {elder}, and blew one across the yard. {hero} wanted to catch it. One more step, and
  plop, {he} sat in the tub. It was warm. "It is almost as nice as mud," said {hero}.
| Then Aunt Rose came through the gate and fell into the biggest mud hole on the farm! "How lovely," said Aunt Rose.
  So they all sat down in the mud, and after that everybody needed a bath.

That evening, everybody ate corn and apples.
| The hens had seen it all, and they could not stop laughing.
"You smell like flowers," said the goose. {hero} did not know if that was good.
| "What a nice clean {kind}," said the cow.
The next morning, {hero} was back in the mud.
| {hero} was clean for one whole hour.
| "See you next Sunday," {hero} said to the tub.

== child: Lost at the market
thing: red kite | dancing monkey | box of kittens | man with a flute

{hero} and {elder} went to the market. It was loud and full of people.
| On Saturday, {hero} went to the market with {elder}.
| {who} held {elder}'s hand. The market was so big!
| "Stay close to me," said {elder} to {who}, and they walked into the market.
There were apples, cheese, flowers, and fish with open mouths.
| It smelled of bread and oranges. {elder} bought eggs and a cabbage.
Then {hero} saw a {thing}. {He} stopped to look, only for a moment.
| Behind the flowers, {hero} saw a {thing}. {He} had to go closer.
When {hero} turned around, {elder} was gone.
| {hero} took a hand. But it was the wrong hand! {elder} was not there.
? {hero} saw only legs and bags. {His} heart beat fast.
| "{elder}?" called {hero}. Nobody heard {him}.

{hero} remembered what {elder} had told {him}. "If you are lost, stay where you are." So {hero} stood next to a big
  pumpkin and did not move. It felt like a year, but then {elder} came around the corner.
| The woman with the cheese saw {him}. "Did you lose somebody?" asked the woman and put {hero} on a tall box. From
  there {he} could see everything, and there was {elder}'s blue hat!
| A {friend.kind} pulled at {his} arm. "I am {friend}," said the {friend.kind}. "I know everybody here. My dad sells
  fish." {friend} shouted, "Who lost a {kind} named {hero}?" And from far away, {elder} shouted, "I did!"
| {hero} began to sing the song that {elder} always sang in the kitchen. {He} sang it louder and louder. Then somebody
  sang along. It was {elder}!

"There you are!" said {elder} and held {hero} tight.
| {hero} ran into {elder}'s arms. "I was lost," {he} said. "No," said {elder}, "I was."
? Then they went back to look at the {thing} together.
| They ate a warm bun and walked home, and {hero} did not let go.
{hero} held on to {elder}'s coat all the way.
| "Next time," said {hero}, "I will hold you tight, so that you do not get lost."
| "I found you," said {hero}, "and you found me."

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
| {hero} freed it and told it a story until it was strong again. When the story was over, the firefly flew up and
  blinked three times. Far away, {pal} saw it. "{hero}, is that you?" called {friend}, who was looking for {him}.
| {hero} freed it, and they sat down side by side. "The big one over there is brighter than me," said the firefly. It
  was the moon! It came out from behind a cloud, and {hero} could see the path again. They walked home in the
  moonlight, and neither of them was alone.

{elder} stood at the gate. "I was so worried," {elder} said.
| At home there was soup, and a warm bed.
? "This is my friend," said {hero}, but the firefly was already gone.
| {hero} said goodbye to the firefly. "Come and see me," {he} said.
Every summer night, a small light blinked at {hero}'s window.
| And {hero} never picked berries without a lamp again.
| {hero} lay in bed and blinked back with {his} own little lamp.

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
| Then the sled went down alone! They ran after it and fell. They rolled down the hill like two big balls and came to
  the bottom before the sled.
| "We can start lower," said {friend}. They went down from the middle. Then a little higher. And when the sun went
  down, {hero} went down from the very top and was not afraid.

They went up and down until it was dark.
| "One more time," said {hero}. They did it ten more times.
? {elder} had hot cocoa for them, and there was steam on the window.
| Then their mittens were wet and they went home.
"It was not high at all," said {hero}.
| "Tomorrow we will go even faster," said {hero}.
| In bed, {hero} closed {his} eyes and went down the hill once more.

== child: Flowers for the party
flower: rose | tulip | daisy | sunflower

It was {elder}'s birthday, and {hero} had no present.
| Tomorrow was {elder}'s birthday, and {hero} wanted to find some flowers.
| "What can I give to {elder}?" thought {who}. It was almost time for the birthday party.
| {who} looked out of the window and saw the flowers. That was it! They were the right present for {elder}.
In the garden next door were the best flowers. {hero} went in and picked them all.
| {hero} saw a {flower} behind the fence, then two, then ten. {He} picked them all.
It was a big bunch. {hero} could not even see over the top.
| {hero} tied them together with a blue ribbon.
Then {he} met {pal}, who lived next door. {friend} was crying. "Somebody took our flowers!"
| But then {hero} heard {pal} next door. "Our flowers are gone!" called {friend}.
{hero} looked at the flowers, and {his} ears got hot.
| Oh no. {hero} had not thought of that.

"It was me," said {hero}. "I am sorry." {friend} thought for a while. "I like {elder} too," {friend.he} said. "We can
  give them together."
| {hero} gave back every {flower}. They put them in a bucket. "You can have one," said {friend}. {hero} gave {elder}
  one {flower}, and {elder} said that one was just right.
| {hero} ran home and brought {his} best toy. "This is for you," {he} said. "I took your flowers." {friend} gave the
  toy back and said, "Just ask next time."
| "I will grow new ones for you," said {hero}. {friend} gave {him} the seeds. All summer, {hero} watered the garden
  next door, and soon it was full of flowers again.

? The party was loud and happy. There was cake, and they danced.
| {elder} was so glad that everybody got a kiss.
"Where did you find them?" asked {elder}. {hero} and {friend} looked at each other and laughed.
| "I will tell you a story," said {hero}. And {elder} laughed about it.
From then on, {hero} always asked first.
| {hero} grew {his} own {flower} that year. It was small, but it was the best.
| And {friend} and {hero} were friends for a long time.

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
| Then there was a knock at the door. It was {pal}, as wet as a fish. "I am scared," said {friend}. {hero} forgot that
  {he} was scared too. {He} gave {friend} a towel and a cup of cocoa.
| They made a cave of blankets under the table. In the cave it was warm, and {elder} told a story about a cloud that
  had lost its rain. When the story was over, so was the storm.

? Outside, drops fell from the trees, and the air smelled fresh.
The next morning, the garden was full of puddles, and the sun was in all of them.
| In the morning, the sky was as blue as the sea.
"Good morning, sky," said {hero}. "Are you clean now?"
| After that night, {hero} always counted when there was thunder.
| "I was not afraid," said {hero}. "Only my knees were."

== child: The toy doctor
toy: bear | rabbit | duck | horse

{hero} wanted to be a doctor, and all {his} toys were sick.
| {hero} had a white coat and a bag. Today {he} was a doctor.
| "Who is next?" asked {who}. {he} was a doctor today, and there was a long line of toys.
| {who} put a sign on the door. "Doctor," it said.
The first one was the toy {toy}. It had lost an eye, and {hero} gave it a button.
| The first one was the toy {toy}, who had a bad cold. "Stay in bed and drink tea," said {hero}.
? Then {hero} put a ribbon around the leg of the chair, because the chair had fallen over.
Then {pal} knocked at the door. "I have a hole in my tummy," said {friend}.
| Then {pal} came in. "Doctor, my nose is cold," said {friend}.

{hero} listened to {friend} with a cup. "I hear a frog in there," {he} said. "You need a cookie." {friend} ate it and
  felt better, but then the nose hurt, and then the knee. Each time, a cookie helped.
| But on the way in, {friend} had fallen, and there was real blood on one knee. {hero} turned white. Then {he} took a
  deep breath, washed the knee and put a blue ribbon on it. "That was very good, Doctor," said {friend}.
| {hero} looked into one ear and then into the other. "I can see the wall on the other side," {he} said, and they
  laughed so much that they fell off the bed. After that, nothing hurt anymore.

In the evening, {elder} came home and sat down. "My feet are so tired," said {elder}.
| Then {elder} knocked at the door. "Doctor, can you help me? I had a long day."
"I know what you need," said {hero}, and {elder} got a blanket, a story and a big kiss.
| {hero} looked at {elder} for a long time. "You need a hug," {he} said. It helped right away.
"What does it cost, Doctor {hero}?" asked {elder}. "One pancake," said {hero}.
| That night, Doctor {hero} slept between all the toys, and every one of them was well.
| {hero} closed the bag. It was a good day for a doctor.

== anyone: The letter
place: by the sea | in the mountains | on the other side of the forest | in the big city

{hero} waited for a letter every day. All the others got letters, but {he} never did.
| One day, {hero} thought, "I have never had a letter."
| {who} looked into the mailbox. It was empty again.
| Every morning, {who} ran to the mailbox, and every morning there was nothing in it.
"If you want a letter, you must write one," said {elder}.
| "Who should write to me?" asked {hero}. "Somebody you write to," said {elder}.
So {hero} took a big piece of paper. {He} had a friend, {friend}, who lived {place} now. "Dear {friend}," {he} wrote.
| {hero} thought about {friend}, {his} old friend, who lived {place}. {He} took some paper and began. "Dear {friend},
  how are you?"
{He} drew the house and the garden and put a leaf in the letter.
| "It rains here, and I lost a tooth," {he} wrote, and {he} drew the tooth.
? {elder} helped with the long words.

Then {hero} waited. One week went by, and then two. One morning there was a blue letter in the mailbox. "I was so
  happy that I read it ten times," wrote {friend}. In the letter was a little shell.
| {hero} waited a long time. Then there was a knock at the door. It was {friend}! "I wanted to answer," said {friend},
  "but my letter was too slow. So I came with it."
| But a snail lived in the mailbox and ate the first answer. There was only one corner left. "Love, {friend}," it
  said. So {hero} wrote again, and {he} put some cabbage into the mailbox for the snail.
| But {hero} had forgotten to write {his} name on it. So {friend} sent an answer to everybody. "Was it you?" it said.
  "If it was you, I miss you."

? {hero} showed it to {elder}, and to the cat, and to the tree.
{hero} put the letter under {his} pillow.
| {hero} read it again before going to sleep.
After that, {hero} and {friend} wrote to each other every month.
| "Now I have to write back," said {hero}, and {he} began right away.
| And soon the mailbox was never empty for long.
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

"""What people say in the box's conversations when a test does not say it for them."""

from __future__ import annotations

SMALL_TALK: tuple[tuple[str, str], ...] = (
    ("assistant", "Good morning! I hear you have just planted your first vegetable garden."),
    ("user", "I have! Tomatoes, beans, and far too many courgettes."),
    ("assistant", "There is no such thing as too many until August. How is the soil?"),
    ("user", "Sandy. My neighbour says compost, and a lot of it."),
    ("assistant", "Your neighbour is right. Two buckets per square metre, worked in with a fork."),
    ("user", "And when will I eat the first tomato?"),
    ("assistant", "In about ten weeks, still warm from the sun. Save me one."),
    ("user", "I will. Thank you, this made my day!"),
)

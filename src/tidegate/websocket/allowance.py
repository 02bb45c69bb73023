"""What the sockets of one server may inflate before the event loop turns.

16 KB on the wire can be a message of 16 MiB, which takes some 40 ms to inflate: a read of 256 KB would hold others up
for half a second, and sockets that come one after the other in one turn of the loop for much longer.
"""


class Allowance:
    """`octets` for all sockets together, then `each` for each of them; until `refill`, in the loop's next turn."""

    __slots__ = ("each", "left", "octets", "turn")

    def __init__(self, octets: int = 1 << 20, each: int = 1 << 16) -> None:
        self.octets = octets
        self.each = each
        self.left = octets
        self.turn = 0

    def refill(self) -> None:
        self.left = self.octets
        self.turn += 1

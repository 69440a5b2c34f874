from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Title:
    id: str
    segments: int
    genre: str


TITLES = tuple(
    Title(f"title-{n:03d}", 100 + n % 50, ("drama", "comedy", "sci-fi", "crime")[n % 4]) for n in range(300)
)
LADDER = (235, 375, 560, 750, 1050, 1750, 2350, 3000, 4300, 5800)
SEGMENT_S = 4.0
_BY = {t.id: t for t in TITLES}


def segment_bytes(title: str, rendition: int, segment: int) -> int:
    t = _BY[title]
    if not (0 <= rendition < len(LADDER) and 0 <= segment < t.segments):
        raise IndexError("no")
    return LADDER[rendition] * 500


_BUF = memoryview(bytes(6_000_000))


def segment_body(n: int) -> memoryview:
    return _BUF[:n]

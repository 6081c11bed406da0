"""What the benchmarks share: the best of some times, Markdown tables, pages that hold them."""

import re
import time


def best(function, runs=5):
    """Return the shortest time of a few calls, in seconds."""
    return min(seconds(function, runs))


def seconds(function, runs):
    """Return the times of some calls by the clock, in seconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


def milliseconds(function, runs):
    """Return the processor time of a first call and of some later ones, in milliseconds."""
    times = []
    for _ in range(runs + 1):
        start = time.process_time()
        function()
        times.append(1000 * (time.process_time() - start))
    return times


def markdown(rows):
    """Return rows as a Markdown table, the first as its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def markdown_of(rows):
    """Return dictionaries with the same keys as a Markdown table."""
    return markdown([list(rows[0]), *(list(row.values()) for row in rows)])


def write_block(page, text, name="benchmark"):
    """Put a text between the markers of its name in a Markdown file."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = f"{re.escape(begin)}.*{re.escape(end)}"
    block = f"{begin}\n{text}\n{end}"
    page.write_text(re.sub(pattern, lambda _: block, page.read_text(), flags=re.DOTALL))

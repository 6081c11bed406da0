"""A run's report as a page of its own: tables, sentences and pictures in one HTML file."""

import base64
import html

# What a run's folder may hold, and what it shows.
PICTURES = {
    "samples.png": "Samples",
    "samples_random.png": "Random codes, decoded",
    "reconstructions.png": "Images that were not learned from, each with its reconstruction",
    "neighbours.png": "Samples, each with the nearest training image",
    "completions.png": "Completions",
}
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1.5rem 0; display: block; overflow-x: auto; }
caption { font-weight: bold; text-align: left; }
th, td { border-bottom: 1px solid #8886; padding: 0.25rem 1rem 0.25rem 0; text-align: left; }
td { font-variant-numeric: tabular-nums; }
img { max-width: 100%; min-width: min(32rem, 100%); image-rendering: pixelated; }
"""


def report_page(title, parts, folder):
    """Return a report as HTML that needs no other file.

    Args:
        title: of the page.
        parts: list of `rich.table.Table` and strings, as `tables.report_tables` returns it.
        folder: `pathlib.Path` of the run, whose pictures are shown.

    Returns:
        The page, a string.

    Example:

    ```python
    Path("report.html").write_text(report_page("emoji32", report_tables(report), config.run_dir))
    ```
    """
    body = [f"<h1>{html.escape(title)}</h1>"]
    for name, caption in PICTURES.items():
        if (folder / name).is_file():
            data = base64.b64encode((folder / name).read_bytes()).decode()
            image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
            body.append(f"<figure><figcaption>{caption}</figcaption>{image}</figure>")
    body += [f"<p>{_plain(p)}</p>" if isinstance(p, str) else _table(p) for p in parts]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _table(table):
    def row(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{_plain(cell)}</{tag}>" for cell in cells) + "</tr>"

    rows = [row((column.header for column in table.columns), "th")]
    rows += [row(cells, "td") for cells in zip(*(c.cells for c in table.columns), strict=True)]
    return f"<table><caption>{_plain(table.title)}</caption>\n" + "\n".join(rows) + "\n</table>"


def _plain(text):
    """A text of rich's, without its markup, for HTML."""
    from rich.text import Text

    return html.escape(Text.from_markup(str(text)).plain)

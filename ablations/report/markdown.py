"""The table for a README: GitHub's Markdown."""

from ablations.report.tables import Table


def to_markdown(table: Table) -> str:
    """GitHub's Markdown: verdicts, panels as pipe tables, caption and notes."""
    lines = [f"# {_plain(table.name)}", "", _plain(table.question), ""]
    lines += [f"- {_plain(sentence)}" for sentence in table.verdicts]
    for panel in table.panels:
        lines += ["", f"**{_plain(panel.title)}**", ""]
        lines.append("| " + " | ".join(_plain(label) for label in panel.header) + " |")
        lines.append("| --- |" + " ---: |" * (len(panel.header) - 1))
        for row in panel.rows:
            lines.append("| " + " | ".join(f"**{_plain(c.text)}**" if c.bold else _plain(c.text) for c in row) + " |")
    lines += ["", _plain(table.caption)]
    for note in table.notes:
        lines += ["", _plain(note)]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands."""
    for mark in r"\`*_[]<>|#":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())

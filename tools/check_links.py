"""Checks that every relative link of the repository's *.md files names a file that exists, and an anchor in it."""

import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def prose(path):
    """The text of a page without fenced blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", path.read_text(encoding="utf-8")))


def anchors(path):
    """The anchors that a web view makes of a page's headings."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+\s+(.*?)\s*#*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page, link):
    """Why a link of a page leads nowhere; empty when it does not."""
    parts = urllib.parse.urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    path = urllib.parse.unquote(parts.path)
    target = (ROOT / path[1:] if path.startswith("/") else page.parent / path) if path else page
    if not target.exists():
        return "there is no such file"
    if parts.fragment and target.suffix == ".md" and parts.fragment.lower() not in anchors(target):
        return "the page has no such heading"
    return ""


def main():
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard", "--", "*.md"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout
    pages = [page for name in listed.split("\0") if name and (page := ROOT / name).exists()]
    faults = 0
    for page in pages:
        for link in LINK.findall(prose(page)):
            reason = broken(page, link)
            if reason:
                faults += 1
                print(f"{page.relative_to(ROOT)}: {link}: {reason}", file=sys.stderr)
    print(f"links of {len(pages)} pages: {'all resolve' if faults == 0 else f'{faults} broken'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

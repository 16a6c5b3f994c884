"""Which runs continue a run: a note for each in its folder, children/*.json. What they need of it is not collected."""

import json

from engine.store.files import Store, digest

CHILDREN = "children"


def note_child(parent: Store, url: str) -> None:
    """Before the new run claims its folder, so that none is without its note."""
    parent.write(f"{CHILDREN}/{digest(url)}.json", json.dumps({"run": url}).encode())


def children_of(parent: Store) -> list[str]:
    """URIs of the runs that continue this one, sorted. Raises ValueError for a note that cannot be read."""
    urls = []
    for name in parent.names(CHILDREN):
        try:
            urls.append(str(json.loads(parent.read(f"{CHILDREN}/{name}") or b"")["run"]))
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{parent.url(CHILDREN)}/{name} does not name a run; restore it, or delete it if none continues"
            ) from None
    return sorted(urls)

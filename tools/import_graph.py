"""Print the import graph of the project by rooms: rooms, floors, arrows, circles and arrows against the flow.

    python tools/import_graph.py            # figures
    python tools/import_graph.py --arrows   # and each arrow between rooms
    python tools/import_graph.py --root ../another_checkout

A room is a folder of Python modules; a module at the root of `gaze_vlm_ros` or `training` is a room of its own.
An arrow goes from a room to one that it imports, imports inside functions and for type checking included.
A floor is the longest way down to a room that imports nothing. A circle is a set of modules, or of rooms, that reach
each other. An arrow goes against the flow where the importing room stands below the imported one in `ROOMS`.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

# Bottom up: a room imports only rooms that stand before it. test/test_rooms.py holds this.
ROOMS = (
    "gaze_vlm_ros.faces", "gaze_vlm_ros.terminal", "gaze_vlm_ros.errors",
    "gaze_vlm_ros.storage", "gaze_vlm_ros.figures",
    "gaze_vlm_ros.bags", "gaze_vlm_ros.video", "gaze_vlm_ros.labels", "gaze_vlm_ros.session", "gaze_vlm_ros.gaze",
    "gaze_vlm_ros.windows",
    "gaze_vlm_ros.neon", "gaze_vlm_ros.recorder",
    "gaze_vlm_ros.vlm", "gaze_vlm_ros.prediction", "gaze_vlm_ros.prediction.backends",
    "gaze_vlm_ros.planning",
    "gaze_vlm_ros.view",
    "gaze_vlm_ros.assessment",
    "gaze_vlm_ros.inspection", "gaze_vlm_ros.importers", "gaze_vlm_ros.exporters", "gaze_vlm_ros.privacy",
    "gaze_vlm_ros.annotation.formats", "gaze_vlm_ros.annotation.review", "gaze_vlm_ros.annotation",
    "gaze_vlm_ros.sim.neon_device", "gaze_vlm_ros.sim",
    "gaze_vlm_ros.nodes", "gaze_vlm_ros.replay", "gaze_vlm_ros.demo",
    "gaze_vlm_ros.api", "gaze_vlm_ros.cli",
    "training.settings", "training.reference", "training.data", "training.model", "training.evaluation", "training.run",
    "training.reports", "training.pretraining", "training.ablation", "training.recipes", "training.rules",
    "training.export_windows", "training.fit", "training.pretrain", "training.evaluate", "training.report",
    "training.ablate", "training.recipe",
)  # fmt: skip
PACKAGES = ("gaze_vlm_ros", "training")


def modules_of(root: Path) -> dict[str, Path]:
    """File of each module of `PACKAGES` below `root`, by dotted name; a package's `__init__.py` as the package."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path, modules: Iterable[str]) -> set[str]:
    """Modules among `modules` that the file imports, wherever the import stands."""
    known, found = set(modules), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else node.module)
    return found & known


def room_of(module: str, modules: Mapping[str, Path]) -> str:
    """The folder that holds the module; a module beside a package's root is a room of its own."""
    if modules[module].name == "__init__.py":
        return module
    parent = module.rpartition(".")[0]
    return module if parent in PACKAGES else parent


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Sets of more than one node that reach each other (Tarjan's strongly connected components)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for following in arrows.get(node, ()):
            if following not in number:
                visit(following)
                low[node] = min(low[node], low[following])
            elif following in stack:
                low[node] = min(low[node], number[following])
        if low[node] == number[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in arrows:
        if node not in number:
            visit(node)
    return found


def floors(arrows: Mapping[str, set[str]]) -> int:
    """Nodes on the longest way down; arrows within a circle do not count."""
    in_circle = {node: index for index, circle in enumerate(circles(arrows)) for node in circle}
    known: dict[str, int] = {}

    def floor(node: str) -> int:
        if node not in known:
            known[node] = 1  # an arrow back to where we came from ends here
            below = [n for n in arrows.get(node, ()) if in_circle.get(n, -1) != in_circle.get(node, -2)]
            known[node] = 1 + max((floor(n) for n in below), default=0)
        return known[node]

    return max((floor(node) for node in arrows), default=0)


def module_arrows(root: Path) -> dict[str, set[str]]:
    """Imports of each module. A package's face, which hands on names of its own modules, has none into them."""
    modules = modules_of(root)
    found = {}
    for name, path in modules.items():
        inside = f"{name}." if path.name == "__init__.py" else " "
        found[name] = {other for other in imports_of(path, modules) - {name} if not other.startswith(inside)}
    return found


def room_arrows(root: Path) -> dict[str, set[str]]:
    """Rooms that each room imports."""
    modules = modules_of(root)
    found: dict[str, set[str]] = {}
    for module, imported in module_arrows(root).items():
        room = room_of(module, modules)
        if room in PACKAGES:
            continue
        found.setdefault(room, set()).update(
            {room_of(other, modules) for other in imported if other not in PACKAGES} - {room}
        )
    return {room: {other for other in others if other not in PACKAGES} for room, others in found.items()}


def against_the_flow(arrows: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Arrows to a room that does not stand before the importing one in `ROOMS`; rooms that are not listed count too."""
    place = {room: index for index, room in enumerate(ROOMS)}
    return [
        (room, other)
        for room, others in sorted(arrows.items())
        for other in sorted(others)
        if place.get(other, len(ROOMS)) >= place.get(room, -1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="checkout to read")
    parser.add_argument("--arrows", action="store_true", help="print each arrow")
    arguments = parser.parse_args()
    modules, rooms = module_arrows(arguments.root), room_arrows(arguments.root)
    at_root = list((arguments.root / "gaze_vlm_ros").glob("*.py"))
    wrong = against_the_flow(rooms)
    module_circles, room_circles = circles(modules), circles(rooms)
    print(f"modules {len(modules)}, at the root of gaze_vlm_ros {len(at_root)}")
    print(f"rooms {len(rooms)}, floors {floors(rooms)}, arrows {sum(map(len, rooms.values()))}")
    print(f"circles of modules {len(module_circles)}, of rooms {len(room_circles)}, against the flow {len(wrong)}")
    for circle in [*module_circles, *room_circles]:
        print("circle:", ", ".join(circle))
    for room, other in wrong:
        print(f"against the flow: {room} -> {other}")
    if arguments.arrows:
        for room, others in sorted(rooms.items()):
            print(f"{room} -> {', '.join(sorted(others)) or 'nothing'}")


if __name__ == "__main__":
    main()

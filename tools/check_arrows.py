#!/usr/bin/env python3
"""Compares the #includes of own code with the arrows that CMake declares (ARCHITECTURE.md).

A room is declared by `ditq_room(NAME DEPENDS other ...)` in toolkit/ or engine/, and may include its own headers, those
of the rooms that its arrow names, and those that these name in turn. Also: no torch in toolkit/ and apps/, and ATen's
operators in engine/ops and engine/tensor only. Prints every breach and exits with 1.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOM = re.compile(r"^ditq_room\(\s*(\w+)([^)]*)\)", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
TORCH = ("ATen/", "c10/", "torch/", "caffe2/")
# Heavy headers that no file needs (docs: a second to fifteen a file).
FORBIDDEN = ("torch/torch.h", "torch/nn.h", "torch/extension.h", "ATen/ATen.h", "ATen/Functions.h")
OPERATOR_ROOMS = {"ops", "tensor"}
# The program is no room: it stands on these.
PROGRAM = {"doctor", "perf", "pipeline", "ptq", "report", "validate"}
# Of the engine the program knows one header, which knows no torch.
ENGINE_INTERFACE = "pipeline/engine.h"


def declared_rooms():
    """Rooms as {name: (folder, names of its arrow)}."""
    rooms = {}
    for top in ("toolkit", "engine"):
        text = (ROOT / top / "CMakeLists.txt").read_text()
        for name, arguments in ROOM.findall(text):
            words = arguments.split()
            names = []
            if "DEPENDS" in words:
                for word in words[words.index("DEPENDS") + 1 :]:
                    if word == "LIBRARIES":
                        break
                    names.append(word)
            rooms[name] = (ROOT / top / name, names)
    return rooms


def reachable(rooms, names):
    """The rooms that arrows lead to from `names`, these included."""
    seen = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += rooms[name][1]
    return seen


def includes(path):
    """(line number, header, whether in quotes) of each #include."""
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1) or match.group(2), match.group(1) is not None


def check_file(path, allowed, rooms, folder, is_toolkit, may_use_operators):
    """Yields the breaches of one file."""
    for number, header, quoted in includes(path):
        where = f"{path.relative_to(ROOT)}:{number}"
        room = header.split("/")[0]
        local = (path.parent / header).exists() or (folder / header).exists()
        if quoted and room in rooms and "/" in header:
            if room not in allowed:
                yield f"{where}: includes {header}, but no arrow leads to '{room}'"
            elif not (rooms[room][0].parent / header).exists():
                yield f"{where}: includes {header}, which is not there"
        elif quoted and not local:
            yield f'{where}: includes "{header}": own headers are written "room/file.h"'
        if header in FORBIDDEN:
            yield f"{where}: includes <{header}>, which costs seconds in every file"
        elif header.startswith(TORCH) and is_toolkit:
            yield f"{where}: includes <{header}>: no torch outside engine/"
        elif header.startswith("ATen/ops/") and not may_use_operators:
            yield f"{where}: includes <{header}>: operators are called in engine/ops and engine/tensor only"


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in (".cpp", ".h", ".cu", ".cuh"))


def check_program(rooms):
    """The program may use everything of the toolkit, and of the engine its interface."""
    folder = ROOT / "apps/cli"
    allowed = reachable(rooms, PROGRAM)
    for path in sources(folder):
        yield from check_file(path, allowed, rooms, folder, True, False)
        for number, header, quoted in includes(path):
            room = header.split("/")[0]
            in_engine = quoted and room in rooms and rooms[room][0].parent.name == "engine"
            if in_engine and header != ENGINE_INTERFACE:
                yield f"{path.relative_to(ROOT)}:{number}: includes {header}: of the engine only {ENGINE_INTERFACE}"


def check_order(rooms):
    """An arrow leads to a room that is declared above: so there are no circles."""
    above = set()
    for name, (_, names) in rooms.items():
        for other in names:
            if other not in above:
                yield f"ditq_room({name}): its arrow leads to '{other}', which is not declared above it"
        above.add(name)


def main():
    rooms = declared_rooms()
    breaches = list(check_order(rooms))
    if not breaches:
        for name, (folder, names) in rooms.items():
            allowed = reachable(rooms, names) | {name}
            is_toolkit = folder.parent.name == "toolkit"
            for path in sources(folder):
                breaches += check_file(path, allowed, rooms, folder, is_toolkit, name in OPERATOR_ROOMS)
        breaches += check_program(rooms)
    for breach in breaches:
        print(breach, file=sys.stderr)
    if breaches:
        print(f"check_arrows: {len(breaches)} breaches", file=sys.stderr)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())

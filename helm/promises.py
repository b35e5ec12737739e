"""What the checks of the chart end with: promises, each with what is against it."""


def promises(of):
    """The functions `holds_…` of a program (its `globals()`), by name."""
    return [(name, check) for name, check in of.items() if name.startswith("holds_")]


def tell(results):
    """Prints every complaint under its promise, and how many were kept; returns the exit code. `results`: of each its name
    and what is against it."""
    failed = 0
    for name, complaints in results:
        for complaint in complaints:
            print(f"{name}: {complaint}")
        failed += bool(complaints)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0

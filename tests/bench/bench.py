#!/usr/bin/env python3
"""One table of our speed and our peers'.

bench.py [--quick] [--machine] [--rounds N] [--images PATH] [--peer PYTHON]... [-o JSON]

BUILD names the build folder. Whole processes, what is compared taking turns; medians over the
rounds. A step's time is the median within its process, after two steps of warm-up. PyTorch and
FAISS are Debian's (python3-torch, python3-faiss); what is not installed is left out and named.
Each --peer is one more Python with a PyTorch of its own, such as a virtual environment's.
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEER = HERE.parent / "peer"
BUILD = Path(os.environ["BUILD"]).resolve()
WORK = BUILD / "bench-work"
TUNED = WORK / "tuned"  # measured choices of implementations
# What a user of PyTorch can set from outside: memory that is kept, and OpenBLAS's AVX-512 kernels on
# processors that it does not know.
TUNED_PEER = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4294967296",
              "MALLOC_TOP_PAD_": "67108864"}
if " avx512f " in Path("/proc/cpuinfo").read_text():
    TUNED_PEER["OPENBLAS_CORETYPE"] = "SkylakeX"
STEPS = [  # backbone, size, steps of a process
    ("resnet18", 64, 10), ("resnet18", 224, 4), ("bninception", 224, 3), ("resnet50", 224, 3),
    ("efficientnet-lite0", 224, 4)]
PRECISIONS = ["fp32", "bf16"]
OURS, OURS_TUNED, DEFAULT, BEST = "ours", "ours --tune", "peer", "peer tuned"


class Skipped(Exception):
    pass


def execute(command, environment=None):
    """Output, wall seconds and peak megabytes of a process."""
    start = time.perf_counter()
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **(environment or {})}) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise Skipped(f"{' '.join(map(str, command))} ended with {process.returncode}")
    return output, seconds, usage.ru_maxrss / 1024


def interpreter(module):
    """A Python that has the module, or None."""
    venv = HERE.parent.parent / "build/venv/bin/python"  # of make setup-peers
    for python in (os.environ.get("PYTHON"), venv, "python3", "/usr/bin/python3"):
        if python and shutil.which(python) and subprocess.run(
                [python, "-c", "import " + module], capture_output=True,
                check=False).returncode == 0:
            return python
    return None


def step_times(output, peak):
    return {"ms": float(re.search(r"median ([\d.]+) ms", output)[1]),
            "cpu_ms": float(re.search(r"cpu ([\d.]+) ms", output)[1]), "megabytes": peak}


def take_turns(variants, rounds):
    """{name: function -> {number: value}} run in turn; the medians of each number."""
    results = {name: [] for name in variants}
    for _ in range(rounds):
        for name, function in variants.items():
            results[name].append(function())
    return {name: {key: statistics.median(r[key] for r in runs) for key in runs[0]}
            for name, runs in results.items()}


def row(component, unit, values, better="less", bound=None, **more):
    """values {variant: number}; ratios are above 1 where we are ahead."""
    ours = values.get(OURS_TUNED, values.get(OURS))
    faster = min if better == "less" else max

    def ahead(other):
        if ours is None or other is None:
            return None
        return other / ours if better == "less" else ours / other
    return {"component": component, "unit": unit, "values": values, "bound": bound,
            "ratio": ahead(values.get(DEFAULT)), "ratio_tuned": ahead(values.get(BEST)),
            "fraction_of_library": ahead(more.get("library_bound")),
            "ratio_more": {name: ahead(faster(values[name], values[tuned(name)]))
                           for name in values if tuned(name) in values and name != DEFAULT},
            "fraction_of_bound": ahead(bound), **more}


def tuned(peer):
    return peer + " tuned"


def cpu_ratio(r, peer):
    """By processor time: other work on the machine disturbs it less (OMP_WAIT_POLICY=passive)."""
    used = r.get("cpu_ms", {})
    return used[peer] / used[OURS_TUNED] if peer in used else None


def bound_ms(report, batch, mode, precision, library):
    """Sum over the convolutions of the network of the best time each was measured at, ours or
    oneDNN's, or oneDNN's alone."""
    best = {}
    narrow = "-" + precision if precision != "fp32" else ""
    for path in TUNED.glob(f"*t{narrow}.tsv*"):
        for line in path.read_text().splitlines():
            found = re.match(r"(forward|data|weights)( inference)? n(\d+) (\S+ \S+ k\d+) "
                             r".*\t([\d.]+) ms\toneDNN ([\d.]+) ms$", line)
            infer = mode == "infer"  # which takes a large batch in slices
            if found and bool(found[2]) == infer and (infer or int(found[3]) == batch):
                taken, others = float(found[5]), float(found[6])
                ms = (others if library else min(taken, others)) * batch / int(found[3])
                key = found[1], found[4]
                best[key] = min(ms, best.get(key, ms))
    total = 0
    for a, b, k in re.findall(r"^ *\S+ +\S+ +\S+ +\d+ +\d+ +conv (\S+) -> (\S+) (k\d+):",
                              report, re.M):
        channels, side = b.split("x", 1)
        for c in channels.split("+"):  # several that are one
            shape = f"{a} {c}x{side} {k}"
            total += best[("forward", shape)]
            if mode == "train":  # the first has no gradient of its input
                total += best.get(("data", shape), 0) + best[("weights", shape)]
    return total


def torch_variants(peers, run):
    """{variant: run(python, kind, environment)} of each PyTorch, as it comes and tuned."""
    return {variant: run(python, kind, environment)
            for peer, python in peers.items()
            for variant, kind, environment in ((peer, "default", {}),
                                               (tuned(peer), "tuned", TUNED_PEER))}


def bench_step(name, size, steps, mode, precision, batch, rounds, peers):
    reports = {}
    command = [BUILD / "tests/bench-step", name, size, batch, mode]

    def ours(cache):
        def run():
            output, _, peak = execute([*command, steps, cache, 0, precision])
            reports[cache] = output
            first = float(re.search(r"first step ([\d.]+) s", output)[1])
            return {**step_times(output, peak), "first_step_s": first}
        return run

    def peer(python, kind, environment):
        def run():
            output, _, peak = execute([python, PEER / "step.py", name, size, batch, mode, steps,
                                       kind, precision], environment)
            return step_times(output, peak)
        return run
    variants = {OURS: ours(""), OURS_TUNED: ours(TUNED), **torch_variants(peers, peer)}
    execute([*command, 1, TUNED, 0, precision])  # makes the choices
    result = take_turns(variants, rounds)
    speed = {library: 1e3 * batch / bound_ms(reports[TUNED], batch, mode, precision, library)
             for library in (True, False)}
    what = "training step" if mode == "train" else "inference"
    return row(f"{name} {size} {what}, {precision}, batch {batch}", "images/s",
               {key: 1e3 * batch / value["ms"] for key, value in result.items()}, "more",
               speed[False], library_bound=speed[True],
               cpu_ms={key: value["cpu_ms"] for key, value in result.items()},
               megabytes={key: value["megabytes"] for key, value in result.items()},
               first_step_s=result[OURS_TUNED]["first_step_s"])


@contextlib.contextmanager
def neighbour():
    """Another program that keeps one core busy."""
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as process:
        yield
        process.kill()


@contextlib.contextmanager
def quota(cores):
    """A control group with so many cores' time: the file that takes its processes."""
    root = Path("/sys/fs/cgroup")
    old = (root / "cpu").exists()  # the first version
    group = (root / "cpu" if old else root) / f"ps-bench-{os.getpid()}"
    group.mkdir()
    try:
        if old:
            (group / "cpu.cfs_quota_us").write_text(str(int(cores * 100000)))
        else:
            (group / "cpu.max").write_text(f"{int(cores * 100000)} 100000")
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def bench_shared(mode, rounds):
    """The rate of small pictures where the processor is not ours alone, and its share of the idle
    rate."""
    steps = {"train": 30, "infer": 150}[mode]  # several seconds
    command = [BUILD / "tests/bench-step", "resnet18", 64, 32, mode, steps]

    def alone(first=()):
        return step_times(execute([*first, *command])[0], 0)

    def beside():
        with neighbour():
            return alone()

    def two():
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return max(pool.map(alone, [(), ()]), key=lambda times: times["ms"])

    def limited():
        with quota(1.5) as processes:
            return alone(("sh", "-c", 'echo $$ > "$0" && exec "$@"', processes))
    variants = {"idle": alone, "one busy neighbour": beside, "two at once, each": two}
    try:
        with quota(1.5):
            variants["a quota of 1.5 cores"] = limited
    except OSError:
        pass  # not root
    result = take_turns(variants, rounds)
    what = "training step" if mode == "train" else "inference"
    for name, times in result.items():
        share = result["idle"]["ms"] / times["ms"]
        yield row(f"resnet18 64 {what}, {name} ({share:.2f} of idle)", "images/s",
                  {OURS: 32e3 / times["ms"]}, "more", of_idle=share)


def table_of(output):
    rows = (line.split("\t") for line in output.splitlines() if "\t" in line)
    return {name: float(value) for name, value in rows if name != "version"}


def bench_loss(rounds, peers):
    shape = [128, 11318, 512, 10]

    def peer(python, _, environment):
        return lambda: table_of(execute([python, PEER / "loss.py", *shape], environment)[0])
    variants = {OURS: lambda: table_of(execute([BUILD / "tests/bench-loss", *shape])[0]),
                **torch_variants(peers, peer)}
    result = take_turns(variants, rounds)
    for key, bound, name in (("loss", "products", "loss + synthesis, B 128, C 11318, D 512"),
                             ("adam", "memory", "Adam, 5.8 million parameters")):
        yield row(name, "ms", {kind: value[key] for kind, value in result.items()},
                  bound=result[OURS][bound])


def bench_retrieval(count, classes, rounds, faiss):
    dim = 512
    embeddings, labels = WORK / "x.npy", WORK / "labels.npy"
    make = ("import numpy as n, sys; c, k, d = map(int, sys.argv[3:]); r = n.random.default_rng(1);"
            "l = n.sort(r.integers(0, k, c)); n.save(sys.argv[2], l);"
            "x = r.standard_normal((k, d), 'f4')[l] + 4 * r.standard_normal((c, d), 'f4');"
            "n.save(sys.argv[1], x)")
    execute([faiss, "-c", make, embeddings, labels, count, classes, dim])
    found = {}

    def timed(name, command, environment=None):
        def run():
            found[name], seconds, peak = execute(command, environment)
            return {"ms": seconds * 1e3, "megabytes": peak}
        return run
    peer = [faiss, PEER / "retrieval.py", embeddings, labels]
    result = take_turns({
        OURS: timed(OURS, [BUILD / "bin/ps-eval", "-q", "--labels", labels, embeddings]),
        DEFAULT: timed(DEFAULT, peer),
        BEST: timed(BEST, peer, TUNED_PEER),
    }, rounds)
    header, values = (line.split("\t") for line in found[OURS].splitlines() if line[0] != "#")
    ours = dict(zip(header, values))
    for line in found[DEFAULT].splitlines():
        name, value = line.split()
        if name in ours and abs(float(value) - float(ours[name])) > 1e-4:
            raise Skipped(f"ps-eval has {name} {ours[name]}, FAISS and numpy {value}")
    return row(f"ps-eval {count} x {dim}, whole process", "ms",
               {key: value["ms"] for key, value in result.items()},
               megabytes={key: value["megabytes"] for key, value in result.items()})


def bench_startup(rounds, torch, faiss):
    def wall(command):
        return lambda: {"ms": execute(command)[1] * 1e3}
    for tool, python, module in (("ps-eval", faiss, "faiss"), ("ps-train", torch, "torch")):
        variants = {OURS: wall([BUILD / "bin" / tool, "--version"])}
        if python:
            variants[DEFAULT] = wall([python, "-c", "import " + module])
        result = take_turns(variants, rounds)
        yield row(f"{tool} --version (peer: import {module})", "ms",
                  {key: value["ms"] for key, value in result.items()})


def bench_loader(images, pillow):
    environment = {"PYTHON": pillow or "none", "SECONDS_EACH": "2",
                   "PATH": f"{BUILD}/bin:{os.environ['PATH']}"}
    execute([HERE / "loader.sh", images], environment)
    for size in ("small", "large"):
        speed = {}
        for line in (BUILD / "bench" / f"{size}.tsv").read_text().splitlines():
            who, transform, _, threads, _, per_core = line.split("\t")
            if threads == "1":
                kind = OURS if who == "ours" else DEFAULT
                speed.setdefault(transform, {})[kind] = float(per_core)
        for transform, values in speed.items():
            yield row(f"loader, {size} JPEGs, {transform} 224", "images/s/core", values, "more")


def machine():
    def first(path, pattern):
        found = re.search(pattern, Path(path).read_text(), re.M)
        return found[1] if found else "unknown"
    return {"processor": first("/proc/cpuinfo", r"^model name\s*: (.*)"), "cores": os.cpu_count(),
            "memory_gb": int(first("/proc/meminfo", r"^MemTotal:\s*(\d+)")) // 1048576,
            "system": platform.platform(), "load": os.getloadavg(),
            "omp": {k: v for k, v in os.environ.items() if k.startswith("OMP_")}}


def limits():
    """What this machine can do at most: {name: "value unit"}."""
    lines = execute([BUILD / "tests/bench-machine"])[0].splitlines()
    return {name: f"{value} {unit}" for name, unit, value in (line.split("\t") for line in lines)}


def version(python, module):
    script = f"import {module}; print({module}.__version__)"
    return execute([python, "-c", script])[0].strip() if python else None


def blas(python, module):
    """The BLAS libraries that a module brings into a process, by their real paths."""
    script = (f"import {module}, os, re; maps = open('/proc/self/maps').read();"
              r"found = re.findall(r'/\S*/[^/\s]*(?:blas|mkl_rt|blis)[^/\s]*\.so\S*', maps);"
              "print(*sorted({os.path.realpath(path) for path in found}))")
    return execute([python, "-c", script])[0].split()


def refuse_reference(libraries):
    """Debian's libblas.so.3 is netlib's reference unless another package takes its place."""
    for module, paths in libraries.items():
        for path in paths:
            if Path(path).parent.name == "blas":
                sys.exit(f"bench.py: {module} runs on the reference BLAS, {path}, thirty times "
                         "slower than OpenBLAS: no comparison.\n"
                         "Install libopenblas0-pthread (make setup-peers does), or choose it with "
                         "`update-alternatives --config libblas.so.3-$(gcc -print-multiarch)`.")


def more_peers(pythons):
    """{"torch VERSION": python}"""
    return {"torch " + version(python, "torch"): python for python in pythons}


def number(value):
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def print_table(report):
    m = report["machine"]
    print(f"{m['processor']}, {m['cores']} cores, {m['memory_gb']} GB, {m['system']}; "
          f"load {m['load'][0]:.1f} at the start, {report['load_after'][0]:.1f} at the end; "
          + " ".join(f"{k}={v}" for k, v in m["omp"].items()))
    print(", ".join(f"{name} {found or 'not installed'}"
                    for name, found in report["versions"].items()))
    for name, paths in report["blas"].items():
        print(f"BLAS of {name}:", ", ".join(paths) or "none that is shared")
    for name, value in report["limits"].items():
        print(f"{name}: {value}")
    for reason in report["skipped"]:
        print("left out:", reason)
    more = report["more_peers"]
    head = ["component", "unit", OURS, OURS_TUNED, DEFAULT, BEST, "ratio", "to tuned",
            "by CPU time", "to tuned", "bound", "of bound", "oneDNN's", "of oneDNN's", "MB ours",
            "MB peer"]
    for name in more:
        head += [name, tuned(name), "ratio", "by CPU time", "MB"]
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for r in report["rows"]:
        memory, values = r.get("megabytes", {}), r["values"]
        cells = [r["component"], r["unit"]]
        cells += [number(values.get(key)) for key in (OURS, OURS_TUNED, DEFAULT, BEST)]
        cells += [number(r["ratio"]), number(r["ratio_tuned"])]
        cells += [number(cpu_ratio(r, DEFAULT)), number(cpu_ratio(r, BEST))]
        cells += [number(r["bound"]), number(r["fraction_of_bound"])]
        cells += [number(r.get("library_bound")), number(r["fraction_of_library"])]
        cells += [number(memory.get(OURS_TUNED, memory.get(OURS))), number(memory.get(DEFAULT))]
        for name in more:
            by_cpu = [ratio for ratio in (cpu_ratio(r, name), cpu_ratio(r, tuned(name))) if ratio]
            cells += [number(values.get(name)), number(values.get(tuned(name)))]
            cells += [number(r["ratio_more"].get(name)), number(min(by_cpu, default=None))]
            cells += [number(memory.get(name))]
        print("| " + " | ".join(cells) + " |")


def print_machine(report):
    """The table of this processor for RESULTS.md."""
    m = report["machine"]
    print(f"### {m['processor']}, {m['cores']} cores\n\n{time.strftime('%d %B %Y')}, "
          f"{report['rounds']} rounds, load {m['load'][0]:.1f} at the start. "
          + "; ".join(f"{name}: {value}" for name, value in report["limits"].items()) + ".\n")
    peers = [name for peer in (DEFAULT, *report["more_peers"]) for name in (peer, tuned(peer))]
    print("| " + " | ".join(["", OURS, OURS_TUNED, *peers, "lowest ratio", "of bound"]) + " |\n|---|"
          + "---:|" * (len(peers) + 4))
    for r in report["rows"]:
        values = r["values"]
        ratios = [value for value in (r["ratio"], r["ratio_tuned"], *r["ratio_more"].values())
                  if value]
        cells = [f"{r['component']}, {r['unit']}"]
        cells += [number(values.get(name)) for name in (OURS, OURS_TUNED, *peers)]
        cells += [number(min(ratios, default=None)), number(r["fraction_of_bound"])]
        print("| " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only 64 x 64 images, and one round")
    parser.add_argument("--machine", action="store_true", help="print the table for RESULTS.md")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32, help="images a step")
    parser.add_argument("--images", help="folder or archive of images for the loader")
    parser.add_argument("--peer", action="append", default=[], metavar="PYTHON",
                        help="one more Python with PyTorch; may be given again")
    parser.add_argument("-o", "--output", default=BUILD / "bench.json", help="JSON")
    args = parser.parse_args()
    rounds = 1 if args.quick else args.rounds
    TUNED.mkdir(parents=True, exist_ok=True)
    for old in TUNED.glob("*.tsv*"):
        old.unlink()  # the bound is measured in this run
    torch, faiss, pillow = interpreter("torch"), interpreter("faiss"), interpreter("PIL, numpy")
    libraries = {module: blas(python, module) for python, module in (
        (torch, "torch"), (faiss, "faiss"), (faiss, "numpy")) if python}
    refuse_reference(libraries)
    more = more_peers(args.peer)
    peers = {**({DEFAULT: torch} if torch else {}), **more}
    report = {"machine": machine(), "limits": limits(), "rounds": rounds, "rows": [], "skipped": [],
              "versions": {module: version(python, module) for python, module in (
                  (torch, "torch"), (faiss, "faiss"), (pillow, "PIL"))},
              "blas": libraries, "more_peers": list(more)}

    def add(name, function):
        print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr)
        try:
            report["rows"].extend(function())
        except (Skipped, OSError) as reason:
            report["skipped"].append(f"{name}: {reason}")
        report["load_after"] = os.getloadavg()
        Path(args.output).write_text(json.dumps(report, indent=1) + "\n")
    add("loss and Adam", lambda: bench_loss(rounds, peers))
    if faiss:
        add("retrieval", lambda: [bench_retrieval(8131, 98, rounds, faiss)])
    if faiss and not args.quick:
        add("retrieval, large", lambda: [bench_retrieval(60502, 11316, 1, faiss)])
    add("start-up", lambda: bench_startup(3 * rounds, torch, faiss))
    for name, size, steps in STEPS[:1] if args.quick else STEPS:
        for precision in PRECISIONS:
            for mode in ("train", "infer"):
                case = name, size, steps, mode, precision
                add(" ".join(map(str, case)),
                    lambda a=case: [bench_step(*a, args.batch, rounds, peers)])
    for mode in ("infer", "train"):
        add(f"shared machine, {mode}", lambda a=mode: bench_shared(a, rounds))
    if args.images:
        add("loader", lambda: bench_loader(args.images, pillow))
    else:
        report["skipped"].append("loader: no images (IMAGES=PATH)")
    (print_machine if args.machine else print_table)(report)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compiles the CUDA kernels: cubins for compute capability 8.0, 8.9 and 9.0a, and PTX for other cards.

usage: compile.py [--check] [--only ARCH] [--report]

NVRTC comes from PyPI, whose wheel is kept in the user's cache, and needs no card. The version
is fixed, so that everybody gets the same bytes. It is of CUDA 12: cubins of a major version run on
every driver from that version on, so these run on drivers from 525 to 580 and later.
--check says whether what is embedded is what the sources give; it skips, saying why, where the
wheel cannot be had.
"""
import argparse, concurrent.futures, ctypes, gzip, hashlib, os, pathlib, subprocess, sys, zipfile

VERSION = "12.8.93"
WHEEL = "nvidia-cuda-nvrtc-cu12==" + VERSION
ROOT = pathlib.Path(__file__).resolve().parents[2] / "internal/device/cuda/kernel"
UNITS = ["common.cuh", "stored.cuh", "expand.cuh", "rows.cu", "pack.cu", "product.cuh", "product_few.cu", "product_many.cu", "attend.cu", "choose.cu"]
INCLUDED = ["wgmma.cuh", "attend_hopper.cuh"]
TARGETS = {"sm_80": "cubin", "sm_89": "cubin", "sm_90a": "cubin", "compute_80": "ptx"}


def library():
    """Returns NVRTC, from the cache or PyPI."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "flashback" / ("nvrtc-" + VERSION)
    if not list(cache.glob("**/libnvrtc.so.*")):
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(cache), WHEEL], check=True)
        for wheel in cache.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(cache)
            wheel.unlink()
    folder = next(cache.glob("**/libnvrtc.so.*")).parent
    ctypes.CDLL(str(next(p for p in folder.glob("libnvrtc-builtins.so.*"))), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(next(p for p in folder.glob("libnvrtc.so.*"))))


def compile(arch, kind, report):
    nvrtc = library()
    source = "".join('#include "%s"\n' % name for name in UNITS)
    names = UNITS + INCLUDED
    texts = (ctypes.c_char_p * len(names))(*[(ROOT / name).read_bytes() for name in names])
    files = (ctypes.c_char_p * len(names))(*[name.encode() for name in names])
    program = ctypes.c_void_p()
    if nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", len(names), texts, files):
        raise RuntimeError("NVRTC takes no program")
    options = [b"--gpu-architecture=" + arch.encode(), b"--std=c++17", b"--restrict", b"--device-as-default-execution-space"]
    if report:
        options.append(b"--ptxas-options=-v")
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    if log.value.strip():
        print(log.value.decode(), file=sys.stderr)
    if failed:
        raise RuntimeError("the kernels do not compile for " + arch)
    get = {"cubin": "CUBIN", "ptx": "PTX"}[kind]
    getattr(nvrtc, "nvrtcGet%sSize" % get)(program, ctypes.byref(size))
    code = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, "nvrtcGet" + get)(program, code)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--check", action="store_true")
    flags.add_argument("--only")
    flags.add_argument("--report", action="store_true")
    flags = flags.parse_args()
    try:
        library()
    except (subprocess.CalledProcessError, OSError) as err:
        if flags.check:
            print("skipped: the CUDA kernels are not compiled, since NVRTC's wheel (%s) cannot be had: %s" % (WHEEL, err))
            return
        raise
    targets = {a: k for a, k in TARGETS.items() if flags.only in (None, a)}
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = {arch: pool.submit(compile, arch, kind, flags.report) for arch, kind in targets.items()}
    stale = False
    for arch, kind in targets.items():
        code = jobs[arch].result()
        path = ROOT / "image" / ("%s.%s.gz" % (arch, kind))
        same = path.exists() and gzip.decompress(path.read_bytes()) == code
        print("%s: %d bytes, sha256 %s%s" % (path.name, len(code), hashlib.sha256(code).hexdigest()[:16], "" if same else ", new"))
        if same:
            continue
        stale = True
        if not flags.check:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(code, 9, mtime=0))
    if flags.check and stale:
        sys.exit("the embedded CUDA kernels are not what their sources give: run 'make generate' and commit")


if __name__ == "__main__":
    main()

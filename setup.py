"""What pyproject.toml cannot say: the C core, compiled once, and the two extensions that use it."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib

sys.path.insert(0, str(Path(__file__).parent))
from ctypes_src import build

dtype = Extension(
    "posit._dtype._ext",
    sources=[
        f"posit/_dtype/{name}.c"
        for name in ("dtype", "arrfuncs", "constants", "order", "casts", "text", "ufuncs", "matmul")
    ],
    depends=["posit/_dtype/dtype.h", *build.HEADERS],
    include_dirs=["ctypes_src", np.get_include()],
    library_dirs=[str(Path(np.get_include()).parent / "lib")],
    libraries=["npymath", "m"],
    extra_compile_args=build.FLAGS,
    extra_link_args=build.LINK_FLAGS,
)


class Parallel(build_clib):
    """The sources of the core on all processors at once: minutes on one."""

    def build_libraries(self, libraries):
        compile = self.compiler.compile

        def each(sources, **options):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                made = pool.map(lambda source: compile([source], **options), sources)
                return [name for names in made for name in names]

        self.compiler.compile = each
        super().build_libraries(libraries)


setup(
    cmdclass={"build_clib": Parallel},
    libraries=[build.LIBRARY],
    cffi_modules=["ctypes_src/build.py:ffi"],
    ext_modules=[dtype],
)

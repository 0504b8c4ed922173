"""Packaging: everything is read from settings.ini, so that nothing is said twice."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="])
parser.read(here / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

# Every `NAME_requirements` key is the extra NAME.
suffix = "_requirements"
extras = {key[: -len(suffix)]: cfg[key].split() for key in cfg if key.endswith(suffix)}
extras["all"] = sorted({req for name, reqs in extras.items() if name != "dev" for req in reqs})

readme = here / "README.md"
setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else cfg["description"],
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    license_expression="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    keywords=cfg["keywords"].split(),
    url=cfg["git_url"],
    packages=find_packages(include=["analognas", "analognas.*"]),
    py_modules=["analogainas"],  # the old name, an alias
    package_data={
        "analognas": ["**/*.json", "**/*.ubj", "**/*.csv", "**/*.npz", "py.typed", "**/*.pyi"]
    },
    data_files=[
        (
            "share/analognas/lessons",
            sorted(str(p.relative_to(here)) for p in (here / "nbs" / "tutorials").glob("*.ipynb")),
        )
    ],
    python_requires=">=" + cfg["min_python"] + ",<3.15",  # aihwkit 1.2 has wheels for 3.12 to 3.14
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={"console_scripts": cfg["console_scripts"].split()},
    zip_safe=False,
)

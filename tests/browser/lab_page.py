"""JupyterLab as a user has it before them: a server of its own, a notebook in a page, a panel in the notebook.

Nothing here waits for a time; everything waits for a condition, at most PATIENCE seconds."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
from playwright.sync_api import TimeoutError

PATIENCE = 120  # seconds; two cores may be busy with other tests
# For the person who wants to look: SHOTS=/tmp/shots make test-browser
SHOTS = os.environ.get("SHOTS")
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}
}
DISABLED = {"disabledExtensions": {"@jupyterlab/extensionmanager-extension": True}}
NOTEBOOK = (
    "[...jupyterapp.shell.widgets('main')].find(w => w.context && w.content && w.content.widgets)"
)


class Lab:
    "A JupyterLab server that neither reads the user's settings nor asks anything of the network."

    def __init__(self, root: Path, home: Path):
        self.root = root
        labconfig = home / "config" / "labconfig"
        labconfig.mkdir(parents=True)
        (labconfig / "default_setting_overrides.json").write_text(json.dumps(SETTINGS))
        (labconfig / "page_config.json").write_text(json.dumps(DISABLED))
        # A backend of matplotlib's that is set from outside would keep figures out of the notebook.
        env = {
            k: v for k, v in os.environ.items() if not k.startswith("JUPYTER") and k != "MPLBACKEND"
        }
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        env |= {name: str(home / folder) for name, folder in folders.items()} | {
            "OMP_NUM_THREADS": "1"
        }
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
            "--IdentityProvider.token=analognas",
            f"--ServerApp.root_dir={root}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.extension_manager=readonly",
        ]
        self.process = subprocess.Popen(
            command, env=env, cwd=home, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.log: list[str] = []
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self._reader.start()
        assert ready.wait(PATIENCE) and self.url, "JupyterLab does not start:\n" + "".join(self.log)

    url = ""

    def _read(self, ready: threading.Event) -> None:
        for line in self.process.stdout:
            self.log.append(line)
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            if address and not self.url:
                self.url = address.group()
                ready.set()
        ready.set()

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)

    def write(self, name: str, *sources: str) -> str:
        "A notebook of code cells in the server's folder."
        nb = nbformat.v4.new_notebook(
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            }
        )
        nb.cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nb, self.root / name)
        return name


class NotebookPage:
    """A notebook, opened in a page of its own; `problems` lists what a user with the browser's
    console open would worry about."""

    def __init__(
        self, page, lab: Lab, path: str, expected: str | None = None
    ):  # expected: pattern of console errors that have to be
        self.page, self.lab, self.path, self.problems = page, lab, path, []
        page.set_default_timeout(1000 * PATIENCE)
        page.on("console", lambda m: self._note(m.text, expected) if m.type == "error" else None)
        page.on("pageerror", lambda e: self._note(str(e), expected))
        page.on(
            "request",
            lambda r: (
                None
                if r.url.startswith((lab.url, "data:", "blob:", lab.url.replace("http", "ws")))
                else self.problems.append(f"asks the network for {r.url}")
            ),
        )
        page.on(
            "response",
            lambda r: self.problems.append(f"{r.status} {r.url}") if r.status >= 400 else None,
        )
        page.goto(f"{lab.url}/lab/tree/{path}?token=analognas&reset")
        self.until(
            "jupyterapp && NB && NB.context.isReady && NB.sessionContext.session?.kernel?.status "
            "== 'idle'"
        )
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()

    def _note(self, text: str, expected: str | None) -> None:
        if not (expected and re.search(expected, text)):
            self.problems.append(text)

    def js(self, code: str, arg=None):
        """The value of an expression in which NB is the notebook's widget; of a promise, what it
        promised."""
        return self.page.evaluate(f"arg => {code}".replace("NB", f"({NOTEBOOK})"), arg)

    def until(self, code: str, arg=None, patience: float = PATIENCE) -> None:
        "Wait until an expression is true."
        code = code.replace("jupyterapp &&", "window.jupyterapp &&").replace("NB", f"({NOTEBOOK})")
        self.page.wait_for_function(f"arg => {code}", arg=arg, timeout=1000 * patience)

    def menu(self, *names: str) -> None:
        "Choose from the menu bar; an entry's name may be followed by its keys."
        for name in names:
            self.page.get_by_role("menuitem", name=re.compile("^" + re.escape(name))).click()

    def run_all(self, patience: float = PATIENCE) -> None:
        "Run All Cells, from the menu; until the last has run or one has failed."
        self.menu("Run", "Run All Cells")
        self.until(
            """(cells => cells.every(c => c.executionCount !== null && c.executionState == 'idle')
                      || cells.some(c => c.outputs.toJSON().some(o => o.output_type == 'error')))
                      ([...NB.content.model.cells].filter(c => c.type == 'code' && c.sharedModel.source.trim()))""",
            patience=patience,
        )

    def start_cell(self, i: int) -> None:
        "Run cell `i` and do not wait."
        self.js(
            """{const c = NB.content; c.activeCellIndex = arg; c.model.cells.get(arg).executionCount = null;
                 jupyterapp.commands.execute('notebook:run-cell')}""",
            i,
        )

    def until_ran(self, i: int, patience: float = PATIENCE) -> None:
        self.until(
            "(c => c.executionCount !== null && c.executionState == "
            "'idle')(NB.content.model.cells.get(arg))",
            i,
            patience,
        )

    def run_cell(self, i: int, patience: float = PATIENCE) -> str:
        "Run cell `i`; what it printed and returned."
        self.start_cell(i)
        self.until_ran(i, patience)
        return "".join(
            o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in self.outputs(i)
        )

    def outputs(self, i: int) -> list[dict]:
        return self.js("NB.content.model.cells.get(arg).outputs.toJSON()", i)

    def errors(self) -> list[str]:
        "What went wrong in any cell, and what was complained of: warnings, or a logger's lines."
        outputs = self.js(
            "[...NB.content.model.cells].filter(c => c.type == 'code').flatMap(c => "
            "c.outputs.toJSON())"
        )
        raised = [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]
        printed = ["".join(o["text"]) for o in outputs if o.get("name") == "stderr"]
        shown = self.page.locator(".jp-OutputArea-output").all_inner_texts()
        return raised + printed + [text for text in shown if "Error displaying widget" in text]

    def save(self) -> nbformat.NotebookNode:
        "As Ctrl+S does; what is in the file then."
        self.js("jupyterapp.commands.execute('docmanager:save')")
        self.until("!NB.context.model.dirty")
        return nbformat.read(self.lab.root / self.path, as_version=4)

    def restart_kernel(self) -> None:
        "From the menu, with its question answered; until the new kernel is there."
        self.js("""{let gone = false; window.restarted = false;
                 NB.sessionContext.session.kernel.statusChanged.connect((_, s) => {
                     gone ||= s.includes('restarting'); if (gone && s == 'idle') window.restarted = true})}""")
        self.menu("Kernel", "Restart Kernel…")
        self.page.get_by_role("dialog").get_by_role("button", name="Confirm Kernel Restart").click()
        self.until("window.restarted")

    def shot(self, name: str, whole: bool = False) -> None:
        """Pictures for people, where SHOTS names a folder for them: what is on the screen, or
        screen by screen the whole notebook."""
        if not SHOTS:
            return
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        if not whole:
            self.page.screenshot(path=f"{SHOTS}/{name}.png")
            return
        scroller = self.page.locator(".jp-WindowedPanel-outer").first
        for i in range(scroller.evaluate("e => Math.ceil(e.scrollHeight / e.clientHeight)")):
            scroller.evaluate("(e, i) => { e.scrollTop = i * e.clientHeight }", i)
            self.page.screenshot(path=f"{SHOTS}/{name}_{i:02}.png")

    def close(self) -> None:
        "End the kernel and leave the page; what the browser says to that is of no interest."
        problems, self.problems = self.problems, []
        self.js("NB.sessionContext.shutdown()")
        self.page.context.close()
        self.problems = problems


WAIT = f"panel.wait({PATIENCE})"
SHOWN = "e => [...e.querySelectorAll('img, svg, table')].map(x => x.outerHTML).join('')"
FOCUSABLE = "[role=slider], input, select, button, textarea, [contenteditable=true], [tabindex='0']"


class PanelOnPage:
    "The first panel of a notebook."

    def __init__(self, notebook: NotebookPage):
        self.notebook, self.page = notebook, notebook.page
        self.root = self.page.locator(".analognas-panel").first
        self.root.locator("img").first.wait_for()

    def shown(self) -> str:
        "Picture and table, whatever they are."
        return self.root.evaluate(f"e => ({SHOWN})(e)")

    def until_changed(self, before: str, why: str = "") -> None:
        try:
            self.page.wait_for_function(
                f"before => ({SHOWN})(document.querySelector('.analognas-panel')) != before",
                arg=before,
            )
        except TimeoutError as e:
            raise AssertionError(why) from e

    def until_at_rest(self) -> None:
        """Until the panel has no better answer to give, and the still shows what it shows; cell 1
        has to be WAIT."""
        assert self.notebook.run_cell(1) == "True"
        self.page.wait_for_function("""() => document.querySelector('.analognas-panel img').src
                                           == document.querySelector('.analognas-still img').src""")

    def status(self) -> str:
        return " ".join(self.root.locator("[role=status], [role=alert]").all_inner_texts())

    def until_says(self, pattern: str, patience: float = PATIENCE) -> None:
        "Until the line of status matches a pattern."
        self.page.wait_for_function(
            "p => [...document.querySelectorAll('.analognas-panel [role=status], .analognas-panel "
            "[role=alert]')]"
            ".some(e => new RegExp(p).test(e.innerText))",
            arg=pattern,
            timeout=1000 * patience,
        )

    def controls(self) -> list:
        "Everything the keyboard should reach, in the order of the page's text."
        found = self.root.locator(FOCUSABLE).all()
        return [c for c in found if c.is_visible() and c.is_enabled()]

    def cut(self) -> list[str]:
        "Labels that do not fit, and controls whose left or right edge is hidden by something."
        labels = self.root.evaluate("""e => [...e.querySelectorAll('label')].filter(l => l.scrollWidth > l.clientWidth + 1)
                                                                            .map(l => l.innerText)""")
        hidden = """e => { const page = document.querySelector('.jp-WindowedPanel-outer'), middle = page.clientHeight / 2;
            page.scrollTop += e.getBoundingClientRect().top - middle;   // scrollIntoView would scroll sideways, too
            const r = e.getBoundingClientRect();
            return [r.left + 2, r.right - 2].some(x => !e.contains(document.elementFromPoint(x, r.top + r.height / 2))) }"""
        return labels + [self.label(c) for c in self.controls() if c.evaluate(hidden)]

    def control(self, label: str):
        "The first with this label."
        return next(c for c in self.controls() if self.label(c) == label)

    def label(self, control) -> str:
        return control.evaluate(
            "e => (e.closest('label') ||"
            " e.closest('.widget-inline-hbox')?.querySelector('label') || e).innerText"
        ).strip()

    def kind(self, control) -> str:
        "slider, select-one, checkbox, button, text; number for the one beside a slider."
        return control.evaluate(
            "e => e.getAttribute('role') || "
            "(e.isContentEditable && 'number') || (e.tagName == 'BUTTON' && 'button') || e.type"
        )

    def move(self, control) -> None:
        "Change a control's value with the keyboard, as far as it can be changed."
        kind = self.kind(control)
        control.focus()
        if kind == "slider":
            at_end = control.evaluate(
                "e => +e.getAttribute('aria-valuenow') >= +e.getAttribute('aria-valuemax')"
            )
            self.page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
        elif kind.startswith("select"):
            last = control.evaluate("e => e.selectedIndex == e.options.length - 1")
            control.select_option(
                index=control.evaluate("e => e.selectedIndex") + (-1 if last else 1)
            )
        elif kind == "checkbox":
            self.page.keyboard.press("Space")
        else:
            raise AssertionError(f"what is a {kind!r}?")

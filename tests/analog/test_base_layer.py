"""What all analog layers share. Their products are tested layer by layer in test_layers.py."""

import subprocess
import sys


def test_the_compiler_is_not_imported_where_nothing_is_compiled():
    "It takes as long as all of PyTorch."
    code = "import sys, analognas.analog.convert; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

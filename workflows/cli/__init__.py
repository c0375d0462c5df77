"""The command line: one module for each group of commands."""

import sys

# Until `main` answers signals: Python dies of the signal as it would, but without a traceback. The modules below take
# half a second to import, and a Ctrl-C may come meanwhile.
sys.excepthook = lambda kind, *error: None if kind is KeyboardInterrupt else sys.__excepthook__(kind, *error)

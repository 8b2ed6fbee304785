"""`/openapi.json` held to the server by schemathesis: what the description promises, the server does.

Usage: python described.py BINARY [SECONDS] [SEED]; without a seed a new one is drawn and printed.
"""

import os
import subprocess
import sys
from pathlib import Path

from server import Server

HERE = Path(__file__).resolve().parent
SECONDS = 40
# A body whose items are wrong is taken with 202 and the list of what was rejected, by contract: `hooks.py` checks that
# list instead. So it is also no fault that an item of such a body is not there afterwards.
NOT_OUR_CONTRACT = ("negative_data_rejection", "ensure_resource_availability")


def main():
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    seed = ["--seed", sys.argv[3]] if len(sys.argv) > 3 else []
    with Server(sys.argv[1]) as server:
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run", f"{server.url}/openapi.json",
            "--max-time", str(seconds), "--checks", "all", "--exclude-checks", ",".join(NOT_OUR_CONTRACT),
            "--request-timeout", "10", "--max-examples", "60", *seed,
        ]
        environment = {
            **os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "WEIKEFU_API_SECRET": server.secrets[0],
        }
        code = subprocess.run(command, cwd=server.folder.name, env=environment, timeout=seconds + 60).returncode
        if code != 0:
            print(server.told()[-1500:])
        sys.exit(code)


if __name__ == "__main__":
    main()

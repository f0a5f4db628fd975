#!/bin/bash
# A Python for the drivers of the jobs: that of the cluster's nodes, and what the jobs import.
set -euo pipefail
python3 -m venv "$HOME/jobs"
"$HOME/jobs/bin/pip" install --quiet --disable-pip-version-check 'snowflake-connector-python>=3.12,<5'

#!/bin/bash
set -e
echo bootstrap "$@"
sudo true

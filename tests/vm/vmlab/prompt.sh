#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause-Patent
# The guest's program for "make vm-shell": prompt.sh FOLDER LINES COLUMNS TERM
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TERM="$4" PS1='lab:\w# '
stty rows "$2" cols "$3"
echo "A guest of this machine: it sees the same files; what is written here is gone when you leave."
nvme list
cd "$1" || exit 1
/bin/bash --norc -i
# The lab's own process 1 sees by itself that the prompt has ended.
[ "$(cat /proc/1/comm)" != systemd ] || systemctl poweroff --force --force

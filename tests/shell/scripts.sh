#!/usr/bin/env bash
# Usage: tests/shell/scripts.sh ROOT. Asks `bash -n` and, where it is installed,
# the linter shellcheck about every shell script that Git knows or would.
set -euo pipefail
cd "$1"

scripts=()
while IFS= read -r file; do
  # The first line decides: .ci/run has no suffix.
  if head -c 64 "$file" | head -n 1 | grep -qE '^#!.*\b(ba)?sh\b'; then
    scripts+=("$file")
  fi
done < <(if [ -e .git ] && command -v git >/dev/null; then
  git -c safe.directory='*' ls-files --cached --others --exclude-standard
else
  find . -path ./build -prune -o -type f -print
fi)

[ ${#scripts[@]} -gt 0 ] || { echo 'no shell script found' >&2; exit 1; }
failed=0
for script in "${scripts[@]}"; do
  bash -n "$script" || failed=1
  [ -x "$script" ] || { echo "$script: not executable" >&2; failed=1; }
done
if command -v shellcheck >/dev/null; then
  shellcheck --severity=warning "${scripts[@]}" || failed=1
else
  echo 'shellcheck is not installed: only bash -n was asked' >&2
fi
echo "${#scripts[@]} scripts"
exit $failed

#!/usr/bin/env bash
# System libraries, through apt where it is there and allowed; else it says what is missing.
#   tools/system-packages.sh venv    what `python3 -m venv` needs
#   tools/system-packages.sh window  Qt's and OpenGL's libraries
#   tools/system-packages.sh test    those, a virtual screen, and what checks DICOM files
set -euo pipefail

window="libgl1 libegl1 libglib2.0-0 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4
  libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1"
case "${1:-}" in
  venv) wanted="python3-venv" ;;
  window) wanted="$window" ;;
  test) wanted="$window xvfb xauth dicom3tools dcmtk" ;;
  *) echo "usage: $0 venv|window|test" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
  echo "This is not a Debian-like system: if a window does not open, install what these Debian packages hold:" $wanted >&2
  exit 0
fi
missing=""
for package in $wanted; do
  # A package may go by another name in later releases (libglib2.0-0t64).
  dpkg-query -W -f='${Status}\n' "$package" "${package}t64" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then as_root=""
elif sudo -n true 2>/dev/null; then as_root="sudo"
else
  echo "These system packages are missing, and this account may not install them:$missing" >&2
  echo "Ask an administrator for:  apt-get install$missing" >&2
  exit 1
fi
$as_root apt-get update -qq
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null

#!/bin/sh
# Installs the Debian packages that the recordings of `bench quality` are made of: 760 MB of games' music and a sound font.
# What is not installed is left out there.
set -eu
sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
$sudo apt-get install -q -y --no-install-recommends ffmpeg fluidsynth fluid-soundfont-gm wesnoth-1.16-music hedgewars-data \
	lincity-ng-data singularity-music supertux-data alsa-utils fillets-ng-data

#!/bin/sh
# Makes the looped sources of the load generator in DIR (default: testdata), if they are not there:
#   video.h264  720p30 constrained-baseline H.264, about 2.5 Mbit/s, one slice a frame, closed 60-frame GOPs, an even number
#               of them (so that idr_pic_id still alternates where the loop wraps)
#   audio.ogg   48 kHz stereo Opus, 20 ms packets, about 96 kbit/s; every 2 s it falls silent for 300 ms, then beeps (3 kHz,
#               100 ms) exactly on the 2 s mark: bench lipsync finds the beeps again in the output.
#   mono.ogg    the same from one microphone, in mono at 64 kbit/s
set -eu
dir=${1:-testdata}
seconds=12
[ -s "$dir/video.h264" ] && [ -s "$dir/audio.ogg" ] && [ -s "$dir/mono.ogg" ] && exit 0
mkdir -p "$dir"

ffmpeg -hide_banner -loglevel error -y \
	-f lavfi -i "testsrc2=size=1280x720:rate=30,noise=alls=7:allf=t" -t "$seconds" \
	-pix_fmt yuv420p -c:v libx264 -profile:v baseline -level 3.1 -preset veryfast -tune zerolatency \
	-x264-params "keyint=60:min-keyint=60:scenecut=0:bframes=0:sliced-threads=0:slices=1:threads=1:bitrate=2500:vbv-maxrate=2500:vbv-bufsize=1250:aud=0:annexb=1" \
	-bsf:v "filter_units=remove_types=6" -f h264 "$dir/video.h264"

# A chord with a slow tremolo and a voice-like amplitude, over pink noise.
chord="(0.16*sin(2*PI*196*t)+0.12*sin(2*PI*247*t)+0.10*sin(2*PI*294*t+sin(2*PI*5*t))+0.06*sin(2*PI*784*t))*(0.55+0.45*sin(2*PI*3.1*t))"
gate="lt(mod(t,2),1.7)*gte(mod(t,2),0.1)"
beep="0.6*sin(2*PI*3000*t)*lt(mod(t,2),0.1)"
ffmpeg -hide_banner -loglevel error -y \
	-f lavfi -i "aevalsrc='($chord)*$gate+$beep|($chord)*0.8*$gate+$beep':s=48000" \
	-f lavfi -i "anoisesrc=r=48000:c=pink:a=0.08" \
	-filter_complex "[1]volume='$gate':eval=frame,aformat=channel_layouts=stereo[n];[0][n]amix=inputs=2:normalize=0:duration=first" \
	-t "$seconds" -c:a libopus -b:a 96k -vbr on -frame_duration 20 -application audio "$dir/audio.ogg"

ffmpeg -hide_banner -loglevel error -y -i "$dir/audio.ogg" -ac 1 -c:a libopus -b:a 64k -vbr on -frame_duration 20 -application audio "$dir/mono.ogg"

"""GStreamer's webrtcbin as a WHIP publisher or a WHEP player, which Debian 12 has no element for.

    gstreamer.py publish|play URL [--bundle none|balanced|max-compat|max-bundle] [--first audio|video] [--kinds audio,video]
        [--marks] [--late SECONDS]

Prints a JSON object a line: {"answer": STATUS, "body": TEXT, "headers": {...}} once, {"state": NAME} with each change of the connection,
{"media": KIND, "buffers": N} of what a player gets, each second. Ends when standard input closes.
"""

import argparse
import json
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstController", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstController, GstSdp, GstWebRTC  # noqa: E402

SOURCES = {
    "video": "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 ! x264enc tune=zerolatency speed-preset=ultrafast"
    " key-int-max=30 bitrate=400 ! video/x-h264,profile=constrained-baseline ! rtph264pay pt=96 config-interval=-1 aggregate-mode=zero-latency"
    " ! capsfilter caps=application/x-rtp,media=video,encoding-name=H264,payload=96",
    "audio": "audiotestsrc is-live=true wave=ticks ! audioconvert ! audioresample ! opusenc ! rtpopuspay pt=97"
    " ! capsfilter caps=application/x-rtp,media=audio,encoding-name=OPUS,payload=97",
}
# The pictures are black but for a flash of a tenth of a second where the sound ticks, each second.
MARKED = SOURCES["video"].replace(" ! x264enc", " ! videobalance name=light ! videoconvert ! x264enc").replace("is-live=true", "is-live=true pattern=white")
CAPS = {
    "video": "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=96,packetization-mode=(string)1,profile-level-id=(string)42e01f",
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,encoding-params=(string)2,payload=97",
}


def say(**facts):
    print(json.dumps(facts), flush=True)


class Peer:
    def __init__(self, options):
        self.options = options
        self.offered = False
        self.session = None
        self.counts = {}
        kinds = options.kinds.split(",")
        if options.first:
            kinds.sort(key=lambda kind: kind != options.first)
        self.pipeline = Gst.Pipeline.new()
        self.peer = Gst.parse_launch(f"webrtcbin bundle-policy={options.bundle}")
        self.pipeline.add(self.peer)
        self.peer.connect("notify::connection-state", self.state_changed)
        self.peer.connect("notify::ice-gathering-state", self.gathered)
        self.peer.connect("pad-added", self.receive)
        if options.role == "play":
            for kind in kinds:
                self.peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(CAPS[kind]))
            GLib.idle_add(self.negotiate, self.peer)
        else:
            self.peer.connect("on-negotiation-needed", self.negotiate)
            for i, kind in enumerate(kinds):
                marked = options.marks and kind == "video"
                source = Gst.parse_bin_from_description(MARKED if marked else SOURCES[kind], True)
                if marked:
                    self.flash(source.get_by_name("light"))
                self.pipeline.add(source)
                source.link(self.peer)
                transceiver = self.peer.emit("get-transceiver", i)
                transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        self.pipeline.set_state(Gst.State.PLAYING)

    def flash(self, light):
        self.brightness = GstController.InterpolationControlSource(mode=GstController.InterpolationMode.NONE)
        light.add_control_binding(GstController.DirectControlBinding.new_absolute(light, "brightness", self.brightness))
        for second in range(600):
            self.brightness.set(second * Gst.SECOND, 0.0)
            self.brightness.set(second * Gst.SECOND + Gst.SECOND // 10, -1.0)

    def negotiate(self, peer):
        if not self.offered:
            self.offered = True
            peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.created))
        return False

    def created(self, promise):
        reply = promise.get_reply()  # owns the offer
        if not reply.has_field("offer"):
            say(failed=reply.to_string())
            return
        self.offer = reply.get_value("offer")
        self.peer.emit("set-local-description", self.offer, Gst.Promise.new())

    def gathered(self, peer, _):
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            threading.Thread(target=self.exchange, daemon=True).start()

    def exchange(self):
        offer = self.peer.get_property("local-description").sdp.as_text()
        request = urllib.request.Request(self.options.url, offer.encode(), {"Content-Type": "application/sdp"})
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                status, body, headers = response.status, response.read().decode(), dict(response.headers)
        except urllib.error.HTTPError as error:
            status, body, headers = error.code, error.read().decode(), dict(error.headers)
        say(answer=status, body=body, headers=headers, offer=offer)
        if status == 201:
            self.session = urllib.parse.urljoin(self.options.url, headers["Location"])
            _, message = GstSdp.SDPMessage.new_from_text(body)
            answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
            time.sleep(self.options.late)  # what is recorded meanwhile is sent at once
            self.peer.emit("set-remote-description", answer, Gst.Promise.new())

    def state_changed(self, peer, _):
        say(state=peer.get_property("connection-state").value_nick)

    def receive(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        decode = "rtph264depay ! h264parse" if kind == "video" else "rtpopusdepay"
        branch = Gst.parse_bin_from_description(f"{decode} ! fakesink name=end sync=false signal-handoffs=true", True)
        branch.get_by_name("end").connect("handoff", self.count, kind)
        self.pipeline.add(branch)
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))

    def count(self, _sink, _buffer, _pad, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def end(self):
        if self.session:
            urllib.request.urlopen(urllib.request.Request(self.session, method="DELETE"), timeout=20).close()
        self.pipeline.set_state(Gst.State.NULL)

    def tell(self):
        for kind, buffers in sorted(self.counts.items()):
            say(media=kind, buffers=buffers)
        return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["publish", "play"])
    parser.add_argument("url")
    parser.add_argument("--bundle", default="max-bundle")
    parser.add_argument("--first")
    parser.add_argument("--kinds", default="audio,video")
    parser.add_argument("--marks", action="store_true")
    parser.add_argument("--late", type=float, default=0)
    Gst.init(None)
    peer = Peer(parser.parse_args())
    loop = GLib.MainLoop()
    GLib.timeout_add(200, peer.tell)
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    loop.run()
    peer.end()


main()

// The parts of the studio's quality, health and recording that need no browser. `npm test` compiles them to .build/web first.

import assert from "node:assert/strict";
import { test } from "node:test";
import { pictureRequest } from "./.build/web/pages/destination-picture.js";
import { Failure } from "./.build/web/pages/failure.js";
import { Happenings } from "./.build/web/pages/happenings.js";
import { asCSV, asJSON, moments, Ring } from "./.build/web/pages/history.js";
import { prefer } from "./.build/web/pages/publisher.js";
import { bitrateProblem, fitting, usualWishes, validWishes, withWishes } from "./.build/web/pages/quality.js";
import { initialPush } from "./.build/web/pages/push-state.js";
import { judge, read } from "./.build/web/pages/speed-test.js";
import { initialStream } from "./.build/web/pages/stream-state.js";

test("the quality that a line carries leaves a quarter of it free", () => {
  for (const [kbps, want] of [[0, null], [1266, null], [1267, "360p"], [2200, "480p"], [3533, "480p"], [3534, "720p"], [6200, "1080p"], [1e9, "1080p"]]) {
    assert.equal(fitting(kbps), want, `${kbps} kbit/s`);
  }
});

test("wishes take the place of a quality's own numbers", () => {
  assert.equal(withWishes("720p", usualWishes).maxBitrateKbps, 2500);
  const { frameRate, height, maxBitrateKbps } = withWishes("720p", { bitrateKbps: 900, frameRate: 15, codec: "video/VP8" });
  assert.deepEqual([frameRate, height, maxBitrateKbps], [15, 720, 900]);
});

test("wishes of another version of the page, or of somebody else, are not taken over", () => {
  assert.deepEqual(validWishes(null), usualWishes);
  assert.deepEqual(validWishes({ bitrateKbps: 1e9, frameRate: 31, codec: "toString" }), usualWishes);
  assert.deepEqual(validWishes({ bitrateKbps: 900.5, frameRate: "30", codec: 1 }), usualWishes);
  const own = { bitrateKbps: 900, frameRate: 60, codec: "video/VP9" };
  assert.deepEqual(validWishes(own), own);
});

test("bit rates that can be entered", () => {
  for (const good of ["", "100", "20000"]) {
    assert.equal(bitrateProblem(good), "", good);
  }
  for (const bad of ["99", "20001", "-1", "1e3", "2.5", "2500 kbit/s", "٣٠٠"]) {
    assert.match(bitrateProblem(bad), /from 100 to 20000/, bad);
  }
});

test("the chosen codec comes first, and the others stay", () => {
  const [h264, vp8, rtx] = ["video/H264", "video/VP8", "video/rtx"].map((mimeType) => ({ mimeType }));
  assert.deepEqual(prefer([h264, vp8, rtx], "video/VP8"), [vp8, h264, rtx]);
  assert.deepEqual(prefer([vp8, h264, rtx]), [h264, vp8, rtx]);
  assert.deepEqual(prefer([vp8, rtx], "video/AV1"), [vp8, rtx]);
});

test("the request for another picture", () => {
  for (const [picture, want] of [
    [{ height: 0, fps: 0, shape: "" }, {}],
    [{ height: 0, fps: 0, shape: "wide" }, {}], // a shape needs a size
    [{ height: 480, fps: 0, shape: "" }, { height: 480 }],
    [{ height: 0, fps: 25, shape: "" }, { fps: 25 }],
    [{ height: 480, fps: 25, shape: "wide" }, { width: 854, height: 480, fps: 25, options: { fit: "letterbox" } }],
    [{ height: 1080, fps: 0, shape: "upright" }, { width: 1080, height: 1920, options: { fit: "letterbox" } }],
  ]) {
    assert.deepEqual(pictureRequest(picture), want);
  }
});

test("what a test of the upload has measured", () => {
  /** A reading each half second. kbps: what got there; estimates: of the browser. */
  const readings = (kbps, estimates) => estimates.map((available, i) => ({ at: i * 500, bytes: i * 62.5 * kbps, available, roundTripMs: 20 }));
  const about = (kbps) => ({ kbps, atLeast: false, roundTripMs: 20 });
  const rising = [300, 900, 1800, 2900, 3000, 3100, 2900, 3000, 9000]; // one high value does not count
  assert.deepEqual(judge(readings(3200, rising)), about(3000));
  assert.deepEqual(judge(readings(2900, rising)), about(2900)); // no more got there than got there
  assert.deepEqual(judge(readings(1500, rising)), { ...about(1500), atLeast: true }); // this computer cannot send more
  assert.deepEqual(judge(readings(11_000, [9000, 12_000, 12_000, 12_000, 12_000, 12_000])), { ...about(10_000), atLeast: true });
  assert.deepEqual(judge(readings(1000, [null, null, null])), about(1000)); // a browser that estimates nothing
  const held = readings(2000, new Array(12).fill(null)).map((one, i) => ({ ...one, bytes: one.bytes - Math.max(0, i - 5) * 100_000 }));
  assert.deepEqual(judge(held), about(2000)); // this computer was busy with something else in the second half
  assert.throws(() => judge(readings(1, [null])), Failure);

  const stats = [
    { type: "outbound-rtp", timestamp: 1000, bytesSent: 100_000, packetsSent: 100 },
    { type: "remote-inbound-rtp", packetsLost: 10, roundTripTime: 0.03 },
    { type: "candidate-pair", nominated: true, availableOutgoingBitrate: 2_000_000, currentRoundTripTime: 0.02 },
  ];
  assert.deepEqual(read(stats), { at: 1000, bytes: 90_000, available: 2000, roundTripMs: 20 });
  assert.deepEqual(read(stats.slice(0, 2)), { at: 1000, bytes: 90_000, available: null, roundTripMs: 30 });
  assert.deepEqual(read([]), { at: 0, bytes: 0, available: null, roundTripMs: null });
});

test("a ring keeps the newest rows", () => {
  const ring = new Ring(3, 2);
  assert.equal(ring.length, 0);
  for (let i = 1; i <= 5; i++) {
    ring.push(i * 1000, [i, i === 4 ? null : 10 * i]);
  }
  assert.equal(ring.length, 3);
  assert.deepEqual([0, 1, 2].map((row) => [ring.at(row), ring.value(row, 0), ring.value(row, 1)]), [[3000, 3, 30], [4000, 4, null], [5000, 5, 50]]);
  ring.push(6000, []); // nothing is known
  assert.deepEqual([ring.value(2, 0), ring.value(2, 1)], [null, null]);
});

test("the moments of a chart", () => {
  const ring = new Ring(100, 1);
  for (const [second, value] of [[1, 9], [11, 2], [12, 4], [13, null], [21, 5], [30, 7], [31, 8]]) {
    ring.push(second * 1000, [value]);
  }
  assert.deepEqual(moments(ring, 0, 10_000, 40_000, 3, "mean"), [3, 6, 8]);
  assert.deepEqual(moments(ring, 0, 10_000, 40_000, 3, "max"), [4, 7, 8]);
  assert.deepEqual(moments(ring, 0, 10_000, 40_000, 3, "sum"), [6, 12, 8]);
  assert.deepEqual(moments(ring, 0, 31_000, 61_000, 3, "mean"), [null, null, null]);
  assert.deepEqual(moments(new Ring(5, 1), 0, 0, 10, 2, "mean"), [null, null]);
});

test("the numbers of a show as files", () => {
  const ring = new Ring(10, 4);
  const other = new Ring(10, 3);
  ring.push(0, [2500.00049, 0, 20, 30]);
  ring.push(1000, []);
  other.push(1000, [2400, 100, 3]);
  const destinations = [{ name: '=HYPERLINK("http://h"),', ring: other }];
  assert.equal(asCSV(ring, destinations), [
    `time,bitrate_kbps,lost_share,round_trip_ms,frames_per_second,"'=HYPERLINK(""http://h""), bitrate_kbps","'=HYPERLINK(""http://h""), lag_ms","'=HYPERLINK(""http://h""), dropped_frames"`,
    "1970-01-01T00:00:00.000Z,2500,0,20,30,,,",
    "1970-01-01T00:00:01.000Z,,,,,2400,100,3", ""].join("\r\n"));
  assert.deepEqual(JSON.parse(asJSON(ring, [{ name: "d", ring: other }], [{ at: 0, text: "The show begins." }])), {
    events: [{ time: "1970-01-01T00:00:00.000Z", text: "The show begins." }],
    stream: [
      { time: "1970-01-01T00:00:00.000Z", bitrate_kbps: 2500, lost_share: 0, round_trip_ms: 20, frames_per_second: 30 },
      { time: "1970-01-01T00:00:01.000Z", bitrate_kbps: null, lost_share: null, round_trip_ms: null, frames_per_second: null },
    ],
    destinations: [{ name: "d", seconds: [{ time: "1970-01-01T00:00:01.000Z", bitrate_kbps: 2400, lag_ms: 100, dropped_frames: 3 }] }],
  });
});

test("what happens in a show, in words", () => {
  const all = new Happenings(() => undefined);
  const said = () => all.list.splice(0).map(({ text }) => text);
  const stream = (phase, fields = {}) => all.follow({ ...initialStream, phase, ...fields });
  stream("opening");
  stream("publishing");
  stream("sending");
  assert.deepEqual(said(), ["The show begins.", "The server gets the stream."]);
  stream("sending", { silent: true });
  stream("returning", { away: new Failure("server_gone"), silent: true });
  stream("returning", { away: new Failure("disconnected") });
  stream("sending");
  assert.deepEqual(said(), ["The server does not answer. The stream may still reach it.",
    "The server does not get the stream. The server does not answer. The page brings it back.", "The server gets the stream again."]);

  const push = (status, fields = {}) => all.push(1, "YouTube", { ...initialPush, phase: "live", push: { status, reason: "" }, ...fields });
  push("STARTING", { phase: "pushing" });
  push("PUBLISHING");
  push("PUBLISHING");
  push("RECONNECTING", { push: { status: "RECONNECTING", reason: "peer_closed" } });
  all.push(1, "YouTube", { ...initialPush, failure: new Failure("key_rejected") });
  all.push(2, "Twitch", initialPush); // nothing has begun there
  assert.deepEqual(said(), ["YouTube: Waiting for the first picture.", "Live on YouTube.", "Connection to YouTube lost; trying again. The destination closed the connection.",
    "YouTube does not get the stream. The destination refused the stream name or key."]);

  stream("waiting", { elsewhere: true });
  stream("waiting");
  assert.deepEqual(said(), ["Another device sends the show.", "The destinations wait for the stream."]);

  all.warn([{ code: "black", title: "The picture is black." }]);
  all.warn([{ code: "black", title: "The picture is black." }]);
  all.warn([]);
  assert.deepEqual(said(), ["Warning: The picture is black.", "No longer: The picture is black."]);

  for (let i = 0; i < 1000; i++) {
    all.note(String(i));
  }
  assert.equal(all.list.length, 300);
  assert.equal(all.list.at(-1).text, "999");
});

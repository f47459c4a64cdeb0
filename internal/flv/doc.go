// Package flv turns frames into the bodies of RTMP audio, video and data messages and back: the tags of the FLV file format
// (Adobe Flash Video File Format Specification 10.1, annex E) and the headers of Enhanced RTMP v2 that announce newer codecs.
//
// A Tag keeps its few header bytes apart from the frame's data, so that the data is copied once only, into the chunks.
// Chunks and connections are left to package rtmp.
package flv

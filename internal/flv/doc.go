// Package flv turns frames into the bodies of RTMP audio, video and data messages and back: the tags of the FLV file format
// (Adobe Flash Video File Format Specification 10.1, annex E) and the headers of Enhanced RTMP v2 that announce newer codecs.
//
// A Tag keeps its few header bytes apart from the data of the frame, so that the data is copied only once: into the chunks. Package rtmp is
// responsible for chunks and connections.
package flv

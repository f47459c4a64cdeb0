// Package amf encodes and decodes AMF0 values, of which the commands and metadata of RTMP consist (Adobe Action Message Format, AMF 0, 2007).
//
// A value is a float64, bool, string, nil (null), Undefined, Object, ECMAArray, StrictArray, Date, XML or TypedObject.
// References and AMF3 values are refused: no RTMP program is known to send them in AMF0 messages.
package amf

package amf

// Property is one named value of an object.
type Property struct {
	Name  string
	Value any
}

// Object is an anonymous object. The order of the properties is kept, because some RTMP programs depend on it.
type Object []Property

// Lookup returns the first property of that name.
func (o Object) Lookup(name string) (any, bool) {
	for _, p := range o {
		if p.Name == name {
			return p.Value, true
		}
	}
	return nil, false
}

// String returns the property of that name if it is a string, else "".
func (o Object) String(name string) string {
	v, _ := o.Lookup(name)
	s, _ := v.(string)
	return s
}

// ECMAArray is an associative array. It differs from an Object only on the wire.
type ECMAArray []Property

// StrictArray is an array with numeric indices.
type StrictArray []any

// Undefined is the undefined value.
type Undefined struct{}

// Date is a time in milliseconds since 1970. The specification reserves the zone, which should be 0.
type Date struct {
	Milliseconds float64
	ZoneMinutes  int16
}

// XML is an XML document.
type XML string

// TypedObject is an object with the name of its class.
type TypedObject struct {
	Class  string
	Object Object
}

// AsObject returns v as an Object if v is an object of any kind: RTMP programs do not agree on which kind to send.
func AsObject(v any) (Object, bool) {
	switch v := v.(type) {
	case Object:
		return v, true
	case ECMAArray:
		return Object(v), true
	case TypedObject:
		return v.Object, true
	default:
		return nil, false
	}
}

// The markers that precede values (AMF0, 2.1).
const (
	markNumber      = 0x00
	markBoolean     = 0x01
	markString      = 0x02
	markObject      = 0x03
	markNull        = 0x05
	markUndefined   = 0x06
	markECMAArray   = 0x08
	markObjectEnd   = 0x09
	markStrictArray = 0x0a
	markDate        = 0x0b
	markLongString  = 0x0c
	markUnsupported = 0x0d
	markXML         = 0x0f
	markTypedObject = 0x10
)

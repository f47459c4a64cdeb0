package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"transponder/internal/limits"
	"transponder/internal/media"
	"transponder/internal/sip"
	"transponder/internal/transcode/sound"
)

// setting joins one key of the settings file to a field of a Config.
type setting struct {
	key string
	set func(value string) error // sets the field; the error says what the value must be
	get func() string            // returns the value of the field as the file spells it

	limits string // of a number: "from 1 to 64"
}

func boolean(key string, field *bool) setting {
	return setting{
		key: key,
		set: func(value string) error {
			switch strings.ToLower(value) {
			case "true":
				*field = true
			case "false":
				*field = false
			default:
				return fmt.Errorf("must be true or false, not %q", value)
			}
			return nil
		},
		get: func() string { return strconv.FormatBool(*field) },
	}
}

func text(key string, field *string) setting {
	return setting{
		key: key,
		set: func(value string) error { *field = value; return nil },
		get: func() string { return *field },
	}
}

// number is a whole number of units, in the range that a part allows. alsoTaken are values outside the range that stand for the default.
func number[T int | int64 | time.Duration](key string, field *T, unit T, r limits.Range[T], alsoTaken ...T) setting {
	words := limits.Of(int64(r.Min/unit), int64(r.Max/unit)).String()
	return setting{
		key:    key,
		limits: words,
		set: func(value string) error {
			n, err := strconv.ParseInt(value, 10, 64)
			inRange := n >= int64(r.Min/unit) && n <= int64(r.Max/unit)
			if err != nil || !inRange && !slices.Contains(alsoTaken, T(n)) {
				return fmt.Errorf("must be a whole number %s, not %q", words, value)
			}
			*field = T(n) * unit
			return nil
		},
		get: func() string { return strconv.FormatInt(int64(*field/unit), 10) },
	}
}

func whole(key string, field *int, r limits.Range[int]) setting { return number(key, field, 1, r) }

func milliseconds(key string, field *time.Duration, r limits.Range[time.Duration], alsoTaken ...time.Duration) setting {
	return number(key, field, time.Millisecond, r, alsoTaken...)
}

func seconds(key string, field *time.Duration, r limits.Range[time.Duration]) setting {
	return number(key, field, time.Second, r)
}

// portOfRange is the first or the last port of a range of ports. Which ports can be the first depends on the last, so that no range of
// the value alone is shown.
func portOfRange(key string, field *int, r limits.Range[int]) setting {
	s := whole(key, field, r)
	s.limits = ""
	return s
}

// word is one of two words; field is whether the second one is set.
func word(key string, field *bool, no, yes string) setting {
	return setting{
		key: key,
		set: func(value string) error {
			if value != no && value != yes {
				return fmt.Errorf("must be %s or %s, not %q", no, yes, value)
			}
			*field = value == yes
			return nil
		},
		get: func() string {
			if *field {
				return yes
			}
			return no
		},
	}
}

// digits is a way to send digits. Web Call Server writes it in small letters, and requests write it in capitals.
func digits(key string, field *sip.Digits) setting {
	return setting{
		key: key,
		set: func(value string) error { *field = sip.Digits(strings.ToUpper(value)); return nil },
		get: func() string { return strings.ToLower(string(*field)) },
	}
}

func port(key string, field *int) setting { return whole(key, field, portRange) }

// oneOf is one of some numbers.
func oneOf(key string, field *int, numbers []int) setting {
	return setting{
		key: key,
		set: func(value string) error {
			n, err := strconv.Atoi(value)
			if err != nil || !slices.Contains(numbers, n) {
				return fmt.Errorf("must be one of %v, not %q", numbers, value)
			}
			*field = n
			return nil
		},
		get: func() string { return strconv.Itoa(*field) },
	}
}

// audioCodecs are the codecs that rtmp_push_audio_codec can name.
var audioCodecs = []struct {
	name  string
	codec media.Codec
}{{"aac", media.AAC}, {"pcma", media.PCMA}, {"pcmu", media.PCMU}, {"speex", media.Speex}}

// audioCodec is the name of the codec for the sound of pushes. "copy" leaves G.711 and Speex as they are, and makes AAC of all other sound.
func audioCodec(key string, cfg *sound.Config) setting {
	return setting{
		key: key,
		set: func(value string) error {
			if value == "copy" {
				cfg.Codec, cfg.Copy = media.AAC, true
				return nil
			}
			for _, c := range audioCodecs {
				if c.name == value {
					cfg.Codec, cfg.Copy = c.codec, false
					return nil
				}
			}
			return fmt.Errorf("must be aac, copy, pcma, pcmu or speex, not %q", value)
		},
		get: func() string {
			for _, c := range audioCodecs {
				if c.codec == cfg.Codec && !cfg.Copy {
					return c.name
				}
			}
			return "copy"
		},
	}
}

// list is a list of words, with commas between them.
func list(key string, field *[]string) setting {
	return setting{
		key: key,
		set: func(value string) error {
			*field = nil
			for word := range strings.SplitSeq(value, ",") {
				if word = strings.TrimSpace(word); word != "" {
					*field = append(*field, word)
				}
			}
			return nil
		},
		get: func() string { return strings.Join(*field, ",") },
	}
}

// addresses is a list of IP addresses.
func addresses(key string, field *[]netip.Addr) setting {
	return setting{
		key: key,
		set: func(value string) error {
			var words []string
			if err := list(key, &words).set(value); err != nil {
				return err
			}
			*field = nil
			for _, word := range words {
				a, err := netip.ParseAddr(word)
				if err != nil {
					return fmt.Errorf("must be IP addresses, not %q", word)
				}
				*field = append(*field, a)
			}
			return nil
		},
		get: func() string {
			words := make([]string, len(*field))
			for i, a := range *field {
				words[i] = a.String()
			}
			return strings.Join(words, ",")
		},
	}
}

// address is one IP address. An empty value is the zero Addr.
func address(key string, field *netip.Addr) setting {
	return setting{
		key: key,
		set: func(value string) error {
			if value == "" {
				*field = netip.Addr{}
				return nil
			}
			a, err := netip.ParseAddr(value)
			if err != nil {
				return fmt.Errorf("must be an IP address, not %q", value)
			}
			*field = a
			return nil
		},
		get: func() string {
			if !field.IsValid() {
				return ""
			}
			return field.String()
		},
	}
}

// activity is a switch with a number of seconds, "true,60", as Web Call Server has it. The field is 0 while the switch is off.
func activity(key string, field *time.Duration, r limits.Range[time.Duration]) setting {
	return setting{
		key:    key,
		limits: number(key, field, time.Second, r).limits,
		set: func(value string) error {
			on, seconds, both := strings.Cut(value, ",")
			var enabled bool
			if err := boolean(key, &enabled).set(strings.TrimSpace(on)); err != nil {
				return fmt.Errorf(`must look like "true,60", not %q`, value)
			}
			limit := *field
			if both {
				if err := number(key, &limit, time.Second, r).set(strings.TrimSpace(seconds)); err != nil {
					return fmt.Errorf(`must look like "true,60", not %q`, value)
				}
			}
			if !enabled {
				limit = 0
			}
			*field = limit
			return nil
		},
		get: func() string { return fmt.Sprintf("%t,%d", *field > 0, int(*field/time.Second)) },
	}
}

// networks is a list of networks. An entry that is a single address means that address alone.
func networks(key string, field *[]netip.Prefix) setting {
	return setting{
		key: key,
		set: func(value string) error {
			*field = nil
			for part := range strings.SplitSeq(value, ",") {
				if part = strings.TrimSpace(part); part == "" {
					continue
				}
				p, err := netip.ParsePrefix(part)
				if a, bad := netip.ParseAddr(part); bad == nil {
					p, err = netip.PrefixFrom(a, a.BitLen()), nil
				}
				if err != nil {
					return fmt.Errorf("must be networks like 10.1.0.0/16, not %q", part)
				}
				*field = append(*field, p.Masked())
			}
			return nil
		},
		get: func() string {
			var parts []string
			for _, p := range *field {
				parts = append(parts, p.String())
			}
			return strings.Join(parts, ",")
		},
	}
}

//go:build cgo

#include "code.h"

#include <string.h>

enum {
	NEVER = 1 << 20, // bits
	SCE = 0,
	CPE = 1,
	END = 7,
	FIRST_NOISE_BITS = 9, // of the first level of noise, which is relative to the global gain
	FIRST_NOISE = -90 - 256, // the level that 0 in these bits means
};

#define ROUND 0.4f // values are rounded down more often than up, which takes fewer bits: most lines are small

static inline int width_of(const tp_aac_layout *l, int b) { return l->start[b + 1] - l->start[b]; }

// limit raises scale factors that the standard cannot express.
static void limit(const tp_aac_tables *t, const tp_aac_layout *l, tp_aac_channel *c) {
	for (int b = 0; b < l->bands; b++)
		while (c->scale[b] >= 0 && c->scale[b] < SCALES - 1 && c->peak[b] * t->quantise[c->scale[b]] + ROUND > MAX_QUANT)
			c->scale[b]++;
	int last = -1;
	for (int b = l->bands - 1; b >= 0; b--) // no scale factor may be far below the next one
		if (c->scale[b] >= 0) {
			if (last >= 0 && c->scale[b] < last - MOST_APART)
				c->scale[b] = last - MOST_APART;
			last = c->scale[b];
		}
	last = -1;
	for (int b = 0; b < l->bands; b++) // or far below the one before
		if (c->scale[b] >= 0) {
			if (last >= 0 && c->scale[b] < last - MOST_APART)
				c->scale[b] = last - MOST_APART;
			last = c->scale[b];
		}
}

// quantise computes the values, and reports whether a band has become empty.
static int quantise(const tp_aac_tables *t, const tp_aac_layout *l, tp_aac_channel *c) {
	int emptied = 0;
	limit(t, l, c);
	for (int b = 0; b < l->bands; b++) {
		int from = l->start[b], to = l->start[b + 1];
		if (c->scale[b] < 0) {
			memset(c->values + from, 0, (to - from) * sizeof *c->values);
			continue;
		}
		float f = t->quantise[c->scale[b]];
		int any = 0;
		for (int i = from; i < to; i++) {
			int v = (int)(c->power[i] * f + ROUND);
			any |= v;
			c->values[i] = c->lines[i] < 0 ? -v : v;
		}
		if (!any) {
			c->scale[b] = -1;
			emptied = 1;
		}
	}
	return emptied;
}

// close_enough reports whether the differences between scale factors can be written.
static int close_enough(const tp_aac_layout *l, const tp_aac_channel *c) {
	int last = -1;
	for (int b = 0; b < l->bands; b++)
		if (c->scale[b] >= 0) {
			if (last >= 0 && (c->scale[b] - last > MOST_APART || last - c->scale[b] > MOST_APART))
				return 0;
			last = c->scale[b];
		}
	return 1;
}

void tp_aac_code_quantise(const tp_aac_tables *t, const tp_aac_layout *l, tp_aac_channel *c) {
	while (quantise(t, l, c) && !close_enough(l, c)) // a band between two others became empty, so these two may be too far apart
		;
}

int tp_aac_code_used(const tp_aac_layout *l, const tp_aac_channel *c) {
	int used = 0;
	for (int b = 0; b < l->bands; b++)
		if ((c->scale[b] >= 0 || c->noise[b] != NO_NOISE) && b % l->per_group >= used)
			used = b % l->per_group + 1;
	return used;
}

// escape_bits is the length of the escape sequence after the code word of a value of 16 or more.
static inline int escape_bits(int v) { return 2 * (31 - __builtin_clz(v)) - 3; }

static inline int absolute(int v) { return v < 0 ? -v : v; }

// count computes the bits of a band in each book that may be used: from the smallest book that fits, up to two pairs of books beyond.
static void count(const tp_aac_tables *t, const int32_t *v, int n, int32_t *bits) {
	int most = 0;
	for (int i = 0; i < n; i++)
		most = absolute(v[i]) > most ? absolute(v[i]) : most;
	for (int k = 0; k < BOOKS; k++)
		bits[k] = NEVER;
	int least = most == 0 ? -1 : most <= 1 ? 0 : most <= 2 ? 1 : most <= 4 ? 2 : most <= 7 ? 3 : most <= 12 ? 4 : 5;
	if (least < 0) {
		bits[0] = 0;
		least = 0;
	}
	uint32_t sums[6] = {0};
	switch (least) {
	case 0:
		for (int i = 0; i < n; i += 4)
			sums[0] += t->bits[0][27 * v[i] + 9 * v[i + 1] + 3 * v[i + 2] + v[i + 3] + 40];
		// fall through
	case 1:
		for (int i = 0; i < n; i += 4)
			sums[1] += t->bits[1][27 * absolute(v[i]) + 9 * absolute(v[i + 1]) + 3 * absolute(v[i + 2]) + absolute(v[i + 3])];
		// fall through
	case 2:
		for (int i = 0; i < n; i += 2)
			sums[2] += t->bits[2][9 * v[i] + v[i + 1] + 40];
		if (least == 0)
			break;
		// fall through
	case 3:
		for (int i = 0; i < n; i += 2)
			sums[3] += t->bits[3][8 * absolute(v[i]) + absolute(v[i + 1])];
		if (least == 1)
			break;
		// fall through
	case 4:
		for (int i = 0; i < n; i += 2)
			sums[4] += t->bits[4][13 * absolute(v[i]) + absolute(v[i + 1])];
		if (least == 2)
			break;
		// fall through
	default:
		for (int i = 0; i < n; i += 2) {
			int a = absolute(v[i]), b = absolute(v[i + 1]);
			if (a > 15) {
				sums[5] += escape_bits(a);
				a = 16;
			}
			if (b > 15) {
				sums[5] += escape_bits(b);
				b = 16;
			}
			sums[5] += t->bits[5][17 * a + b] & 0xffff;
		}
	}
	for (int p = least; p < 5 && p < least + 3; p++) {
		bits[2 * p + 1] = sums[p] & 0xffff;
		bits[2 * p + 2] = sums[p] >> 16;
	}
	if (least + 3 > 5)
		bits[ESCAPE] = sums[5];
}

static inline int each_length(const tp_aac_layout *l) { return l->sequence == EIGHT_SHORT ? 3 : 5; }

int tp_aac_code_books(const tp_aac_tables *t, const tp_aac_layout *l, tp_aac_channel *c, int used) {
	enum { KINDS = BOOKS + 1 }; // the books, and noise
	int each = each_length(l), total = 8 + 3;
	uint8_t from[LONG_BANDS][KINDS];
	for (int g = 0; g < l->groups; g++) {
		int first = g * l->per_group;
		int32_t cost[KINDS], best = 0, best_book = 0; // of the bands so far, by the book of the last band
		for (int b = 0; b < used; b++) {
			int32_t bits[KINDS], next_best = NEVER * 2, next_book = 0;
			if (c->noise[first + b] != NO_NOISE) {
				for (int k = 0; k < BOOKS; k++)
					bits[k] = NEVER;
				bits[BOOKS] = 0;
			} else {
				count(t, c->values + l->start[first + b], width_of(l, first + b), bits);
				bits[BOOKS] = NEVER;
				if (c->scale[first + b] < 0)
					for (int k = 1; k < BOOKS; k++)
						bits[k]++; // the difference to the scale factor before is 0
			}
			for (int k = 0; k < KINDS; k++) {
				if (bits[k] >= NEVER) {
					cost[k] = NEVER;
					continue;
				}
				int32_t enter = best + 4 + each;
				from[b][k] = best_book;
				if (b > 0 && cost[k] < enter) {
					enter = cost[k];
					from[b][k] = k;
				}
				cost[k] = enter + bits[k];
				if (cost[k] < next_best) {
					next_best = cost[k];
					next_book = k;
				}
			}
			best = next_best;
			best_book = next_book;
		}
		for (int b = used - 1, k = best_book; b >= 0; b--) {
			c->book[first + b] = k == BOOKS ? NOISE : k;
			k = from[b][k];
		}
		total += best;
		for (int b = 0, run = 0; b < used; b++) { // longer sections have longer lengths
			run = b > 0 && c->book[first + b] == c->book[first + b - 1] ? run + 1 : 1;
			if (run % ((1 << each) - 1) == 0)
				total += each;
		}
	}
	int last = -1, last_noise = NO_NOISE;
	for (int g = 0; g < l->groups; g++)
		for (int b = g * l->per_group; b < g * l->per_group + used; b++)
			if (c->noise[b] != NO_NOISE) {
				total += last_noise == NO_NOISE ? FIRST_NOISE_BITS : t->differences[c->noise[b] - last_noise + MOST_APART] & 255;
				last_noise = c->noise[b];
			} else if (c->scale[b] >= 0) {
				total += t->differences[last < 0 ? MOST_APART : c->scale[b] - last + MOST_APART] & 255;
				last = c->scale[b];
			}
	return total;
}

typedef struct {
	uint8_t *at;
	uint64_t held;
	int bits;
} writer;

static inline void put(writer *w, uint32_t value, int bits) {
	w->held = w->held << bits | value;
	w->bits += bits;
	if (w->bits >= 32) {
		w->bits -= 32;
		uint32_t out = (uint32_t)(w->held >> w->bits);
		*w->at++ = (uint8_t)(out >> 24);
		*w->at++ = (uint8_t)(out >> 16);
		*w->at++ = (uint8_t)(out >> 8);
		*w->at++ = (uint8_t)out;
	}
}

static inline void put_code(writer *w, uint32_t code) { put(w, code >> 8, code & 255); }

static int flush(writer *w, const uint8_t *data) {
	while (w->bits >= 8) {
		w->bits -= 8;
		*w->at++ = (uint8_t)(w->held >> w->bits);
	}
	if (w->bits > 0)
		*w->at++ = (uint8_t)(w->held << (8 - w->bits));
	return (int)(w->at - data);
}

// put_info writes ics_info (table 4.6).
static void put_info(writer *w, const tp_aac_layout *l, int used) {
	put(w, 0, 1); // ics_reserved_bit
	put(w, l->sequence, 2);
	put(w, l->sequence == LONG_START || l->sequence == EIGHT_SHORT, 1); // window_shape of the falling half: 0, a sine window, if it is long
	if (l->sequence != EIGHT_SHORT) {
		put(w, used, 6);
		put(w, 0, 1); // predictor_data_present
		return;
	}
	put(w, used, 4);
	int first = 1;
	for (int g = 0; g < l->groups; g++)
		for (int i = 0; i < l->windows[g]; i++) {
			if (!first)
				put(w, i > 0, 1); // scale_factor_grouping
			first = 0;
		}
}

static void put_sections(writer *w, const tp_aac_layout *l, const uint8_t *book, int used) {
	int each = each_length(l), most = (1 << each) - 1;
	for (int g = 0; g < l->groups; g++, book += l->per_group)
		for (int b = 0; b < used;) {
			int end = b + 1;
			while (end < used && book[end] == book[b])
				end++;
			put(w, book[b], 4);
			int length = end - b;
			for (; length >= most; length -= most)
				put(w, most, each);
			put(w, length, each);
			b = end;
		}
}

static void put_values(writer *w, const tp_aac_tables *t, int book, const int32_t *v, int n) {
	const uint32_t *codes = t->codes[book];
	switch (book) {
	case 1: case 2:
		for (int i = 0; i < n; i += 4)
			put_code(w, codes[27 * v[i] + 9 * v[i + 1] + 3 * v[i + 2] + v[i + 3] + 40]);
		return;
	case 3: case 4:
		for (int i = 0; i < n; i += 4) {
			int index = 0;
			uint32_t signs = 0, some = 0;
			for (int k = i; k < i + 4; k++) {
				index = 3 * index + absolute(v[k]);
				if (v[k]) {
					signs = signs << 1 | (v[k] < 0);
					some++;
				}
			}
			put(w, codes[index] >> 8 << some | signs, (codes[index] & 255) + some);
		}
		return;
	case 5: case 6:
		for (int i = 0; i < n; i += 2)
			put_code(w, codes[9 * v[i] + v[i + 1] + 40]);
		return;
	}
	int base = book <= 8 ? 8 : book <= 10 ? 13 : 17;
	for (int i = 0; i < n; i += 2) {
		int a = absolute(v[i]), b = absolute(v[i + 1]);
		int x = book == ESCAPE && a > 16 ? 16 : a, y = book == ESCAPE && b > 16 ? 16 : b;
		uint32_t code = codes[base * x + y], signs = 0, some = 0;
		if (a) {
			signs = v[i] < 0;
			some = 1;
		}
		if (b) {
			signs = signs << 1 | (v[i + 1] < 0);
			some++;
		}
		put(w, code >> 8 << some | signs, (code & 255) + some);
		if (book != ESCAPE)
			continue;
		for (int k = 0; k < 2; k++) {
			int big = k ? b : a;
			if (big < 16)
				continue;
			int n2 = 31 - __builtin_clz(big); // bits below the highest
			put(w, (1u << (n2 - 3)) - 2, n2 - 3); // a one for each bit beyond 4, then a zero
			put(w, big & ((1 << n2) - 1), n2);
		}
	}
}

// gain_of returns the first scale factor of a channel; the others are written as differences to it.
static int gain_of(const tp_aac_layout *l, const tp_aac_channel *c, int used) {
	for (int g = 0; g < l->groups; g++)
		for (int b = g * l->per_group; b < g * l->per_group + used; b++)
			if (c->scale[b] >= 0)
				return c->scale[b];
	return 100;
}

// put_spectrum writes the part of individual_channel_stream after ics_info (table 4.50).
static void put_spectrum(writer *w, const tp_aac_tables *t, const tp_aac_layout *l, const tp_aac_channel *c, int used) {
	put_sections(w, l, c->book, used);
	int gain = gain_of(l, c, used), last = gain, last_noise = NO_NOISE;
	for (int g = 0; g < l->groups; g++)
		for (int b = g * l->per_group; b < g * l->per_group + used; b++) {
			if (!c->book[b])
				continue;
			if (c->book[b] == NOISE) {
				if (last_noise == NO_NOISE)
					put(w, c->noise[b] - gain - FIRST_NOISE, FIRST_NOISE_BITS);
				else
					put_code(w, t->differences[c->noise[b] - last_noise + MOST_APART]);
				last_noise = c->noise[b];
				continue;
			}
			int scale = c->scale[b] < 0 ? last : c->scale[b];
			put_code(w, t->differences[scale - last + MOST_APART]);
			last = scale;
		}
	put(w, 0, 3); // no pulse data, no TNS, no gain control
	for (int g = 0; g < l->groups; g++)
		for (int b = g * l->per_group; b < g * l->per_group + used; b++)
			if (c->book[b] && c->book[b] != NOISE)
				put_values(w, t, c->book[b], c->values + l->start[b], width_of(l, b));
}

// put_silence writes an empty side channel.
static void put_silence(writer *w, const tp_aac_layout *l, int used) {
	static const uint8_t none[BANDS];
	put(w, 100, 8);
	put_sections(w, l, none, used);
	put(w, 0, 3);
}

// put_middle writes ms_mask_present and ms_used (table 4.5).
static void put_middle(writer *w, const tp_aac_layout *l, const uint8_t *is_middle, int used) {
	int some = 0;
	for (int g = 0; g < l->groups; g++)
		for (int b = 0; b < used; b++)
			some += is_middle[g * l->per_group + b];
	int mask = some == 0 ? 0 : some == l->groups * used ? 2 : 1;
	put(w, mask, 2);
	for (int g = 0; g < l->groups && mask == 1; g++)
		for (int b = 0; b < used; b++)
			put(w, is_middle[g * l->per_group + b], 1);
}

int tp_aac_code_write(const tp_aac_tables *t, const tp_aac_layout *l, const tp_aac_channel *c, int channels, int pair,
	const uint8_t *is_middle, int used, uint8_t *data) {
	writer w = {.at = data};
	put(&w, pair ? CPE : SCE, 3);
	put(&w, 0, 4); // element_instance_tag
	if (!pair) {
		put(&w, gain_of(l, c, used), 8);
		put_info(&w, l, used);
		put_spectrum(&w, t, l, c, used);
	} else {
		put(&w, 1, 1); // common_window
		put_info(&w, l, used);
		if (channels == 1)
			put(&w, 2, 2); // ms_mask_present: middle and side in all bands
		else
			put_middle(&w, l, is_middle, used);
		for (int k = 0; k < channels; k++) {
			put(&w, gain_of(l, &c[k], used), 8);
			put_spectrum(&w, t, l, &c[k], used);
		}
		if (channels == 1)
			put_silence(&w, l, used);
	}
	put(&w, END, 3);
	return flush(&w, data);
}

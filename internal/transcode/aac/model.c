//go:build cgo

#include "model.h"

#include <math.h>
#include <string.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// The model follows that of 3GPP TS 26.403, 5.4 to 5.6: a band hides noise that is some dB below the band, and less noise in the bands
// beside it. With these constants recordings got the best grades of PEAQ (ITU-R BS.1387) at 64, 96 and 128 kbit/s, measured by "bench quality".
// Bass hides less noise than treble, which the noise-to-mask ratio alone does not show.
#define MASKED_DB 30.0f // how far the hidden noise is below its band, at 0 Bark
#define LESS_DB 16.0f   // by how much less at BARKS
#define BARKS 24.0f
#define UP_DB 15.0f // per Bark
#define DOWN_DB 30.0f
#define RISE 2.0f    // the most by which a threshold grows from frame to frame; with more, noise would be heard before an attack
#define FALLS 0.01f  // the least part of a threshold that RISE leaves
#define LOUDEST 5.0f // the most noise in a band, as a part of its energy: at low bit rates treble is left out before bass gets bad
#define FINEST -0.8f // the least noise, if there are more bits than needed: thresholds are lowered by 28 dB at most
#define ALIKE 2      // scale factors that differ by up to so many steps of 1.5 dB are made equal: the difference costs more bits than it is worth

// At low bit rates bands of noise are replaced by noise that the decoder makes (4.6.13): bands with holes that come and go sound worse.
#define NOISE_HZ 4000.0f  // below this frequency no band is replaced
#define NOISE_FLAT 0.65f  // how flat the spectrum of a band must be: Gaussian noise has 0.82, a tone nearly 0
#define NOISE_LEAST 0.12f // noise is better from this error of a band on, as a part of its energy, at NOISE_FEW bits a second per channel and below
#define NOISE_MOST 0.5f   // the same at NOISE_MANY; above, no band is replaced
#define NOISE_FEW 48e3f
#define NOISE_MANY 64e3f
#define NOISE_STAYS 0.5f // factor for a band that was noise in the last frame: changing to and fro would be heard
#define NOISE_BITS 6.0f  // about the bits of such a band
#define NOISE_APART 0.6f // square of the correlation of left and right, below which they stay left and right, so that each can be noise

// Noise of 1/12 of a step of 16 bits, squared, in the units of lines.
#define QUIET_LONG 170.0f
#define QUIET_SHORT 21.0f

// A band wants log2(energy / threshold) bits a line from DENSE on, and less below it.
#define DENSE 3.0f
#define SPARSE_OFFSET 1.3219281f
#define SPARSE_SLOPE 0.5593573f

typedef float v4 __attribute__((vector_size(16), may_alias));

// roots returns four square roots at once. The compiler does not vectorize sqrtf, because that sets errno; the option against it is not
// allowed in cgo.
static inline v4 roots(v4 x) {
#if defined(__SSE__)
	return (v4)_mm_sqrt_ps((__m128)x);
#elif defined(__aarch64__)
	return (v4)vsqrtq_f32((float32x4_t)x);
#else
	return (v4){sqrtf(x[0]), sqrtf(x[1]), sqrtf(x[2]), sqrtf(x[3])};
#endif
}

typedef uint32_t u4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));

static inline v4 magnitudes(v4 x) { return (v4)((u4)x & 0x7fffffff); }
static inline v4 either(i4 is_first, v4 first, v4 second) { return (v4)((is_first & (i4)first) | (~is_first & (i4)second)); }

static inline v4 load(const float *x) { return *(const v4 *)x; }
static inline float sum(v4 x) { return (x[0] + x[1]) + (x[2] + x[3]); }

// log2_of is exact to 0.01, for numbers above 0.
static inline float log2_of(float x) {
	union { float f; uint32_t u; } v = {x};
	float e = (float)(int)(v.u >> 23) - 127;
	v.u = (v.u & 0x7fffff) | 0x3f800000;
	return e + (-0.34484843f * v.f + 2.02466578f) * v.f - 1.67487759f;
}

static inline v4 logs2_of(v4 x) {
	v4 e = __builtin_convertvector((i4)((u4)x >> 23), v4) - 127;
	v4 f = (v4)(((u4)x & 0x7fffff) | 0x3f800000);
	return e + (-0.34484843f * f + 2.02466578f) * f - 1.67487759f;
}

static float bark(float hz) { return 13 * atanf(0.00076f * hz) + 3.5f * atanf((hz / 7500) * (hz / 7500)); }

static void masking_init(tp_aac_masking *m, const uint8_t *widths, int bands, float line_hz, float quiet) {
	m->quiet = quiet;
	float at = 0, last = 0;
	for (int b = 0; b < bands; b++) {
		float here = bark((at + 0.5f * widths[b]) * line_hz);
		at += widths[b];
		m->masked[b] = powf(10, -0.1f * (MASKED_DB - LESS_DB * smaller(here / BARKS, 1)));
		m->up[b] = b ? powf(10, -0.1f * UP_DB * (here - last)) : 0;
		if (b)
			m->down[b - 1] = powf(10, -0.1f * DOWN_DB * (here - last));
		last = here;
	}
	m->down[bands - 1] = 0;
}

void tp_aac_model_init(tp_aac_model *m, const tp_aac_form *form, float bits_a_second) {
	memset(m, 0, sizeof *m);
	float many = greater((bits_a_second - NOISE_FEW) / (NOISE_MANY - NOISE_FEW), 0);
	m->noise_least = many <= 1 ? NOISE_LEAST + many * (NOISE_MOST - NOISE_LEAST) : NEVER_NOISE;
	masking_init(&m->long_masking, form->long_widths, form->long_bands, 0.5f * form->rate / FRAME, QUIET_LONG);
	m->noise_from = (int)ceilf(NOISE_HZ * FRAME / (0.5f * form->rate));
	masking_init(&m->short_masking, form->short_widths, form->short_bands, 0.5f * form->rate / SHORT, QUIET_SHORT);
}

static void spread(const tp_aac_masking *m, int bands, float *threshold) {
	for (int b = 1; b < bands; b++)
		threshold[b] = greater(threshold[b], m->up[b] * threshold[b - 1]);
	for (int b = bands - 2; b >= 0; b--)
		threshold[b] = greater(threshold[b], m->down[b] * threshold[b + 1]);
}

void tp_aac_model_thresholds(tp_aac_model *m, const tp_aac_layout *l, tp_aac_channel *c, int channels) {
	int is_short = l->sequence == EIGHT_SHORT;
	const tp_aac_masking *masking = is_short ? &m->short_masking : &m->long_masking;
	for (int k = 0; k < channels; k++, c++) {
		for (int b = 0; b < l->bands; b++) {
			v4 s = {0};
			for (int i = l->start[b]; i < l->start[b + 1]; i += 4)
				s += load(c->lines + i) * load(c->lines + i);
			c->energy[b] = sum(s);
			c->threshold[b] = masking->masked[b % l->per_group] * c->energy[b];
		}
		for (int g = 0; g < l->groups; g++)
			spread(masking, l->per_group, c->threshold + g * l->per_group);
		for (int b = 0; b < l->bands; b++) {
			float quiet = masking->quiet * (l->start[b + 1] - l->start[b]);
			float t = c->threshold[b];
			if (!is_short) {
				if (m->have_last)
					t = greater(FALLS * t, smaller(t, RISE * m->last[k][b]));
				m->last[k][b] = c->threshold[b];
			}
			c->threshold[b] = greater(t, quiet);
		}
	}
	if (channels == 1)
		memcpy(m->last[1], m->last[0], sizeof *m->last);
	m->have_last = !is_short;
}

void tp_aac_model_pair(const tp_aac_model *m, const tp_aac_layout *l, tp_aac_channel *c, uint8_t *is_middle) {
	tp_aac_channel *left = &c[0], *right = &c[1];
	for (int b = 0; b < l->bands; b++) {
		v4 s = {0};
		for (int i = l->start[b]; i < l->start[b + 1]; i += 4)
			s += load(left->lines + i) * load(right->lines + i);
		float both = left->energy[b] + right->energy[b], cross = 2 * sum(s);
		float middle = greater(0.25f * (both + cross), 0), side = greater(0.25f * (both - cross), 0);
		float threshold = 0.5f * smaller(left->threshold[b], right->threshold[b]);
		float apart = greater(left->energy[b] / left->threshold[b], 1) * greater(right->energy[b] / right->threshold[b], 1);
		int both_noise = l->sequence != EIGHT_SHORT && l->start[b] >= m->noise_from &&
			cross * cross < NOISE_APART * 4 * left->energy[b] * right->energy[b];
		is_middle[b] = !both_noise && greater(middle / threshold, 1) * greater(side / threshold, 1) < apart;
		if (!is_middle[b])
			continue;
		for (int i = l->start[b]; i < l->start[b + 1]; i++) {
			float x = left->lines[i], y = right->lines[i];
			left->lines[i] = 0.5f * (x + y);
			right->lines[i] = 0.5f * (x - y);
		}
		left->energy[b] = middle;
		right->energy[b] = side;
		left->threshold[b] = right->threshold[b] = threshold;
	}
}

void tp_aac_model_prepare(const tp_aac_layout *l, tp_aac_channel *c) {
	for (int b = 0; b < l->bands; b++) {
		v4 s = {0};
		float peak[4] = {0};
		for (int i = l->start[b]; i < l->start[b + 1]; i += 4) {
			v4 x = load(c->lines + i);
			v4 root = roots(magnitudes(x));
			*(v4 *)(c->power + i) = root * roots(root);
			s += root;
			for (int k = 0; k < 4; k++)
				peak[k] = c->power[i + k] > peak[k] ? c->power[i + k] : peak[k];
		}
		c->form[b] = sum(s);
		c->peak[b] = greater(greater(peak[0], peak[1]), greater(peak[2], peak[3]));
	}
}

void tp_aac_model_instead(const tp_aac_model *m, const tp_aac_layout *l, tp_aac_channel *c, int k, const uint8_t *is_middle, int may_be_noise) {
	for (int b = 0; b < l->bands; b++) {
		int width = l->start[b + 1] - l->start[b];
		c->instead[b] = NEVER_NOISE;
		if (may_be_noise && m->noise_least < NEVER_NOISE && l->start[b] >= m->noise_from && !(is_middle && is_middle[b]) &&
			c->form[b] >= NOISE_FLAT * width * sqrtf(sqrtf(c->energy[b] / width)))
			c->instead[b] = m->noise_least * (m->noisy[k][b] ? NOISE_STAYS : 1) * c->energy[b];
	}
}

void tp_aac_model_remember(tp_aac_model *m, const tp_aac_layout *l, const tp_aac_channel *c, int k) {
	memset(m->noisy[k], 0, sizeof m->noisy[k]);
	if (!c || l->sequence == EIGHT_SHORT)
		return;
	for (int b = 0; b < l->bands; b++)
		m->noisy[k][b] = c->noise[b] != NO_NOISE;
}

void tp_aac_demand_of(tp_aac_demand *d, const tp_aac_layout *l, const tp_aac_channel *c, int channels) {
	int n = 0;
	for (int k = 0; k < channels; k++, c++)
		for (int b = 0; b < l->bands; b++) {
			if (c->energy[b] <= c->threshold[b])
				continue;
			int width = l->start[b + 1] - l->start[b];
			d->energy[n] = log2_of(c->energy[b]);
			d->threshold[n] = sqrtf(sqrtf(c->threshold[b]));
			d->lines[n] = c->form[b] / sqrtf(sqrtf(c->energy[b] / width));
			d->instead[n] = c->instead[b] < NEVER_NOISE ? d->energy[n] - log2_of(c->instead[b]) : -NEVER_NOISE;
			n++;
		}
	d->bands = n;
	for (; n % 4; n++) { // bands are computed in fours; these additional ones demand nothing
		d->energy[n] = d->lines[n] = 0;
		d->threshold[n] = 1;
		d->instead[n] = -NEVER_NOISE;
	}
}

// with adds noise to a threshold, both to the power of 1/4.
static inline float with(float threshold, float noise) { return noise >= 0 ? threshold + noise : threshold * (1 + noise); }

float tp_aac_demand_bits(const tp_aac_demand *d, float noise) {
	float times = noise >= 0 ? 1 : 1 + noise, more = noise >= 0 ? noise : 0;
	v4 bits = {0};
	for (int i = 0; i < d->bands; i += 4) {
		v4 ratio = load(d->energy + i) - 4 * logs2_of(times * load(d->threshold + i) + more);
		v4 sparse = SPARSE_OFFSET + SPARSE_SLOPE * either(ratio > 0, ratio, (v4){0});
		v4 lines = load(d->lines + i) * either(ratio >= DENSE, ratio, sparse);
		bits += either(ratio <= load(d->instead + i), (v4){0} + NOISE_BITS, lines);
	}
	return sum(bits);
}

float tp_aac_demand_noise(const tp_aac_demand *d, float bits) {
	float low = 0, high = 1, wanted = tp_aac_demand_bits(d, 0);
	if (wanted <= bits) {
		float lines = 0;
		for (int i = 0; i < d->bands; i++)
			lines += d->lines[i];
		return lines > 0 ? greater(exp2f((wanted - bits) / (4 * lines)) - 1, FINEST) : 0;
	}
	while (high < 1e6f && tp_aac_demand_bits(d, high) > bits) {
		low = high;
		high *= 4;
	}
	for (int i = 0; i < 7; i++) {
		float middle = 0.5f * (low + high);
		if (tp_aac_demand_bits(d, middle) > bits)
			low = middle;
		else
			high = middle;
	}
	return 0.5f * (low + high);
}

void tp_aac_model_scales(const tp_aac_layout *l, tp_aac_channel *c, float noise) {
	int last = -1, last_noise = NO_NOISE;
	for (int b = 0; b < l->bands; b++) {
		c->scale[b] = -1;
		c->noise[b] = NO_NOISE;
		if (c->energy[b] <= c->threshold[b])
			continue;
		float root = with(sqrtf(sqrtf(c->threshold[b])), noise);
		float threshold = root * root * root * root;
		if (threshold >= c->instead[b]) {
			int level = (int)floorf(2 * log2_of(c->energy[b]) + 0.5f);
			if (last_noise != NO_NOISE) // levels must not differ by more
				level = level > last_noise + MOST_APART ? last_noise + MOST_APART : level < last_noise - MOST_APART ? last_noise - MOST_APART : level;
			c->noise[b] = last_noise = level;
			continue;
		}
		threshold = smaller(threshold, LOUDEST * c->energy[b]);
		int scale = 100 + (int)floorf(8 / 3.0f * log2_of(6.75f * threshold / c->form[b]));
		scale = scale < 0 ? 0 : scale >= SCALES ? SCALES - 1 : scale;
		if (last >= 0 && scale >= last - ALIKE && scale <= last + ALIKE)
			scale = last;
		c->scale[b] = last = scale;
	}
}

void tp_aac_model_coarser(const tp_aac_layout *l, tp_aac_channel *c) {
	for (int b = 0; b < l->bands; b++) {
		c->noise[b] = NO_NOISE;
		if (c->scale[b] >= 0 && c->scale[b] < SCALES - 1)
			c->scale[b]++;
	}
}

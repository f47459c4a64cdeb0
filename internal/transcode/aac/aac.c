//go:build cgo

#include "aac.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "code.h"
#include "model.h"
#include "spectrum.h"

enum {
	MOST_BITS = 6144, // of a channel in a frame (ISO/IEC 14496-3, 4.5.3.1)
	HEAD_BITS = 160,  // upper bound of bits that fit does not count: beginning and end of a packet, ms_used, a silent side
	LEAST_BITS = 2 * HEAD_BITS,
	TRIES = 4, // estimates of the noise that fits; after them all scale factors are raised step by step
};

#define PRICE_STEP 0.1f
#define USUAL_STEP 0.1f

struct tp_aac {
	const tp_aac_tables *tables;
	int channels;
	int begun; // a frame has come

	tp_aac_spectrum *spectrum;
	tp_aac_model model;

	// The bit reservoir: bits that frames did not use, for frames that need more.
	float mean, most;      // bits of a frame: on average, and at most
	float held, most_held; // bits in the reservoir: now, and at most
	float usual;           // average demand of a frame
	float price[2];        // bits per unit of demand, for long and for short windows
};

// bandwidth_of returns the highest frequency that is encoded, in Hz.
static float bandwidth_of(int rate, float bits_a_second) {
	static const struct { float bits, hz; } steps[] = {{8e3f, 4000}, {16e3f, 6500}, {24e3f, 8500}, {32e3f, 11000}, {48e3f, 16000}, {64e3f, 17000},
		{96e3f, 20000}};
	enum { LAST = sizeof steps / sizeof *steps - 1 };
	float hz = steps[LAST].hz;
	if (bits_a_second <= steps[0].bits)
		hz = steps[0].hz;
	for (int i = 0; i < LAST; i++)
		if (bits_a_second > steps[i].bits && bits_a_second <= steps[i + 1].bits)
			hz = steps[i].hz + (steps[i + 1].hz - steps[i].hz) * (bits_a_second - steps[i].bits) / (steps[i + 1].bits - steps[i].bits);
	return smaller(hz, 0.5f * rate);
}

tp_aac *tp_aac_new(int rate, int channels, int bit_rate) {
	const tp_aac_form *form = tp_aac_form_of(rate);
	if (!form || channels < 1 || channels > CHANNELS || (int64_t)bit_rate * FRAME / rate < LEAST_BITS)
		return NULL;
	tp_aac *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->tables = tp_aac_tables_of();
	e->channels = channels;
	e->spectrum = tp_aac_spectrum_new(form, channels, bandwidth_of(rate, (float)bit_rate / channels));
	if (!e->spectrum) {
		free(e);
		return NULL;
	}
	tp_aac_model_init(&e->model, form, (float)bit_rate / channels);
	e->most = MOST_BITS * channels;
	e->mean = smaller((float)bit_rate * FRAME / rate, e->most);
	e->most_held = smaller(e->most - e->mean, 4 * e->mean) + 1;
	e->held = 0.5f * e->most_held;
	e->price[0] = e->price[1] = 1;
	e->usual = e->mean;
	return e;
}

void tp_aac_free(tp_aac *e) {
	if (!e)
		return;
	tp_aac_spectrum_free(e->spectrum);
	free(e);
}

// wanted returns the bits that a frame with this demand should get. A frame with a smaller demand than usual leaves bits to other frames, unless
// its demand is below the average bits of a frame: then there is no need to save.
static float wanted(tp_aac *e, float demand) {
	float more = smaller(greater(demand / e->usual, demand < e->mean ? 1 : 0.6f), 2.5f);
	e->usual += USUAL_STEP * (greater(demand, 1) - e->usual);
	float fullness = e->held / e->most_held;
	float bits = e->mean * more * (0.8f + 0.4f * fullness);
	return smaller(bits, e->mean + 0.8f * e->held);
}

// fit sets the scale factors, values and codebooks of the channels so that they take about bits, and never more than most. It returns how many
// bands of each group are used.
static int fit(tp_aac *e, const tp_aac_layout *l, tp_aac_channel *c, int channels, const tp_aac_demand *d, float bits, float most) {
	float *price = &e->price[l->sequence == EIGHT_SHORT];
	float noise = tp_aac_demand_noise(d, bits / *price);
	int used, total;
	for (int try = 0;; try++) {
		used = total = 0;
		for (int k = 0; k < channels; k++) {
			if (try < TRIES)
				tp_aac_model_scales(l, &c[k], noise);
			else
				tp_aac_model_coarser(l, &c[k]);
			tp_aac_code_quantise(e->tables, l, &c[k]);
			int n = tp_aac_code_used(l, &c[k]);
			used = n > used ? n : used;
		}
		for (int k = 0; k < channels; k++)
			total += tp_aac_code_books(e->tables, l, &c[k], used);
		if (total <= most)
			break;
		bits *= 0.95f * smaller(most / total, 1);
		noise = greater(tp_aac_demand_noise(d, bits / *price), noise + 0.1f * fabsf(noise) + 0.01f);
	}
	float expected = tp_aac_demand_bits(d, noise);
	if (expected > LEAST_BITS)
		*price += PRICE_STEP * (smaller(greater(total / expected, 0.3f), 3) - *price);
	return used;
}

int tp_aac_encode(tp_aac *e, const float *pcm, uint8_t *data, int *same) {
	tp_aac_spectrum_take(e->spectrum, pcm);
	*same = 0;
	if (!e->begun) {
		e->begun = 1;
		return 0;
	}
	tp_aac_channel c[CHANNELS];
	tp_aac_layout l;
	tp_aac_demand d;
	uint8_t is_middle[BANDS];
	*same = tp_aac_spectrum_same(e->spectrum);
	int channels = *same ? 1 : e->channels;
	tp_aac_spectrum_layout(e->spectrum, &l);
	for (int k = 0; k < channels; k++)
		tp_aac_spectrum_lines(e->spectrum, &l, k, c[k].lines);
	tp_aac_model_thresholds(&e->model, &l, c, channels);
	if (channels == 2)
		tp_aac_model_pair(&e->model, &l, c, is_middle);
	for (int k = 0; k < channels; k++) {
		tp_aac_model_prepare(&l, &c[k]);
		// Decoders make different noise for each channel, but channels that are the same must stay the same.
		int may_be_noise = !*same && l.sequence != EIGHT_SHORT && tp_aac_spectrum_steady(e->spectrum, k);
		tp_aac_model_instead(&e->model, &l, &c[k], k, channels == 2 ? is_middle : NULL, may_be_noise);
	}
	tp_aac_demand_of(&d, &l, c, channels);

	float demand = tp_aac_demand_bits(&d, 0) * e->price[l.sequence == EIGHT_SHORT];
	int used = fit(e, &l, c, channels, &d, wanted(e, demand), smaller(e->mean + e->held, e->most) - HEAD_BITS);
	int size = tp_aac_code_write(e->tables, &l, c, channels, e->channels == 2, is_middle, used, data);
	for (int k = 0; k < e->channels; k++)
		tp_aac_model_remember(&e->model, &l, k < channels ? &c[k] : NULL, k);
	e->held = smaller(e->held + e->mean - 8 * size, e->most_held);
	return size;
}

//go:build cgo

#include "spectrum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <libavutil/tx.h>

enum {
	KEPT = 3,                   // frames: the two under a window, and the next one, which shows whether an attack comes
	LATEST = (KEPT - 1) * SHORTS, // the first part of the latest frame
	FLAT = (FRAME - SHORT) / 2, // samples beside the slope of a short window in a long one, and before the first short window
};

// An attack is a part of a frame, as long as the step of a short window, whose higher frequencies have more than ATTACK times the energy of
// the parts before, and at least ATTACK_LEAST (as in 3GPP TS 26.403).
#define ATTACK 6.0f
#define ATTACK_LEAST 9e-4f
#define ATTACK_MEMORY 0.7f

// A frame is steady if no part has more than STEADY times the mean energy of the higher frequencies.
#define STEADY 4.0f

struct tp_aac_spectrum {
	const tp_aac_form *form;
	const tp_aac_tables *tables;
	int channels;
	int long_bands, short_bands; // below the bandwidth

	float past[CHANNELS][KEPT][FRAME] __attribute__((aligned(64)));
	int latest;
	int same[KEPT]; // both channels of a frame

	float before[CHANNELS];             // the last sample
	float level[CHANNELS];              // of the higher frequencies' energy
	float energy[CHANNELS][KEPT * SHORTS]; // of the higher frequencies, by parts of the frames that are kept
	tp_aac_sequence sequence;           // of the last packet
	int attack, coming;                 // the part with an attack under the short windows of the next packet, and of the packet after that; -1: none

	AVTXContext *long_context, *short_context;
	av_tx_fn long_transform, short_transform;
};

static int bands_below(const uint8_t *widths, int bands, int lines) {
	int n = 0;
	for (int at = 0; n < bands && at < lines; n++)
		at += widths[n];
	return n;
}

tp_aac_spectrum *tp_aac_spectrum_new(const tp_aac_form *form, int channels, float bandwidth) {
	tp_aac_spectrum *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
	if (!s)
		return NULL;
	memset(s, 0, sizeof *s);
	s->form = form;
	s->tables = tp_aac_tables_of();
	s->channels = channels;
	s->attack = s->coming = -1;
	float lines = bandwidth / (0.5f * form->rate);
	s->long_bands = bands_below(form->long_widths, form->long_bands, (int)ceilf(lines * FRAME));
	s->short_bands = bands_below(form->short_widths, form->short_bands, (int)ceilf(lines * SHORT));
	for (int i = 0; i < KEPT; i++)
		s->same[i] = 1;
	float scale = 65536; // 2 for the sum that the standard means, and samples of 16 bits
	if (av_tx_init(&s->long_context, &s->long_transform, AV_TX_FLOAT_MDCT, 0, FRAME, &scale, 0) < 0 ||
		av_tx_init(&s->short_context, &s->short_transform, AV_TX_FLOAT_MDCT, 0, SHORT, &scale, 0) < 0) {
		tp_aac_spectrum_free(s);
		return NULL;
	}
	return s;
}

void tp_aac_spectrum_free(tp_aac_spectrum *s) {
	if (!s)
		return;
	av_tx_uninit(&s->long_context);
	av_tx_uninit(&s->short_context);
	free(s);
}

// clip limits a sample to -1 to 1. A decoder that was given invalid data can return NaN, which becomes 0.
static inline float clip(float x) {
	x = x >= -1 ? x : x < -1 ? -1 : 0;
	return x > 1 ? 1 : x;
}

// measure computes the energy of the higher frequencies in each part of a frame.
static void measure(tp_aac_spectrum *s, int channel, const float *x) {
	float *energy = s->energy[channel];
	memmove(energy, energy + SHORTS, LATEST * sizeof *energy);
	float before = s->before[channel];
	for (int p = 0; p < SHORTS; p++, x += SHORT) {
		float sum[4] = {(x[0] - before) * (x[0] - before)};
		for (int i = 1; i < 4; i++)
			sum[i] = (x[i] - x[i - 1]) * (x[i] - x[i - 1]);
		for (int i = 4; i < SHORT; i += 4)
			for (int k = 0; k < 4; k++)
				sum[k] += (x[i + k] - x[i + k - 1]) * (x[i + k] - x[i + k - 1]);
		energy[LATEST + p] = sum[0] + sum[1] + sum[2] + sum[3];
		before = x[SHORT - 1];
	}
	s->before[channel] = before;
}

// listen returns the part with the first attack in a channel, among the parts under the short windows of the packet after the next one, or -1.
static int listen(tp_aac_spectrum *s, int channel) {
	const float *energy = s->energy[channel] + LATEST - SHORTS / 2;
	int attack = -1;
	for (int p = 0; p < SHORTS; p++) {
		if (attack < 0 && energy[p] > ATTACK_LEAST && energy[p] > ATTACK * s->level[channel])
			attack = p;
		s->level[channel] = ATTACK_MEMORY * s->level[channel] + (1 - ATTACK_MEMORY) * energy[p];
	}
	return attack;
}

void tp_aac_spectrum_take(tp_aac_spectrum *s, const float *pcm) {
	s->latest = (s->latest + 1) % KEPT;
	float *left = s->past[0][s->latest], *right = s->past[1][s->latest];
	int same = 1;
	if (s->channels == 1) {
		for (int i = 0; i < FRAME; i++)
			left[i] = clip(pcm[i]);
	} else {
		int different = 0;
		for (int i = 0; i < FRAME; i++) {
			left[i] = clip(pcm[2 * i]);
			right[i] = clip(pcm[2 * i + 1]);
			different |= left[i] != right[i];
		}
		same = !different;
	}
	s->same[s->latest] = same;

	s->attack = s->coming;
	measure(s, 0, left);
	s->coming = listen(s, 0);
	if (same) {
		memcpy(s->energy[1], s->energy[0], sizeof *s->energy);
		s->level[1] = s->level[0];
		s->before[1] = s->before[0];
		return;
	}
	measure(s, 1, right);
	int other = listen(s, 1);
	if (s->coming < 0 || (other >= 0 && other < s->coming))
		s->coming = other;
}

int tp_aac_spectrum_same(const tp_aac_spectrum *s) {
	return s->channels == 2 && s->same[(s->latest + 1) % KEPT] && s->same[(s->latest + 2) % KEPT];
}

int tp_aac_spectrum_steady(const tp_aac_spectrum *s, int channel) {
	float most = 0, all = 0;
	for (int p = 0; p < LATEST; p++) {
		most = greater(most, s->energy[channel][p]);
		all += s->energy[channel][p];
	}
	return most * LATEST <= STEADY * all;
}

// groups_of has the groups of short windows by the place of the attack (as in 3GPP TS 26.403).
static const uint8_t groups_of[SHORTS][4] = {
	{1, 3, 3, 1}, {1, 1, 3, 3}, {2, 1, 3, 2}, {3, 1, 3, 1}, {3, 1, 1, 3}, {3, 2, 1, 2}, {3, 3, 1, 1}, {3, 3, 1, 1},
};
static const uint8_t groups_without[4] = {2, 2, 2, 2};

static tp_aac_sequence next_sequence(tp_aac_sequence last, int attack, int coming) {
	int open = last == LONG_START || last == EIGHT_SHORT; // the last window ends in a short slope
	if (attack || (open && coming) || last == LONG_START)
		return EIGHT_SHORT;
	if (coming)
		return LONG_START;
	return open ? LONG_STOP : ONLY_LONG;
}

void tp_aac_spectrum_layout(tp_aac_spectrum *s, tp_aac_layout *l) {
	l->sequence = s->sequence = next_sequence(s->sequence, s->attack >= 0, s->coming >= 0);
	l->start[0] = 0;
	if (l->sequence != EIGHT_SHORT) {
		l->groups = 1;
		l->windows[0] = 1;
		l->bands = l->per_group = s->long_bands;
		for (int b = 0; b < l->bands; b++)
			l->start[b + 1] = l->start[b] + s->form->long_widths[b];
		return;
	}
	l->groups = 4;
	memcpy(l->windows, s->attack >= 0 ? groups_of[s->attack] : groups_without, 4);
	l->per_group = s->short_bands;
	l->bands = l->groups * l->per_group;
	int b = 0;
	for (int g = 0; g < l->groups; g++)
		for (int k = 0; k < l->per_group; k++, b++)
			l->start[b + 1] = l->start[b] + l->windows[g] * s->form->short_widths[k];
}

// rise and fall multiply samples by one half of a window. Beside a short slope the window is 0 and 1.
static void rise(const tp_aac_tables *t, float *out, const float *x, int is_short) {
	if (!is_short) {
		for (int i = 0; i < FRAME; i++)
			out[i] = x[i] * t->long_slope[i];
		return;
	}
	memset(out, 0, FLAT * sizeof *out);
	for (int i = 0; i < SHORT; i++)
		out[FLAT + i] = x[FLAT + i] * t->short_slope[i];
	memcpy(out + FLAT + SHORT, x + FLAT + SHORT, FLAT * sizeof *out);
}

static void fall(const tp_aac_tables *t, float *out, const float *x, int is_short) {
	if (!is_short) {
		for (int i = 0; i < FRAME; i++)
			out[i] = x[i] * t->long_slope[FRAME - 1 - i];
		return;
	}
	memcpy(out, x, FLAT * sizeof *out);
	for (int i = 0; i < SHORT; i++)
		out[FLAT + i] = x[FLAT + i] * t->short_slope[SHORT - 1 - i];
	memset(out + FLAT + SHORT, 0, FLAT * sizeof *out);
}

// short_lines transforms eight short windows, and stores the lines in the order of the bands.
static void short_lines(tp_aac_spectrum *s, const tp_aac_layout *l, const float *first, const float *second, float *lines) {
	float both[2 * FRAME] __attribute__((aligned(64))), window[2 * SHORT] __attribute__((aligned(64)));
	float plain[SHORT] __attribute__((aligned(64)));
	memcpy(both, first, FRAME * sizeof *both);
	memcpy(both + FRAME, second, FRAME * sizeof *both);
	const float *x = both + FLAT;
	int band = 0;
	for (int g = 0; g < l->groups; g++, band += l->per_group)
		for (int w = 0; w < l->windows[g]; w++, x += SHORT) {
			for (int i = 0; i < SHORT; i++) {
				window[i] = x[i] * s->tables->short_slope[i];
				window[SHORT + i] = x[SHORT + i] * s->tables->short_slope[SHORT - 1 - i];
			}
			s->short_transform(s->short_context, plain, window, sizeof *plain);
			const float *from = plain;
			for (int k = 0; k < l->per_group; k++) {
				int width = s->form->short_widths[k];
				memcpy(lines + l->start[band + k] + w * width, from, width * sizeof *lines);
				from += width;
			}
		}
}

void tp_aac_spectrum_lines(tp_aac_spectrum *s, const tp_aac_layout *l, int channel, float *lines) {
	const float *first = s->past[channel][(s->latest + 1) % KEPT], *second = s->past[channel][(s->latest + 2) % KEPT];
	if (l->sequence == EIGHT_SHORT) {
		short_lines(s, l, first, second, lines);
		return;
	}
	float window[2 * FRAME] __attribute__((aligned(64)));
	rise(s->tables, window, first, l->sequence == LONG_STOP);
	fall(s->tables, window + FRAME, second, l->sequence == LONG_START);
	s->long_transform(s->long_context, lines, window, sizeof *lines);
}
